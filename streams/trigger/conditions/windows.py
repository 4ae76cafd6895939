"""The window of a check: rows of sketches in, one sketch and one count out. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.engines.drift.series import AnySketch, merge_bytes
from streams.engines.drift.sketch import merge_all
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span

BucketKey = tuple[int, int]
"""Width of a bucket and where it begins, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored row: what came to one collection through one partition in one bucket."""

    width: int
    start: int
    """Seconds since 1970; documents in it are of this instant or later, and before ``start + width``."""
    documents: int
    sketch: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """What came between two instants."""

    since: datetime | None
    documents: int
    sketch: AnySketch | None
    """``None`` where nothing came, or only documents are counted."""

    def plus(self, documents: int, sketch: AnySketch | None) -> "Window":
        """With what came afterwards."""
        merged = merge_all(part for part in (self.sketch, sketch) if part is not None)
        return Window(self.since, self.documents + documents, merged)


@dataclass(frozen=True, slots=True)
class Held:
    """A window that grows, as the check at ``until`` left it."""

    until: datetime
    window: Window


class Rows:
    """The rows that were read, by bucket. Those of several partitions and collections are merged when they are
    first asked for: a row that is only counted is never unpacked.

    ``merged`` are buckets that are merged already; ``keep`` is told of each that is merged now.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        merged: Mapping[BucketKey, AnySketch | None] | None = None,
        keep: Callable[[BucketKey, AnySketch | None], None] | None = None,
    ) -> None:
        self._parts: dict[BucketKey, list[Row]] = {}
        for row in rows:
            self._parts.setdefault((row.width, row.start), []).append(row)
        self._merged = dict(merged or {})
        self._keep = keep
        self._starts: dict[int, list[int]] = {}
        for width, start in sorted(self._parts):
            self._starts.setdefault(width, []).append(start)

    def documents(self, spans: Iterable[Span]) -> int:
        """How many documents came."""
        return sum(row.documents for key in self._within(spans) for row in self._parts[key])

    def merged(self, spans: Iterable[Span]) -> AnySketch | None:
        """Everything that came."""
        parts = (self._bucket(key) for key in self._within(spans))
        return merge_all(part for part in parts if part is not None)

    def each(self, span: Span) -> list[AnySketch]:
        """Bucket by bucket, an empty sketch where nothing came; nothing at all when there is no bucket."""
        found = {key: sketch for key in self._within((span,)) if (sketch := self._bucket(key)) is not None}
        if not found:
            return []
        empty = next(iter(found.values())).emptied()
        start = min(key[1] for key in found) if span.start is None else span.start
        return [found.get((span.width, at), empty) for at in range(start, span.end, span.width)]

    def _within(self, spans: Iterable[Span]) -> Iterable[BucketKey]:
        for width, start, end in spans:
            starts = self._starts.get(width, [])
            first = 0 if start is None else bisect_left(starts, start)
            for at in starts[first : bisect_left(starts, end)]:
                yield width, at

    def _bucket(self, key: BucketKey) -> AnySketch | None:
        if key not in self._merged:
            self._merged[key] = merge_bytes([row.sketch for row in self._parts[key] if row.sketch])
            if self._keep is not None:
                self._keep(key, self._merged[key])
        return self._merged[key]


def back(moment: datetime, seconds: int) -> datetime:
    """So many seconds before, not before the calendar."""
    try:
        return moment - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def window_start(condition: Condition, baseline_at: datetime | None, at: datetime) -> datetime | None:
    """Where the window of a check at ``at`` begins; ``None``: at the beginning of everything."""
    if condition.window_seconds is None:
        return baseline_at if baseline_at is not None else condition.baseline.since
    begin = back(at, condition.window_seconds)
    since = condition.baseline.since
    # Until there is a baseline, what is looked at is to become one.
    return begin if baseline_at is not None or since is None else max(begin, since)
