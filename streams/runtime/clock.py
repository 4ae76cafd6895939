"""Time as an argument: stations are given a clock, decisions are given instants."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present instant in UTC."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
