"""Reads the facts of the watermark rule: first the database in one snapshot, then the ends of the log.

The rule itself is ``streams.engines.rules.watermark``; the order of reading is part of its correctness.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition

from schemas.topics import DOCUMENTS
from streams.engines.rules import watermark
from streams.engines.rules.watermark import PartitionProgress
from streams.runtime.agent import Context
from streams.runtime.broker import IdleConsumer, end_offsets, fetched_ends
from streams.runtime.database import stored_positions

COLLECT = "collect"
"""The station whose positions say what has been collected."""

CollectionKey = tuple[str, str]
"""(namespace_id, collection_id)"""


@dataclass(frozen=True, slots=True)
class Collected:
    """What the database knew at one instant."""

    marks: Mapping[CollectionKey, Mapping[int, datetime]]
    """Per collection and partition, the watermark reached there; absent where none was."""
    next_offsets: Mapping[int, int]
    """Per partition of ``documents``, the offset after the last collected record."""

    def greatest(self, collections: Iterable[CollectionKey]) -> datetime | None:
        """No watermark of these collections is beyond this, whatever the lag."""
        return max((mark for key in collections for mark in self.marks.get(key, {}).values()), default=None)

    def watermark(self, collections: Iterable[CollectionKey], lagging: Mapping[int, bool]) -> datetime | None:
        """The watermark of a trigger that watches these collections; ``lagging`` has every partition."""
        return watermark.watermark(
            PartitionProgress(self.marks.get(key, {}).get(partition), lags)
            for key in collections
            for partition, lags in lagging.items()
        )


class Watermarks:
    """Holds one consumer, that never consumes, for as long as the station lives."""

    def __init__(self, context: Context) -> None:
        self._broker = context.broker
        self._database = context.database
        self._topic = context.broker.topic(DOCUMENTS)
        self._consumer = IdleConsumer(context.broker)
        # One look at the log takes milliseconds. Not the client's patience of 40 s: checks wait meanwhile.
        self._timeout_seconds = 10.0

    async def collected(self, collections: Iterable[CollectionKey]) -> Collected:
        """Positions and watermarks, from one snapshot of the database."""
        keys = list(collections)
        async with self._database.transaction(snapshot=True) as connection:
            positions = await stored_positions(connection, COLLECT, self._topic)
            cursor = await connection.execute(
                "SELECT namespace_id, collection_id, partition, watermark FROM collection_counters"
                " WHERE watermark IS NOT NULL AND (namespace_id, collection_id) IN"
                " (SELECT * FROM unnest(%s::text[], %s::text[]))",
                ([key[0] for key in keys], [key[1] for key in keys]),
            )
            marks: dict[CollectionKey, dict[int, datetime]] = {}
            for namespace_id, collection_id, partition, mark in await cursor.fetchall():
                marks.setdefault((namespace_id, collection_id), {})[partition] = mark
        return Collected(marks, {partition: stored.next_offset for partition, stored in positions.items()})

    async def lagging(self, collected: Collected) -> dict[int, bool]:
        """For every partition of ``documents``, whether it has records beyond ``collected``, which must have
        been read before this is called."""
        async with asyncio.timeout(self._timeout_seconds):
            consumer = await self._consumer.get()
            ends = await end_offsets(consumer, self._topic)
            unread = [TopicPartition(self._topic, p) for p in ends if p not in collected.next_offsets]
            begins = {tp.partition: at for tp, at in (await consumer.beginning_offsets(unread)).items()}
            if not self._broker.settings.kafka_idempotence:
                # Such a broker (Tansu) may name an end before a position within the last batch.
                past = {p: at for p, at in collected.next_offsets.items() if p in ends and at >= ends[p] > 0}
                ends |= await fetched_ends(consumer, self._topic, past)
        return {
            partition: watermark.lags(collected.next_offsets.get(partition), begins.get(partition, 0), end)
            for partition, end in ends.items()
        }

    async def close(self) -> None:
        """Give the consumer back."""
        await self._consumer.close()
