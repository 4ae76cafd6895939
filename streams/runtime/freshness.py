"""How far what stations make of a write has come: collected, and in the view of results.

A document is collected when collect's position is behind it. Its results are in the view when two things are true,
in this order: the view holds match's progress behind the document (match tells it after the broker has the
results), and the view has been filled to the end that the result topics had at that moment or later.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout

from schemas.headers import SourcePosition
from schemas.times import EPOCH, from_millis
from schemas.topics import (
    ALERT_RESULTS,
    DOCUMENTS,
    MATCH_PROGRESS,
    NOTIFICATIONS,
    RETRIEVER_EXECUTIONS,
    TRIGGER_RESULTS,
)
from schemas.write_token import MinPosition, write_token
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.broker import IdleConsumer, fetched_ends, partitions_of
from streams.runtime.database import Connection, StoredPosition, fetch_value, stored_positions
from streams.runtime.standing import Standing
from streams.runtime.write_tokens import Place, published_places

VIEWED: Final = (ALERT_RESULTS, RETRIEVER_EXECUTIONS, MATCH_PROGRESS, TRIGGER_RESULTS, NOTIFICATIONS)
"""What the view is made from."""
_OF_MATCH: Final = (ALERT_RESULTS, RETRIEVER_EXECUTIONS)
log = structlog.get_logger(__name__)

_COLLECT: Final = "collect"
_QUERY: Final = "query"
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.1
_REFRESH_SECONDS: Final = 0.25
_STALE_SECONDS: Final = 1.0
_BROKER_SECONDS: Final = 1.0
Ends = dict[str, dict[int, int]]
"""By topic and partition the offset of the next record."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything recorded before ``through`` is in the view; found out at ``at`` of the monotonic clock."""

    through: datetime
    at: float


