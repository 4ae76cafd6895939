"""Time buckets: how wide they are for a check, and where an instant falls.

The grid is the multiples of the width since 1970-01-01T00:00Z, so partitions, workers and replays agree on it.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.times import EPOCH

WIDTHS_SECONDS: Final = (86_400, 3_600, 60, 1)
"""Day, hour, minute, second."""

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def bucket_width(check_interval_seconds: int, *spans: int | None) -> int:
    """The widest bucket, in seconds, that divides the check interval and every other span (a window, say).

    A check cuts at a multiple of its interval; because the width divides it, the cut never falls inside a
    bucket and a check reads as few rows as it can. Raises ``ValueError`` for a span under one second.
    """
    given = [check_interval_seconds, *(span for span in spans if span is not None)]
    if min(given) < 1:
        raise ValueError("a check interval and a window are at least 1 second")
    return next(width for width in WIDTHS_SECONDS if all(span % width == 0 for span in given))


def bucket_start(moment: datetime, width_seconds: int) -> datetime:
    """The start, in UTC, of the bucket that holds ``moment``: start <= moment < start + width. Of a bucket that
    begins before the calendar does, the calendar's beginning."""
    width = timedelta(seconds=width_seconds)
    try:
        return EPOCH + (moment - EPOCH) // width * width
    except OverflowError:
        return _BEGINNING
