"""Definitions in memory: a catalog read from a snapshot of the database and kept fresh by the topic, and whose
topic that is."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.events.definition import DefinitionRecord, decode_definition
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS
from streams.runtime.broker import Broker
from streams.runtime.catalog import Catalog
from streams.runtime.database import Database
from streams.runtime.definitions import current_version, every_record
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import stream_epoch

log = structlog.get_logger(__name__)

_READ_SECONDS: Final = 30.0


async def snapshot(database: Database) -> Catalog:
    """The catalog as of one instant of the database.

    With its tombstones: else an older record of a deleted definition, still in the topic, would bring it back.
    """
    async with database.transaction(snapshot=True) as connection:
        epoch = await stream_epoch(connection)
        version = await current_version(connection)
        records = await every_record(connection)
    return Catalog(epoch, version.number, records)


async def first_record(broker: Broker) -> ConsumerRecord | None:
    """The first record of the topic, which names the stream; ``None`` when it is empty. Raises
    ``TimeoutError``."""
    consumer = broker.consumer()
    await consumer.start()
    try:
        partition = TopicPartition(broker.topic(DEFINITIONS), 0)
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.assign([partition])
        consumer.seek(partition, begin)
        async with asyncio.timeout(_READ_SECONDS):
            # Compaction leaves gaps, so a log that is not empty by its offsets may hold no record.
            while begin < end and await consumer.position(partition) < end:
                found = await consumer.getmany(partition, timeout_ms=500, max_records=1)
                if records := found.get(partition):
                    return records[0]
        return None
    finally:
        await consumer.stop()


def check_stream(topic: str, first: ConsumerRecord, epoch: str) -> None:
    """Raise :class:`LogMismatchError` unless the first record of ``topic`` is of the stream ``epoch``."""
    try:
        found = decode_definition(first.value).version.epoch
    except DecodeError as error:
        raise LogMismatchError(f"the first record of {topic} is not of this system: {error}") from error
    _same_stream(topic, found, epoch)


def _same_stream(topic: str, found: str, epoch: str) -> None:
    if found != epoch:
        raise LogMismatchError(
            f"{topic} belongs to stream {found}, the database to {epoch}. Point TIDEWATCH_DATABASE and "
            "TIDEWATCH_KAFKA at a pair that belong together, or set TIDEWATCH_TOPIC_PREFIX to start new topics "
            "for this database."
        )


class DefinitionsTail:
    """Keeps a catalog fresh: boots from a snapshot, then tails the ``definitions`` topic.

    ``on_change`` is called after every record that changed something, in the event loop; a station compiles
    what it needs there or marks itself stale.
    """

    def __init__(
        self,
        broker: Broker,
        database: Database,
        on_change: Callable[[DefinitionRecord], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._topic = broker.topic(DEFINITIONS)
        self._database = database
        self._on_change = on_change
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.catalog = Catalog("")

    async def start(self) -> None:
        """Read the snapshot and begin to tail. Raises :class:`LogMismatchError` when the topic belongs to
        another database."""
        self.catalog = await snapshot(self._database)
        first = await first_record(self._broker)
        # Without a first record the relay has not opened the topic yet; what comes is checked as it comes.
        if first is not None:
            check_stream(self._topic, first, self.catalog.epoch)
        consumer = self._broker.consumer()
        await consumer.start()
        try:
            partition = TopicPartition(self._topic, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
        except BaseException:
            await consumer.stop()
            raise
        self._task = asyncio.create_task(self._tail(consumer), name="definitions-tail")

    async def stop(self) -> None:
        """End the tail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def failure(self) -> BaseException | None:
        """What ended the tail, if it has failed; a station checks it with every batch."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def wait_for(self, version: DefinitionsVersion, timeout_seconds: float) -> bool:
        """Wait until ``version`` is folded in. False when it is of another stream or did not come in time."""
        if version.epoch != self.catalog.epoch:
            return False
        if self.catalog.version >= version.number:
            return True
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: self.catalog.version >= version.number)
        except TimeoutError:
            return False
        return True

    async def refresh(self) -> None:
        """Fold in what the database holds now, ahead of the topic.

        Raises ``psycopg.OperationalError`` when the database is away, :class:`LogMismatchError` when it is
        another one by now.
        """
        fresh = await snapshot(self._database)
        _same_stream(self._topic, self.catalog.epoch, fresh.epoch)
        async with self._changed:
            for record in self.catalog.merge(fresh):
                self._on_change(record)
            self._changed.notify_all()

    async def _tail(self, consumer: Any) -> None:
        try:
            while True:
                batches = await consumer.getmany(timeout_ms=1_000)
                async with self._changed:
                    for records in batches.values():
                        for raw in records:
                            self._fold(raw.value)
                    self._changed.notify_all()
        finally:
            await consumer.stop()

    def _fold(self, value: bytes | None) -> None:
        try:
            record = decode_definition(value)
        except DecodeError as error:
            # Only the relay writes here; a foreign record is not a reason to stop every station.
            log.warning("definitions_record_ignored", error=str(error))
            return
        _same_stream(self._topic, record.version.epoch, self.catalog.epoch)
        if self.catalog.fold(record):
            self._on_change(record)
