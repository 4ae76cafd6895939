"""query: result topics → the read view (design section 1).

What a crash in the middle costs: nothing. Rows and positions commit together; before the commit the batch is
read again, after it reading goes on behind it. The whole view can be made again (``rebuilding``).
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Final

import psycopg
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.topics import Topic
from streams.query.few import NotAsExpected, are_few, write_few
from streams.query.results import ResultReader
from streams.query.retention import drop_days
from streams.query.rows import Rows
from streams.query.store import write
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.faults import fault
from streams.runtime.freshness import VIEWED
from streams.runtime.loop import Batch, DeadLetters, StationLoop
from streams.runtime.positions import Positions

log = structlog.get_logger(__name__)

NAME = "query"
BATCHES: Final = 4
"""The station takes so many times the records of others in a batch: it does not hold one transaction over all."""
PART_BYTES: Final = 16 * 1024 * 1024
PART_RECORDS: Final = 2_000
"""What one transaction takes of a batch, at most."""
RETENTION_SECONDS: Final = 300.0
"""How often it is looked for days that are no longer kept."""
CHECK_SECONDS: Final = 1.0
"""How often positions are looked at that no record moves."""
TURN_SECONDS: Final = 0.003
"""How long records are decoded before the connection of the transaction under way has its turn: about what the
database takes for what the socket to it holds."""


class ViewWriter:
    """Applies batches to the view, part by part: while the database takes one in, the next is decoded. A
    ``BatchHandler``."""

    name = NAME
    topics: tuple[Topic, ...] = VIEWED

    def __init__(self, context: Context, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._logical = {context.broker.topic(topic): topic.name for topic in VIEWED}
        self._positions = Positions(context, NAME)
        self._reader = ResultReader()
        self._checked = 0.0

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Behind what the view holds; the beginning of a log it holds nothing of, whatever the group committed."""
        self._checked = time.monotonic()
        return await self._positions.assign(partitions)

    async def handle(self, batch: Batch) -> None:
        """Put bad records away, and commit rows together with the positions behind them."""
        await self._check()
        writing: asyncio.Task[None] | None = None
        try:
            for part in divided(self._positions.unread(batch)):
                rows = await self._read(part)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._write(part, rows))
            if writing is not None:
                await writing
        finally:
            if writing is not None and not writing.done():
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def idle(self) -> None:
        """Where nothing comes, that the view was emptied shows only in what is stored."""
        await self._check()

    async def _check(self) -> None:
        if (now := time.monotonic()) - self._checked >= CHECK_SECONDS:
            await self._positions.check()
            self._checked = now

    async def _read(self, part: Sequence[ConsumerRecord]) -> Rows:
        rows = Rows(self._reader)
        last = time.monotonic()
        for record in part:
            try:
                rows.add(self._logical[record.topic], record.value, record.partition, record.offset)
            except DecodeError as error:
                await self._dead_letters.put(record, error)
            if (now := time.monotonic()) - last > TURN_SECONDS:
                await asyncio.sleep(0)
                last = now
        return rows

    async def _write(self, part: Sequence[ConsumerRecord], rows: Rows) -> None:
        last = {TopicPartition(record.topic, record.partition): record for record in part}
        if not (are_few(rows) and await self._write_few(last, rows)):
            async with self._positions.transaction(last, durable=False) as connection:
                await write(connection, rows)
                await fault("query:before-commit")
        await fault("query:after-commit")

    async def _write_few(self, last: Mapping[TopicPartition, ConsumerRecord], rows: Rows) -> bool:
        try:
            async with self._positions.moving(last) as (connection, moves):
                await write_few(connection, NAME, moves, rows)
        except NotAsExpected:
            return False
        return True


def divided(batch: Batch) -> Iterator[list[ConsumerRecord]]:
    """A batch in parts for one transaction each."""
    part: list[ConsumerRecord] = []
    size = 0
    for record in chain.from_iterable(batch.values()):
        part.append(record)
        size += len(record.value or b"")
        if size >= PART_BYTES or len(part) >= PART_RECORDS:
            yield part
            part, size = [], 0
    if part:
        yield part


class QueryStation:
    """The materialiser as a stream agent."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop: StationLoop | None = None
        self._stopped = False

    async def run(self) -> None:
        """Materialise until :meth:`stop`."""
        broker = self._context.broker
        producer = broker.producer()
        await producer.start()
        try:
            writer = ViewWriter(self._context, DeadLetters(broker, producer, NAME))
            self._loop = StationLoop(
                broker, writer, batch_records=BATCHES * self._context.settings.batch_documents
            )
            if not self._stopped:
                dropping = asyncio.create_task(self._drop_old_days(), name="retention")
                try:
                    await self._loop.run()
                finally:
                    dropping.cancel()
                    await asyncio.gather(dropping, return_exceptions=True)
        finally:
            await producer.stop()

    async def _drop_old_days(self) -> None:
        """Now and then drop what is older than results are kept."""
        days = self._context.settings.results_kept_days
        while days is not None:
            before = self._context.clock().date() - timedelta(days=days)
            try:
                await drop_days(self._context.database, before)
            except psycopg.Error as error:
                # Tried again: nothing waits for it.
                log.warning("days_not_dropped", before=before.isoformat(), error=repr(error))
            await asyncio.sleep(RETENTION_SECONDS)

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopped = True
        if self._loop is not None:
            self._loop.stop()


def build(context: Context) -> StreamAgent:
    """The station, not yet running."""
    return QueryStation(context)
