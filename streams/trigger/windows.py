"""The window of a check: time buckets in, one sketch and one count out. Pure.

Buckets come in time order and each is read once; a window of N buckets is merged from at most N sketches, a
window that begins at the baseline from what came since the check before.
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.engines.drift.sketch import Sketch, merge_all
from streams.engines.rules.condition import Condition


@dataclass(frozen=True, slots=True)
class Bucket:
    """One time bucket of everything a trigger watches: all collections and partitions merged."""

    end: datetime
    """Documents in it occurred (or were appended) before this instant."""
    documents: int
    sketch: Sketch | None
    """``None`` where only the count is needed."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one check looks at: buckets with ``since < end <= at``."""

    since: datetime | None
    documents: int
    sketch: Sketch | None


def window_start(condition: Condition, baseline_at: datetime | None, at: datetime) -> datetime | None:
    """Where the window of a check at ``at`` begins; ``None``: at the beginning of everything."""
    if condition.window_seconds is None:
        return baseline_at
    return _back(at, timedelta(seconds=condition.window_seconds))


def _back(moment: datetime, length: timedelta) -> datetime:
    try:
        return moment - length
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


class SlidingWindow:
    """The last ``seconds`` before each check."""

    grows = False

    def __init__(self, seconds: int) -> None:
        self._length = timedelta(seconds=seconds)
        self._buckets: deque[Bucket] = deque()

    def add(self, bucket: Bucket) -> None:
        """The next bucket in time order."""
        self._buckets.append(bucket)

    def at(self, moment: datetime) -> Window:
        """The window of a check at ``moment``, which never goes back and is after every bucket's start."""
        since = _back(moment, self._length)
        while self._buckets and self._buckets[0].end <= since:
            self._buckets.popleft()
        merged = merge_all(bucket.sketch for bucket in self._buckets if bucket.sketch is not None)
        return Window(since, sum(bucket.documents for bucket in self._buckets), merged)


class GrowingWindow:
    """Everything since the baseline."""

    grows = True

    def __init__(self, since: datetime | None) -> None:
        self._window = Window(since, 0, None)

    def add(self, bucket: Bucket) -> None:
        """The next bucket in time order."""
        held = self._window
        sketches = (sketch for sketch in (held.sketch, bucket.sketch) if sketch is not None)
        self._window = Window(held.since, held.documents + bucket.documents, merge_all(sketches))

    def at(self, moment: datetime) -> Window:
        """The window of a check at ``moment``; buckets that end later have not been added yet."""
        return self._window

    def restart(self, moment: datetime) -> None:
        """What has been added so far became the baseline."""
        self._window = Window(moment, 0, None)
