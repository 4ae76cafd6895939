"""Produces ``alert-results`` in batches of its own, each outcome checked.

One ``send`` costs about 18 µs; a record appended to a batch a tenth of that (design section 2). A document's
results go to the partition of ``alert-results`` that its own partition maps to, so results of one document stay
in order without hashing its key again.

What the broker finds too large is cut and sent again, through a new producer: an idempotent producer numbers a
batch before it is accepted, so after one refusal every later batch to that partition is out of sequence.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from schemas.events.alert_result import decode_alert_result
from schemas.topics import ALERT_RESULTS
from streams.match.results import MAX_BYTES, Result, cut, shrink
from streams.runtime.broker import Broker

log = structlog.get_logger(__name__)

_RECORD_OVERHEAD: Final = 32
_LEAST: Final = 256
_SENT_AGAIN: Final = (MessageSizeTooLargeError, OutOfOrderSequenceNumber)


@dataclass(slots=True)
class _Batch:
    """Records of one partition for one produce request."""

    partition: int
    builder: Any
    room: int
    outgoing: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Keys and values."""
    size: int = 0
    outcome: asyncio.Future[Any] | None = None

    def take(self, key: bytes, value: bytes) -> bool:
        """Append a record if it fits; the first always does."""
        size = self.size + len(key) + len(value) + _RECORD_OVERHEAD
        if size > self.room and self.outgoing:
            return False
        if self.builder.append(key=key, value=value, timestamp=None) is None:
            return False
        self.size = size
        self.outgoing.append((key, value))
        return True


class ResultSender:
    """Sends results over a producer of its own; :meth:`acknowledged` says that all of them are with the
    broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic = broker.topic(ALERT_RESULTS)
        self._producer: AIOKafkaProducer = None
        self._partitions = 0
        self._limit = MAX_BYTES
        """Most bytes of one record; lowered when the broker refuses, until the next start."""
        self._filling: dict[int, _Batch] = {}
        """Per partition the batch that still has room."""
        self._sent: list[_Batch] = []

    async def start(self) -> None:
        """Connect."""
        # The client's lz4 is the slow kind (level 9): five times the time of zstd, for twice the bytes.
        self._producer = self._broker.producer(max_batch_size=MAX_BYTES, compression="zstd")
        await self._producer.start()
        self._partitions = len(await self._producer.partitions_for(self._topic))

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    def begin(self) -> None:
        """Begin a batch of documents: what is left of one that failed is no concern of its repetition."""
        self._filling.clear()
        self._sent.clear()

    async def add(self, results: Iterable[Result]) -> None:
        """Take records in. Full batches are sent at once, the others by :meth:`acknowledged`, so that a batch of
        documents costs one round trip, not one for each of its chunks."""
        for result in results:
            partition, key, value = result.source_partition % self._partitions, result.key, result.value
            filling = self._filling.get(partition)
            # Nearly all fit: a coroutine for each would cost half as much as the record.
            if filling is None or len(value) > self._limit or not filling.take(key, value):
                await self._add(partition, key, value)

    async def _add(self, partition: int, key: bytes, value: bytes) -> None:
        for part in (value,) if len(value) <= self._limit else cut(value, self._limit):
            filling = self._filling.get(partition)
            if filling is None or not filling.take(key, part):
                if filling is not None:
                    await self._send(filling)
                filling = self._filling[partition] = _Batch(partition, self._producer.create_batch(), self._limit)
                filling.take(key, part)

    async def acknowledged(self) -> None:
        """Send what is left and wait until the broker has acknowledged every record. Raises the first failure,
        among them ``MessageSizeTooLargeError`` for a record that cannot be cut any further."""
        while self._filling or self._sent:
            filling, self._filling = self._filling, {}
            for batch in filling.values():
                await self._send(batch)
            batches, self._sent = self._sent, []
            outcomes = await asyncio.gather(*(_outcome(batch) for batch in batches), return_exceptions=True)
            failed = [
                (batch, outcome)
                for batch, outcome in zip(batches, outcomes, strict=True)
                if isinstance(outcome, BaseException)
            ]
            if not failed:
                return
            await self._renew()
            refused = [batch for batch, failure in failed if isinstance(failure, MessageSizeTooLargeError)]
            # What was in flight behind a refused batch is out of sequence: the broker has none of it.
            again = _SENT_AGAIN if refused else ()
            for _, failure in failed:
                if not isinstance(failure, again):
                    raise failure
            self._lower(refused)
            for batch, _ in failed:
                for key, value in batch.outgoing:
                    await self._add(batch.partition, key, value)

    async def _send(self, batch: _Batch) -> None:
        batch.builder.close()
        batch.outcome = await self._producer.send_batch(batch.builder, self._topic, partition=batch.partition)
        self._sent.append(batch)

    def _lower(self, refused: list[_Batch]) -> None:
        """Expect less of the broker after it refused batches; raises when one of them cannot be cut."""
        for batch in refused:
            if len(batch.outgoing) == 1 and shrink(decode_alert_result(batch.outgoing[0][1])) is None:
                raise MessageSizeTooLargeError(f"an alert result of {batch.size} bytes")
        largest = max(batch.size for batch in refused)
        self._limit = max(_LEAST, min(self._limit, largest) // 2)
        log.warning("alert_results_too_large", batches=len(refused), limit_bytes=self._limit)

    async def _renew(self) -> None:
        await self.stop()
        await self.start()


def _outcome(batch: _Batch) -> asyncio.Future[Any]:
    assert batch.outcome is not None
    return batch.outcome
