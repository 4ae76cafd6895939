"""Time as an argument: stations are given a clock, decisions are given instants."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

Clock = Callable[[], datetime]
"""Returns the present instant in UTC."""

CLOCKS_DIFFER: Final = timedelta(seconds=30)
"""How far the clocks of stations may differ before one is taken to have been ahead, and to have gone back."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
