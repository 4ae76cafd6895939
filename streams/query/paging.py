"""Newest-first pages over day partitions: cursors and windows. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from schemas.ids import BASE_BYTES
from schemas.times import format_instant, parse_instant
from streams.query.compose.rows import Execution, Unfired
from streams.runtime.http.pages import bad_cursor

_LARGEST_WINDOW = 32


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: behind this place of the order. Recorded executions come first, by
    (appended_at, base, number) descending; behind them the alerts that never fired, by number descending."""

    number: int
    appended_at: datetime | None = None
    base: bytes | None = None

    @property
    def recorded(self) -> bool:
        """Whether the place is among the recorded executions."""
        return self.appended_at is not None

    def cursor(self) -> tuple[Any, ...]:
        """The values an opaque cursor carries."""
        if self.appended_at is None or self.base is None:
            return (self.number,)
        return (format_instant(self.appended_at), self.base.hex(), self.number)


def parse_cursor(values: tuple[Any, ...] | None) -> After | None:
    """The place a cursor names. Raises 404."""
    match values:
        case None:
            return None
        case (int(number),) if _is_number(number):
            return After(number)
        case (str(moment), str(base), int(number)) if _is_number(number):
            try:
                after = After(number, parse_instant(moment), bytes.fromhex(base))
            except (ValueError, OverflowError):
                pass
            else:
                if len(bytes.fromhex(base)) == BASE_BYTES:
                    return after
    raise bad_cursor()


def _is_number(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < 1 << 63


def windows(days: Sequence[date], newest: date | None = None) -> Iterator[list[date]]:
    """Runs of ``days`` (given newest first) from ``newest`` on backwards.

    Windows hold 1, 2, 4 … 32 stored days: a page of fresh results touches one partition, a page of a rare
    alert does not need a query per day.
    """
    left = [day for day in days if newest is None or day <= newest]
    size = 1
    while left:
        window, left = left[:size], left[size:]
        yield window
        size = min(size * 2, _LARGEST_WINDOW)


def cut(
    recorded: Sequence[Execution], unfired: Sequence[Unfired], after: After | None, offset: int, limit: int
) -> tuple[list[Execution | Unfired], After | None]:
    """One page and where the next begins (``None`` on the last page).

    ``recorded`` holds the executions behind ``after``, ``offset + limit + 1`` of them where there are as many;
    ``unfired`` all alerts that never fired, by number descending.
    """
    silent = [item for item in unfired if after is None or after.recorded or item.number < after.number]
    items: list[Execution | Unfired] = [*recorded, *silent]
    page = items[offset : offset + limit]
    if not page or len(items) <= offset + limit:
        return page, None
    last = page[-1]
    if isinstance(last, Unfired):
        return page, After(last.number)
    return page, After(last.number, last.appended_at, last.base)
