"""What each stage of an execution did (contract 4.6, ``stage_statistics``)."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Stat:
    """One stage."""

    input_count: int
    output_count: int
    duration_ms: float
    error: str | None = None

    @property
    def efficiency(self) -> float:
        """Rows out per row in; 0 of nothing."""
        return self.output_count / self.input_count if self.input_count else 0.0

    def wire(self) -> dict[str, Any]:
        """As the contract has it."""
        shown: dict[str, Any] = {
            "input_count": self.input_count,
            "output_count": self.output_count,
            "duration_ms": self.duration_ms,
            "efficiency": self.efficiency,
        }
        return shown if self.error is None else {**shown, "error": self.error}
