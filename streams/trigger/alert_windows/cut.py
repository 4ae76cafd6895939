"""How far windows may be decided: a cut through the log up to which everything has been added up.

A window that ends at ``n`` is decided once everything that belongs before ``n`` has been collected, matched and
added up. The facts come from three places, and the order in which they are looked at is what makes it right:

1. how far collect is, then the ends of ``documents``: the watermark of each collection (as for drift checks), and
   on processing time the clock, or the oldest record that waits;
2. match has acknowledged the results of everything that collect had then;
3. the end of ``alert-results``, looked at after that: what match had to tell is before it;
4. everything before that end has been added up.

Each fact is waited for, tick by tick; only then is decided, up to the watermarks of the first. Positions are
compared with those of the cut, not with the newest: under load nobody would ever reach those.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiokafka import TopicPartition

from schemas.times import TimeDomain, from_millis
from schemas.topics import ALERT_RESULTS, DOCUMENTS
from streams.engines.rules.watermark import lags
from streams.runtime.agent import Context
from streams.runtime.broker import IdleConsumer, end_offsets, fetched_ends
from streams.runtime.database import Connection, StoredPosition, stored_positions
from streams.trigger.watermarks import COLLECT, Collected, CollectionKey, Watermarks

MATCH: Final = "match"
IN_FLIGHT: Final = timedelta(seconds=2)
"""Processing time: a record may be this much older when it arrives; its time is its producer's."""
_PATIENCE_SECONDS: Final = 10.0
"""One look at the log takes milliseconds. Not the client's patience of 40 s: decisions wait meanwhile."""


@dataclass(slots=True)
class Cut:
    """Where time was, and what must be done before it may be decided."""

    collected: Collected
    lagging: Mapping[int, bool]
    clock: datetime | None
    """On processing time, how far everything was; ``None`` where a partition has not been begun."""
    results: Mapping[int, int] | None = None
    """Per partition of ``alert-results`` how far must be added up; ``None`` while match is behind."""

    def until(self, collection: CollectionKey, domain: TimeDomain) -> datetime | None:
        """How far windows of a collection may be decided."""
        if domain == "event_time":
            return self.collected.watermark([collection], self.lagging)
        return self.clock


class Cuts:
    """Makes cuts and says when what they wait for is there. Holds consumers that never consume."""

    def __init__(self, context: Context, station: str) -> None:
        self._broker = context.broker
        self._database = context.database
        self.watermarks = Watermarks(context)
        self._station = station
        self._documents = context.broker.topic(DOCUMENTS)
        self._results = context.broker.topic(ALERT_RESULTS)
        self._consumer = IdleConsumer(context.broker)

    async def close(self) -> None:
        """Give the consumers back."""
        await self.watermarks.close()
        await self._consumer.close()

    async def make(self, collections: set[CollectionKey], now: datetime) -> Cut:
        """A cut of now."""
        async with self._database.connection() as connection:
            stored = await stored_positions(connection, COLLECT, self._documents)
        # Read before the positions: what waits is not older than that.
        collected = await self.watermarks.collected(collections)
        lagging = await self.watermarks.lagging(collected)
        return Cut(collected, lagging, _clock(now, stored, lagging))

    async def ready(self, cut: Cut) -> bool:
        """Whether everything of a cut has been added up."""
        if cut.results is None:
            async with self._database.connection() as connection:
                matched = await _matched(connection, self._documents)
            if any(matched.get(p, 0) < offset for p, offset in cut.collected.next_offsets.items()):
                return False
            cut.results = await self._told()
        async with self._database.connection() as connection:
            added = await stored_positions(connection, self._station, self._results)
        return all(p in added and added[p].next_offset >= offset for p, offset in cut.results.items())

    async def _told(self) -> dict[int, int]:
        """The ends of ``alert-results``, of the partitions that hold anything."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            consumer = await self._consumer.get()
            ends = await end_offsets(consumer, self._results)
            begins = await consumer.beginning_offsets([TopicPartition(self._results, p) for p in ends])
            first = {tp.partition: offset for tp, offset in begins.items()}
            told = {p: end for p, end in ends.items() if lags(None, first[p], end)}
            if not self._broker.settings.kafka_idempotence:
                # Such a broker (Tansu) may name an end within the last batch.
                told |= await fetched_ends(consumer, self._results, told)
        return told


def _clock(now: datetime, stored: Mapping[int, StoredPosition], lagging: Mapping[int, bool]) -> datetime | None:
    """How far processing time was: up to what waits in the partition that is behind most, or up to now."""
    reached = now
    for partition in (partition for partition, lags_ in lagging.items() if lags_):
        position = stored.get(partition)
        if position is None or position.last_timestamp is None:
            return None
        reached = min(reached, from_millis(position.last_timestamp))
    return reached - IN_FLIGHT


async def _matched(connection: Connection, documents: str) -> dict[int, int]:
    """Per partition of ``documents`` how far match has told its results. It notes so itself, though not while the
    database is away; what the view knows of it comes over the log."""
    noted = await stored_positions(connection, MATCH, documents)
    cursor = await connection.execute("SELECT partition, max(next_offset) FROM match_progress GROUP BY 1")
    viewed: dict[int, int] = dict(await cursor.fetchall())
    return {p: max(noted[p].next_offset if p in noted else 0, viewed.get(p, 0)) for p in {*noted, *viewed}}
