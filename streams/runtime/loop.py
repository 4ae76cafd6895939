"""The one loop of every document station: batch → work → commit, safe over rebalances (design section 2).

A station gives a :class:`BatchHandler`; the loop owns polling, rebalances, back-off and dead letters.

Commit safety, message by message (partition 0 holds records 0…9; ``c`` is the committed position):

===========================================  =====  =============================================
what happens                                 c      consequence
===========================================  =====  =============================================
batch 0…4 read, ``handle`` begins            0
produces acknowledged, then killed           0      0…4 are read again: same ids, readers drop them
``handle`` returned, then killed             0      as above (stations with positions in PostgreSQL: the
                                                    position moved with the rows, reading goes on at 5)
batch 5…7 read before 0…4 is committed       0      killed here, 0…7 are read again
committed                                    5
rebalance asked for while 5…7 is handled     5      the revoke waits for the batch to finish and commit
rebalance happened inside ``getmany``        5      generation changed: the batch is dropped unread, the
                                                    new owner reads from 5
``handle`` raised a transient error          5      back to 5 after a pause; the client keeps polling
===========================================  =====  =============================================
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import structlog
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from schemas.events.dead_letter import DeadLetter
from schemas.times import from_millis
from schemas.topics import DEAD_LETTERS, Topic
from streams.runtime import metrics
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.broker import Broker, HeaderList, Sends
from streams.runtime.commits import Commits
from streams.runtime.failure import Disposition, PositionLostError, classify

log = structlog.get_logger(__name__)

_CUT_BYTES = 64 * 1024
"""What is kept of the value of a dead letter that the broker finds too large."""

_WAITED_SECONDS = 0.0005
"""Records for which was waited so long had not come before."""
_FETCH_MS = 5
"""What a fetch of records that are there takes, at most."""

Batch = Mapping[TopicPartition, Sequence[ConsumerRecord]]


class BatchHandler(Protocol):
    """What a document station does with records."""

    name: str
    """The station's name; its consumer group and its rows in ``positions`` are called after it."""
    topics: tuple[Topic, ...]

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where to begin, for stations that keep positions in PostgreSQL; others return an empty mapping and
        begin at the group's committed offset. May raise :class:`LogMismatchError`."""
        ...

    async def handle(self, batch: Batch) -> Batch | None:
        """Do the batch. When this returns, its results are durable: produced and acknowledged, or committed to
        PostgreSQL together with the position. A handler that has no time for all of it returns the rest, of each
        partition the last records: they come again. It always does some, or nothing would ever go on."""
        ...


@runtime_checkable
class IdleHandler(Protocol):
    """What a handler may have besides: work that must also go on while no records come."""

    async def idle(self) -> None:
        """Called under the batch lock when a poll brought nothing. Fails like ``handle``."""
        ...


@dataclass(frozen=True, slots=True)
class _Letter:
    """A record to put away, why, and its headers as a dead letter."""

    record: ConsumerRecord
    error: BaseException
    headers: HeaderList