class Freshness:
    """Answers for one process; asks the broker only where topics end."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._consumer = IdleConsumer(context.broker)
        self._opening = asyncio.Lock()
        self._measuring: asyncio.Task[None] | None = None
        self._broker_answers = True
        self._known: _Known | None = None
        self._seen: Mapping[str, Mapping[int, StoredPosition]] = {}
        self._standing = Standing()
        self._stood: float | None = None

    async def close(self) -> None:
        """Give the connection to the broker back."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        await self._consumer.close()

    async def unwritten(self, wanted: MinPosition) -> str | None:
        """The first of ``wanted``, as a reader names it, that nobody has written so far: a transaction that never
        began, a record behind the end of its partition. ``None`` where all is written, or where the broker cannot
        be asked."""
        if wanted.transactions:
            async with self._context.database.connection() as connection:
                following = int(
                    await fetch_value(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
                )
            for number in wanted.transactions:
                if number >= following:
                    return write_token(number)
        if not wanted.documents:
            return None
        try:
            async with asyncio.timeout(_BROKER_SECONDS):
                ends = await self._written(wanted.documents)
        except (KafkaError, TimeoutError) as error:
            log.warning("broker_away", error=repr(error))
            return None
        absent = (one for one in wanted.documents if one.offset >= ends.get(one.partition, 0))
        return next((f"{one.partition}:{one.offset}" for one in absent), None)

    async def _written(self, documents: Sequence[SourcePosition]) -> dict[int, int]:
        """By partition of ``documents`` where it ends, as far as these positions ask."""
        ends = (await self._ends([DOCUMENTS.name]))[DOCUMENTS.name]
        beyond = {one.partition for one in documents if ends.get(one.partition, one.offset + 1) <= one.offset}
        if beyond and not self._context.settings.kafka_idempotence:
            # The embedded broker names an end before the last batch's (:func:`end_offsets`); a fetch tells.
            async with self._opening:
                consumer = await self._consumer.get()
                topic = self._context.broker.topic(DOCUMENTS)
                ends |= await fetched_ends(consumer, topic, {partition: ends[partition] for partition in beyond})
        return ends

    async def collected(self, wanted: MinPosition, seconds: float) -> bool:
        """Wait until what was written is stored; false when that took longer than ``seconds``."""
        return await self._within(seconds, self._await_collected, wanted)

    async def viewed(self, wanted: MinPosition, seconds: float) -> bool:
        """Wait until the results of what was written are in the view; false when that took longer."""
        return await self._within(seconds, self._await_viewed, wanted)

    async def applied_through(self) -> datetime:
        """Every result that was recorded before this instant is in the view of whoever reads after this call.
        Where the view has all there is, that is now or a moment ago."""
        age = math.inf if self._known is None else time.monotonic() - self._known.at
        if age > _REFRESH_SECONDS and (self._measuring is None or self._measuring.done()):
            self._measuring = asyncio.create_task(self._measure(), name="freshness")
        # An earlier answer stays true while the view grows: who asks again soon does not wait for the broker.
        # Nor does anybody while the broker is away: what is known stays all there is to know.
        if (
            self._known is None or (age > _STALE_SECONDS and self._broker_answers)
        ) and self._measuring is not None:
            await asyncio.shield(self._measuring)
        assert self._known is not None
        return self._known.through

    async def stands_still(self) -> float | None:
        """For how many seconds at least the view has not gone on though there is more to read: 0 where it goes
        on, or has all there is; ``None`` where the broker cannot be asked. Counted from when it was first seen."""
        await self._measure()
        return self._stood

    async def _measure(self) -> None:
        at = time.monotonic()
        try:
            through, went_back = await self._measured()
        except (psycopg.OperationalError, PoolTimeout) as error:
            if self._known is None:
                raise
            # Whoever reads meets the same; here what is known stays true.
            log.warning("freshness_not_measured", error=repr(error))
            return
        if self._known is not None and not went_back:
            through = max(through, self._known.through)
        self._known = _Known(through, at)

    async def _measured(self) -> tuple[datetime, bool]:
        """How fresh the view is, and whether it has less than when this was asked last: it was emptied to be made
        again, or a crash of the database undid its end."""
        now = self._context.clock()
        ends = await self._answer(self._ends([topic.name for topic in VIEWED]))
        stands = await self._viewed_to([topic.name for topic in VIEWED])
        if ends is not None:
            ends = await self._answer(self._readable(ends, stands))
        self._broker_answers = ends is not None
        self._stood = None
        if ends is not None:
            offsets = {(topic, n): at.next_offset for topic, of in stands.items() for n, at in of.items()}
            last = {(topic, n): end for topic, of in ends.items() for n, end in of.items()}
            self._stood = self._standing.see(time.monotonic(), last, offsets)
            metrics.VIEW_STANDING.set(self._stood)
        seen, self._seen = self._seen, stands
        went_back = any(
            _next_offset(stands[topic].get(partition)) < at.next_offset
            for topic, of in seen.items()
            for partition, at in of.items()
        )
        return behind(now, ends, stands), went_back

    async def _answer(self, asked: Coroutine[None, None, Ends]) -> Ends | None:
        """What the broker answers; ``None`` where it does not."""
        try:
            async with asyncio.timeout(_BROKER_SECONDS):
                return await asked
        except (KafkaError, TimeoutError) as error:
            if self._broker_answers:
                log.warning("broker_away", error=repr(error))
            return None

    async def _within(
        self, seconds: float, wait: Callable[[MinPosition], Awaitable[None]], wanted: MinPosition
    ) -> bool:
        try:
            async with asyncio.timeout(seconds) as limit:
                await wait(wanted)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    async def _await_collected(self, wanted: MinPosition) -> None:
        places = await self._places(wanted)
        await self._reached(_COLLECT, [place for place in places if place.topic == DOCUMENTS.name])

    async def _await_viewed(self, wanted: MinPosition) -> None:
        places = await self._places(wanted)
        documents = [place for place in places if place.topic == DOCUMENTS.name]
        direct = [place for place in places if place.topic != DOCUMENTS.name]
        if documents:
            await self._until(lambda connection: _checked(connection, documents))
            topics = [topic.name for topic in _OF_MATCH]
            ends = await self._readable(await self._ends(topics), await self._viewed_to(topics))
            for topic, of in ends.items():
                direct += [Place(topic, partition, end) for partition, end in of.items() if end > 0]
        await self._reached(_QUERY, direct)

    async def _places(self, wanted: MinPosition) -> list[Place]:
        places = [Place(DOCUMENTS.name, one.partition, one.offset + 1) for one in wanted.documents]
        if wanted.transactions:
            found: list[Place] = []

            async def published(connection: Connection) -> bool:
                nonlocal found
                now = await published_places(connection, wanted.transactions)
                found = now or []
                return now is not None

            await self._until(published)
            places += found
        return places

    async def _reached(self, station: str, places: Sequence[Place]) -> None:
        async def reached(connection: Connection) -> bool:
            stands = {name: await self._stands(connection, station, name) for name in {p.topic for p in places}}
            return all(
                (at := stands[place.topic].get(place.partition)) is not None
                and at.next_offset >= place.next_offset
                for place in places
            )

        if places:
            await self._until(reached)

    async def _until(self, true: Callable[[Connection], Awaitable[bool]]) -> None:
        pause = _FIRST_PAUSE
        while True:
            async with self._context.database.connection() as connection:
                if await true(connection):
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _stands(self, connection: Connection, station: str, topic: str) -> Mapping[int, StoredPosition]:
        return await stored_positions(connection, station, f"{self._context.settings.topic_prefix}{topic}")

    async def _viewed_to(self, topics: Sequence[str]) -> dict[str, Mapping[int, StoredPosition]]:
        async with self._context.database.connection() as connection:
            return {topic: await self._stands(connection, _QUERY, topic) for topic in topics}

    async def _readable(self, ends: Ends, stands: Mapping[str, Mapping[int, StoredPosition]]) -> Ends:
        """``ends``, 0 for partitions behind whose place nothing is left to read: what was in them was no longer
        kept when the view was made (again), or went on."""
        prefix = self._context.settings.topic_prefix
        unread = [
            TopicPartition(f"{prefix}{topic}", partition)
            for topic, of in ends.items()
            for partition, end in of.items()
            if end > _next_offset(stands[topic].get(partition))
        ]
        found = {topic: dict(of) for topic, of in ends.items()}
        if unread:
            async with self._opening:
                consumer = await self._consumer.get()
            for tp, begin in (await consumer.beginning_offsets(unread)).items():
                of = found[tp.topic.removeprefix(prefix)]
                if begin >= of[tp.partition]:
                    of[tp.partition] = 0
        return found

    async def _ends(self, topics: Sequence[str]) -> Ends:
        """Where topics end, in one question to the broker."""
        prefix = self._context.settings.topic_prefix
        async with self._opening:
            consumer = await self._consumer.get()
        wanted = [
            TopicPartition(f"{prefix}{topic}", partition)
            for topic in topics
            for partition in await partitions_of(consumer, f"{prefix}{topic}")
        ]
        found: Ends = {topic: {} for topic in topics}
        for tp, offset in (await consumer.end_offsets(wanted)).items():
            found[tp.topic.removeprefix(prefix)][tp.partition] = offset
        return found


def _next_offset(at: StoredPosition | None) -> int:
    return 0 if at is None else at.next_offset


async def _checked(connection: Connection, documents: Sequence[Place]) -> bool:
    """Whether the view holds match's progress behind these."""
    wanted = {place.partition: 0 for place in documents}
    for place in documents:
        wanted[place.partition] = max(wanted[place.partition], place.next_offset)
    cursor = await connection.execute(
        "SELECT bool_and(EXISTS (SELECT FROM match_progress p WHERE p.partition = w.partition"
        " AND p.next_offset >= w.next_offset)) FROM unnest(%s::int[], %s::bigint[]) AS w (partition, next_offset)",
        (list(wanted), list(wanted.values())),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def behind(
    now: datetime,
    ends: Mapping[str, Mapping[int, int]] | None,
    stands: Mapping[str, Mapping[int, StoredPosition]],
) -> datetime:
    """The instant before which everything recorded in some topics has been read: ``now`` where every position is
    at the end that its partition had then, else the time of the last record read of those that are not. Pure.

    Without ``ends``, when nobody can say where topics end, every partition may be behind.
    """
    instants = [now]
    for topic, positions in stands.items():
        expected = None if ends is None else ends.get(topic, {})
        partitions = set(positions) | set(expected or ())
        for partition in partitions:
            at = positions.get(partition)
            end = None if expected is None else expected.get(partition, 0)
            if end is not None and end <= _next_offset(at):
                continue
            read = None if at is None else at.last_timestamp
            instants.append(EPOCH if read is None else from_millis(read))
    return min(instants)
