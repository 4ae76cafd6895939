"""Buckets whose sketches were read and merged before, kept while their rows are what they were.

A window that slides reads nearly the same rows at each check. Unpacking them takes longer than everything else, so
what was unpacked is kept, bucket by bucket, with the version of its rows. What is kept only saves work.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from streams.engines.drift.series import AnySketch
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

    def find(self, series: SeriesKey, bucket: BucketKey, version: int) -> Merged | None:
        """The bucket, if its rows still have this version."""
        found = self._buckets.get((series, bucket))
        if found is None or found.version != version:
            return None
        self._buckets.move_to_end((series, bucket))
        return found

    def keep(self, series: SeriesKey, bucket: BucketKey, version: int, sketch: AnySketch | None) -> None:
        """Keep a bucket, and let the one go that was not used for longest."""
        self._buckets[series, bucket] = Merged(version, sketch)
        self._buckets.move_to_end((series, bucket))
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
