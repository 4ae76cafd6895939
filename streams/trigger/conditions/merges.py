"""Merged buckets of a window that slides, kept in the database beside the rows they were merged from.

With twelve partitions a bucket is twelve rows. A worker that has just started would read and unpack them all at
the first check of every trigger, and at midnight, when the window's first day is cut into hours, those of a whole
day. So the check that merges the rows of a bucket writes the result down. What is kept only saves work.
"""

from datetime import datetime
from typing import Final

from streams.engines.drift.series import AnySketch
from streams.runtime.database import Connection, integers
from streams.trigger.conditions.windows import BucketKey


class Merges:
    """Buckets of one trigger that a check merges from several rows. Works in the caller's transaction, in which
    the trigger is locked."""

    def __init__(self, trigger_id: str) -> None:
        self.trigger_id = trigger_id
        self._fresh: dict[BucketKey, tuple[int, bytes]] = {}

    def add(self, bucket: BucketKey, version: int, sketch: AnySketch) -> None:
        """Note a bucket with the version of its rows."""
        self._fresh[bucket] = version, sketch.to_bytes()

    async def write(self, connection: Connection, since: datetime) -> None:
        """Keep what was noted, and forget what is before the window. Nothing is read."""
        fresh = {key: held for key, held in self._fresh.items() if key[1] >= since.timestamp()}
        if not fresh:
            return
        numbers = integers(((*key, version) for key, (version, _) in fresh.items()), len(_NUMBERS))
        await connection.execute(
            "WITH gone AS"
            " (DELETE FROM trigger_buckets WHERE trigger_id = %(trigger)s AND bucket_start < %(since)s)"
            " INSERT INTO trigger_buckets (trigger_id, width_seconds, bucket_start, version, sketch)"
            " SELECT %(trigger)s, width, to_timestamp(start), version, sketch FROM"
            " unnest(%(widths)s::int[], %(starts)s::bigint[], %(versions)s::bigint[], %(sketches)b::bytea[])"
            " AS m (width, start, version, sketch) ON CONFLICT (trigger_id, width_seconds, bucket_start)"
            " DO UPDATE SET version = EXCLUDED.version, sketch = EXCLUDED.sketch",
            {
                "trigger": self.trigger_id,
                "since": since,
                "sketches": [sketch for _, sketch in fresh.values()],
                **dict(zip(_NUMBERS, numbers, strict=True)),
            },
            prepare=True,
        )


_NUMBERS: Final = ("widths", "starts", "versions")
