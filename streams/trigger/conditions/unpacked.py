"""Buckets whose sketches were read and merged before, kept while their rows are what they were.

A window that slides reads nearly the same rows at each check. Unpacking them takes longer than everything else, so
what was unpacked is kept, bucket by bucket, with the version of its rows. What is kept only saves work.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streams.engines.drift.series import AnySketch
from streams.engines.rules.rollup import Span
from streams.trigger.conditions.windows import BucketKey

KEPT: Final = 1_000
"""Buckets, some 20 kB each for 384 dimensions."""

SeriesKey = tuple[object, ...]
"""What tells series apart."""


class Merged(NamedTuple):
    """The rows of one bucket, merged."""

    version: int
    sketch: AnySketch | None


class Unpacked:
    """Buckets of any series, those last used."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._buckets: OrderedDict[tuple[SeriesKey, BucketKey], Merged] = OrderedDict()

    def within(self, series: SeriesKey, spans: Iterable[Span]) -> dict[BucketKey, Merged]:
        """What is kept of the buckets in ``spans``."""
        return {key: found for key in self._keys(series, spans) if (found := self._buckets.get((series, key)))}

    def _keys(self, series: SeriesKey, spans: Iterable[Span]) -> Iterator[BucketKey]:
        for width, start, end in spans:
            if start is not None and (end - start) // width <= self._kept:
                yield from ((width, at) for at in range(start, end, width))
            else:
                # More places in the span than buckets that can be kept.
                yield from (
                    key
                    for held, key in self._buckets
                    if held == series and key[0] == width and key[1] < end and (start is None or key[1] >= start)
                )

    def used(self, series: SeriesKey, bucket: BucketKey) -> None:
        """A bucket that is kept was of use."""
        self._buckets.move_to_end((series, bucket))

    def keep(self, series: SeriesKey, bucket: BucketKey, version: int, sketch: AnySketch | None) -> None:
        """Keep a bucket, and let the one go that was not used for longest."""
        self._buckets[series, bucket] = Merged(version, sketch)
        self._buckets.move_to_end((series, bucket))
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
