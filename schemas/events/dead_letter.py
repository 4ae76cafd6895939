"""``dead-letters``: a record that can never work, its bytes untouched, the story in the headers."""

from dataclasses import dataclass
from datetime import datetime

from schemas.times import format_instant


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why and where a record was given up. Key and value of the dead letter are the original bytes."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    stage: str
    error_type: str
    message: str
    attempts: int = 1

    def headers(self, original: tuple[tuple[str, bytes], ...] = ()) -> list[tuple[str, bytes]]:
        """Our headers after the record's own, which are kept under their own names."""
        ours = {
            "x-dead-topic": self.topic,
            "x-dead-partition": str(self.partition),
            "x-dead-offset": str(self.offset),
            "x-dead-timestamp": format_instant(self.timestamp),
            "x-dead-stage": self.stage,
            "x-dead-error-type": self.error_type,
            "x-dead-message": self.message[:2_000],
            "x-dead-attempts": str(self.attempts),
        }
        return [*original, *((name, text.encode()) for name, text in ours.items())]
