"""What an execution may cost, in time and credits (contract 4.5, ``budget_limits``).

A credit is 1,000 rows of work: one row counted for each document a search or scan compares, for each row a stage
is given, and for each document looked up. Credits are counted by :meth:`Budget.charge`, never measured, so the
same execution over the same documents always costs the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from streams.engines.retrieval.errors import BudgetError

ROWS_PER_CREDIT: Final = 1_000
Check: TypeAlias = Callable[[], None]
"""Called by long loops now and then; raises :class:`BudgetError` when it is time to stop."""


def least(*limits: float | None) -> float | None:
    """The strictest of some limits; ``None`` is none."""
    return min((limit for limit in limits if limit is not None), default=None)


@dataclass(slots=True)
class Budget:
    """Spent so far, against limits; ``None`` is no limit. Nested executions share their caller's."""

    clock: Callable[[], float]
    """Seconds of a monotonic clock."""
    max_time_ms: float | None = None
    max_credits: float | None = None
    rows: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def credits(self) -> float:
        """Credits used."""
        return self.rows / ROWS_PER_CREDIT

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the start."""
        return (self.clock() - self.started) * 1_000

    def charge(self, rows: int) -> None:
        """Count rows of work. Raises :class:`BudgetError` when a limit is passed."""
        self.rows += rows
        self.check()

    def check(self) -> None:
        """Raises :class:`BudgetError` when a limit is passed; long loops call it now and then."""
        if self.max_credits is not None and self.credits > self.max_credits:
            raise BudgetError(f"Budget exceeded: {self.credits:g} credits used of {self.max_credits:g} allowed")
        if self.max_time_ms is not None and (elapsed := self.elapsed_ms) > self.max_time_ms:
            raise BudgetError(f"Budget exceeded: {elapsed:.0f} ms used of {self.max_time_ms:g} ms allowed")

    def wire(self) -> dict[str, Any]:
        """The ``budget`` of an execution (contract 4.6)."""
        left = None if self.max_credits is None else max(0.0, self.max_credits - self.credits)
        return {
            "credits_used": self.credits,
            "credits_remaining": left,
            "time_used_ms": self.elapsed_ms,
            "credits_limit": self.max_credits,
            "time_limit_ms": self.max_time_ms,
        }