class DeadLetters:
    """Puts records away. A dead letter is acknowledged before the batch it came from is committed."""

    def __init__(self, broker: Broker, producer: AIOKafkaProducer, station: str) -> None:
        self._broker = broker
        self._topic = broker.topic(DEAD_LETTERS)
        self._producer = producer
        self._station = station

    async def put(self, record: ConsumerRecord, error: BaseException, attempts: int = 1) -> None:
        """Write one record to ``dead-letters`` and wait for the acknowledgement; as :meth:`put_all`."""
        await self._put([_Letter(record, error, self._headers(record, error, attempts))])

    async def put_all(self, failed: Iterable[tuple[ConsumerRecord, BaseException]]) -> None:
        """Write records, each with its error, to ``dead-letters`` in one round trip and wait until all of them
        are acknowledged.

        A record that the broker took and that only our headers make too large is cut; the header
        ``x-dead-truncated`` then holds its full size.
        """
        await self._put([_Letter(record, error, self._headers(record, error, 1)) for record, error in failed])

    def _headers(self, record: ConsumerRecord, error: BaseException, attempts: int) -> HeaderList:
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=from_millis(record.timestamp),
            stage=self._station,
            error_type=type(error).__name__,
            message=str(error),
            attempts=attempts,
        )
        return letter.headers(tuple(record.headers))

    async def _put(self, letters: Sequence[_Letter]) -> None:
        for letter in await self._refused(letters):
            # A refusal leaves the idempotent producer out of step: each of the rest gets one of its own.
            async with self._broker.producer() as producer:
                await self._send_cut(producer, letter.record, letter.headers)
        for letter in letters:
            metrics.DEAD_LETTERS.labels(self._station).inc()
            log.warning(
                "dead_letter",
                station=self._station,
                topic=letter.record.topic,
                partition=letter.record.partition,
                offset=letter.record.offset,
                error=str(letter.error),
            )

    async def _refused(self, letters: Sequence[_Letter]) -> list[_Letter]:
        """Send letters together; returns those that the client or the broker finds too large, and those that
        were sent with or after them."""
        sends = Sends(self._producer)
        sent: list[_Letter] = []
        refused: list[_Letter] = []
        for letter in letters:
            try:
                await sends.send(self._topic, letter.record.key, letter.record.value, letter.headers)
            except MessageSizeTooLargeError:
                refused.append(letter)
            else:
                sent.append(letter)
        for letter, failure in zip(sent, await sends.failures(), strict=True):
            if isinstance(failure, MessageSizeTooLargeError | OutOfOrderSequenceNumber):
                refused.append(letter)
            elif failure is not None:
                raise failure
        return refused

    async def _send(
        self, producer: AIOKafkaProducer, key: bytes | None, value: bytes | None, headers: HeaderList
    ) -> None:
        sends = Sends(producer)
        await sends.send(self._topic, key, value, headers)
        await sends.acknowledged()

    async def _send_cut(self, producer: AIOKafkaProducer, record: ConsumerRecord, headers: HeaderList) -> None:
        try:
            await self._send(producer, record.key, record.value, headers)
            return
        except MessageSizeTooLargeError:
            value = record.value or b""
        async with self._broker.producer() as fresh:
            cut = [*headers, ("x-dead-truncated", str(len(value)).encode())]
            await self._send(fresh, (record.key or b"")[:_CUT_BYTES], value[:_CUT_BYTES], cut)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts assignments under the batch lock, so that a revoke waits for the batch in hand."""

    def __init__(self, loop: "StationLoop") -> None:
        self._loop = loop

    async def on_partitions_revoked(self, revoked: object) -> None:
        async with self._loop.lock:
            self._loop.generation += 1
            await self._loop.settle()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        async with self._loop.lock:
            self._loop.generation += 1
            await self._loop.seek(sorted(assigned))


class StationLoop:
    """Runs one handler until stopped. Use one instance per worker and station."""

    def __init__(self, broker: Broker, handler: BatchHandler, *, batch_records: int, poll_ms: int = 200) -> None:
        self._handler = handler
        self._batch_records = batch_records
        self._poll_ms = poll_ms
        self._stopping = asyncio.Event()
        self._consumer: AIOKafkaConsumer = broker.consumer(station=handler.name)
        self._commits = Commits(handler, self._consumer)
        self._topics = [broker.topic(topic) for topic in handler.topics]
        self._failures = 0
        self._broken: BaseException | None = None
        self._reseek = False
        self.lock = asyncio.Lock()
        """Held over batch → work → commit."""
        self.generation = 0

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        self._consumer.subscribe(self._topics, listener=_Rebalances(self))
        await self._consumer.start()
        try:
            while not self._stopping.is_set():
                if self._broken is not None:
                    raise self._broken
                await self._turn()
            async with self.lock:
                await self.settle()
        finally:
            await self._commits.drop()
            # Not under the lock: leaving the group calls the listener, which takes it.
            await self._consumer.stop()

    async def seek(self, partitions: Sequence[TopicPartition]) -> None:
        """Place the consumer where the station left off. Called under the lock."""
        metrics.REBALANCES.labels(self._handler.name).inc()
        try:
            for partition, offset in (await self._handler.start_offsets(partitions)).items():
                self._consumer.seek(partition, offset)
        except Exception as error:
            # aiokafka only logs what a listener raises: keep it, so that the loop ends or tries again.
            if classify(error) is Disposition.STOP:
                self._broken = error
            else:
                log.warning("seek_retried", station=self._handler.name, error=str(error))
                self._reseek = True
                await pause(self._stopping, 1.0)

    async def settle(self) -> None:
        """Commit what was handled, before partitions go. Called under the lock."""
        try:
            await self._commits.finish()
        except Exception as error:
            # What is not committed is read again, by whoever has the partition then.
            if classify(error) is Disposition.STOP:
                self._broken = error
            log.warning("commit_given_up", station=self._handler.name, error=repr(error))

    async def _turn(self) -> None:
        generation = self.generation
        try:
            self._commits.go_on()
        except Exception as error:
            await self._failed({}, error)
            return
        if self._reseek:
            async with self.lock:
                self._reseek = False
                await self.seek(sorted(self._consumer.assignment()))
            return
        batch = await self._poll()
        if not batch:
            await self._idle(generation)
            return
        async with self.lock:
            # A rebalance under getmany: these records may be another worker's now. Ours must come again: they may
            # have been fetched behind the new assignment, while its listener still ran.
            if generation != self.generation or self._reseek or self._broken is not None:
                self._seek_back(batch)
                return
            started = time.monotonic()
            try:
                left = await self._handler.handle(batch) or {}
                done = _before(left, batch)
                self._commits.add({partition: records[-1] for partition, records in done.items()})
                self._seek_back(left)
            except Exception as error:
                await self._failed(batch, error)
                return
            self._failures = 0
            metrics.BATCH_SECONDS.labels(self._handler.name).observe(time.monotonic() - started)
            for partition, records in done.items():
                metrics.RECORDS.labels(self._handler.name, partition.topic).inc(len(records))

    async def _poll(self) -> Batch:
        """The next records. While they are handled nothing is fetched, unless more is known to wait: it would be
        old when its turn came, and what had come since would take another request."""
        self._consumer.resume(*self._consumer.paused())
        batch = await self._fetched()
        if not self._more_waits(batch):
            self._consumer.pause(*self._consumer.assignment())
        return batch

    async def _fetched(self) -> Batch:
        began = time.monotonic()
        batch: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
            timeout_ms=self._poll_ms, max_records=self._batch_records
        )
        room = self._batch_records - sum(map(len, batch.values()))
        if not batch or room <= 0 or time.monotonic() - began > _WAITED_SECONDS:
            return batch
        # These waited here while the batch before was handled.
        try:
            later = await self._consumer.getmany(timeout_ms=_FETCH_MS, max_records=room)
        except BaseException:
            self._seek_back(batch)
            raise
        for partition, records in later.items():
            batch.setdefault(partition, []).extend(records)
        return batch

    def _more_waits(self, batch: Batch) -> bool:
        """Whether the broker had more behind a batch when it was fetched."""
        assigned = self._consumer.assignment()
        return any(
            partition in assigned and records[-1].offset + 1 < (self._consumer.highwater(partition) or 0)
            for partition, records in batch.items()
        )

    async def _idle(self, generation: int) -> None:
        handler = self._handler
        if not isinstance(handler, IdleHandler):
            return
        async with self.lock:
            if generation != self.generation or self._reseek or self._broken is not None:
                return
            try:
                await handler.idle()
            except Exception as error:
                await self._failed({}, error)

    def _seek_back(self, batch: Batch) -> None:
        assigned = self._consumer.assignment()
        for partition, records in batch.items():
            if partition in assigned:
                self._consumer.seek(partition, records[0].offset)

    async def _failed(self, batch: Batch, error: Exception) -> None:
        name = self._handler.name
        disposition = classify(error)
        if disposition is not Disposition.RETRY:
            # A handler puts bad records away itself; a decode error that gets here is its bug.
            raise error
        self._failures += 1
        metrics.RETRIES.labels(name).inc()
        log.warning("batch_retried", station=name, failures=self._failures, error=repr(error))
        if isinstance(error, PositionLostError):
            self._reseek = True
        else:
            self._seek_back(batch)
        # aiokafka's heartbeat runs apart from polling; only max_poll_interval bounds this wait.
        await pause(self._stopping, backoff_seconds(self._failures))


def _before(left: Batch, batch: Batch) -> Batch:
    """The records of a batch that come before those left."""
    if not left:
        return batch
    counts = {partition: len(records) - len(left.get(partition, ())) for partition, records in batch.items()}
    return {partition: batch[partition][:count] for partition, count in counts.items() if count}
