"""The collections that look-up alerts name, in memory, from the topic ``references`` (design sections 3 and 4).

Nothing is read while no standing alert looks anything up. When a collection is named that is not held, the topic
is read again from its beginning; what comes twice changes nothing.

Freshness. The relay puts a reference document into the log before any document that was written after it was
stored. So a document in hand may be checked when everything is read that the topic held after it came:
:meth:`References.catch_up`. Between two batches it is followed as it comes.

Everything here runs under the batch lock of the station: nothing changes while a document is looked up.

A topic that was recreated would be read on from where the old one ended, and what it has before that never. So it
is looked at now and then whether the topic still is the one that was read.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.errors import DecodeError
from schemas.events.document import UPSERTED, decode_document_event
from schemas.headers import SOURCE_POSITION, SourcePosition, header
from schemas.times import from_millis
from schemas.topics import REFERENCES
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.match.standings import CollectionKey
from streams.runtime import metrics
from streams.runtime.broker import Broker, end_offsets
from streams.runtime.database import StoredPosition
from streams.runtime.identity import check_log

log = structlog.get_logger(__name__)

DocumentKey: TypeAlias = tuple[str, str, str]

_READ: Final = 1_000
"""Records between two turns of the event loop."""
_STALLED_SECONDS: Final = 15.0
CHECK_SECONDS: Final = 60.0
"""Between two looks at whether the topic is still the one that was read."""
_SHORTER_SECONDS: Final = 1.0
"""The same while the topic seems to end before what was read, as some brokers' topics always do."""
_ADVICE: Final = (
    "The topic was recreated or lost records. Stop the workers, bring the topic into being and have the documents "
    "put out again, as docs/operations.md says under Reference collections"
)


class References:
    """Documents to look things up in. One per match station."""

    def __init__(self, broker: Broker, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._broker = broker
        self._topic = broker.topic(REFERENCES)
        self._wanted: frozenset[CollectionKey] = frozenset()
        self._held: frozenset[CollectionKey] = frozenset()
        self._corpora: dict[str, MemoryCorpus] = {}
        self._versions: dict[DocumentKey, SourcePosition] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[int, int] = {}
        self._last: dict[TopicPartition, StoredPosition] = {}
        """What was read last."""
        self._check_seconds = check_seconds
        self._checked = 0.0
        """When the monotonic clock showed this, the topic was the one that was read."""

    @property
    def reading(self) -> bool:
        """Whether the topic is read at all."""
        return self._consumer is not None

    def want(self, collections: Iterable[CollectionKey]) -> None:
        """Say which collections the alerts in force name; it takes effect with the next reading."""
        self._wanted = frozenset(collections)

    def corpus(self, namespace_id: str) -> Corpus:
        """The documents held of a namespace."""
        return self._corpus(namespace_id)

    def position(self) -> dict[str, int]:
        """Partition of the topic → the offset up to which it has been read, for the record."""
        return {str(partition): offset for partition, offset in sorted(self._next.items()) if offset > 0}

    async def catch_up(self) -> None:
        """Hold everything that the topic holds now. Raises ``TimeoutError`` when the broker does not give it, and
        :class:`LogMismatchError` when it is not the topic that was read before."""
        consumer = await self._ready()
        if consumer is None:
            return
        ends = await end_offsets(consumer, self._topic)
        await self._check(ends)
        stalled = 0.0
        while any(self._next.get(partition, 0) < end for partition, end in ends.items()):
            if await self._read(consumer, 200):
                stalled = 0.0
                continue
            stalled += 0.2
            if stalled > _STALLED_SECONDS:
                raise TimeoutError(f"{self._topic} cannot be read: still at {self._next}, it ends at {ends}")

    async def follow(self) -> None:
        """Take in what has come, without waiting for more."""
        consumer = await self._ready()
        if consumer is not None:
            await self._read(consumer, 0)

    async def _check(self, ends: Mapping[int, int]) -> None:
        """Look whether the topic still is the one that was read: soon when it ends earlier, else rarely."""
        now = time.monotonic()
        shorter = any(ends.get(tp.partition, 0) < last.next_offset for tp, last in self._last.items())
        wait = min(_SHORTER_SECONDS, self._check_seconds) if shorter else self._check_seconds
        if now - self._checked >= wait:
            await check_log(self._broker, "match", list(self._last), self._last, _ADVICE)
            self._checked = now

    async def stop(self) -> None:
        """Stop reading and forget everything."""
        consumer, self._consumer = self._consumer, None
        self._corpora.clear()
        self._versions.clear()
        self._next.clear()
        self._last.clear()
        self._held = frozenset()
        if consumer is not None:
            await consumer.stop()

    def _corpus(self, namespace_id: str) -> MemoryCorpus:
        return self._corpora.setdefault(namespace_id, MemoryCorpus())

    async def _ready(self) -> AIOKafkaConsumer | None:
        """The consumer, placed so that it gives what is wanted; ``None`` when nothing is."""
        if not self._wanted:
            if self._consumer is not None:
                log.info("references_dropped")
                await self.stop()
            return None
        consumer = self._consumer
        if consumer is None:
            consumer = await self._open()
        for namespace_id, collection_id in self._held - self._wanted:
            self._corpus(namespace_id).drop(collection_id)
            for key in [key for key in self._versions if key[:2] == (namespace_id, collection_id)]:
                del self._versions[key]
        if self._wanted - self._held:
            log.info("references_read_from_the_beginning", collections=len(self._wanted))
            await consumer.seek_to_beginning()
            self._next = {tp.partition: await consumer.position(tp) for tp in consumer.assignment()}
        self._held = self._wanted
        return consumer

    async def _open(self) -> AIOKafkaConsumer:
        consumer = self._broker.consumer()
        await consumer.start()
        try:
            ends = await end_offsets(consumer, self._topic)
            consumer.assign([TopicPartition(self._topic, partition) for partition in ends])
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return consumer

    async def _read(self, consumer: AIOKafkaConsumer, timeout_ms: int) -> bool:
        """Take in one portion; whether there was one."""
        found = await consumer.getmany(timeout_ms=timeout_ms, max_records=_READ)
        for tp, records in found.items():
            for record in records:
                self._take(record)
            self._next[tp.partition] = await consumer.position(tp)
            last = records[-1]
            self._last[tp] = StoredPosition(last.offset + 1, last.timestamp, last.key)
            metrics.REFERENCES.inc(len(records))
        # A large collection is read in one go; other agents of the worker live in the same loop.
        await asyncio.sleep(0)
        return bool(found)

    def _take(self, record: ConsumerRecord) -> None:
        try:
            event = decode_document_event(record.key, record.value, (), appended_at=from_millis(record.timestamp))
            position = SourcePosition.parse(header(record.headers, SOURCE_POSITION))
        except DecodeError as error:
            # Only the relay writes here; a foreign record is not a reason to stop.
            log.warning("reference_ignored", error=str(error))
            return
        key = (event.namespace_id, event.collection_id, event.document_id)
        if key[:2] not in self._held or self._is_newer(key, position):
            return
        self._corpus(event.namespace_id).apply(event)
        if event.type == UPSERTED:
            self._versions[key] = position
        else:
            self._versions.pop(key, None)

    def _is_newer(self, key: DocumentKey, position: SourcePosition) -> bool:
        """Whether what is held is newer: a leader that was killed leaves records that are published twice."""
        held = self._versions.get(key)
        return held is not None and held.partition == position.partition and held.offset > position.offset
