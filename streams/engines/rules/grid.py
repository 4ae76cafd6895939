"""The grid of nominal check times: multiples of an interval since 1970-01-01T00:00Z. Pure.

On a grid, not counted from a trigger's creation, so that a replay of old documents makes the very checks that
were made when they were new.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from schemas.times import EPOCH


def at_or_before(moment: datetime, interval_seconds: int) -> datetime:
    """The last point of the grid not after ``moment``."""
    step = timedelta(seconds=interval_seconds)
    return EPOCH + step * ((moment.astimezone(UTC) - EPOCH) // step)


def after(moment: datetime, interval_seconds: int) -> datetime:
    """The first point of the grid strictly after ``moment``."""
    step = timedelta(seconds=interval_seconds)
    # In one sum: the point before may lie outside the calendar.
    return EPOCH + step * ((moment.astimezone(UTC) - EPOCH) // step + 1)


def before(moment: datetime, interval_seconds: int) -> datetime:
    """The last point of the grid strictly before ``moment``."""
    step = timedelta(seconds=interval_seconds)
    return EPOCH + step * -((EPOCH - moment.astimezone(UTC)) // step + 1)


def due(last: datetime, until: datetime, interval_seconds: int) -> Iterator[datetime]:
    """Every point of the grid after ``last`` and not after ``until``, in order."""
    step = timedelta(seconds=interval_seconds)
    point = after(last, interval_seconds)
    while point <= until:
        yield point
        point += step
