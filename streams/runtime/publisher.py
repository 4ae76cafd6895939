"""Publishes document events from one source: pipelined, every send checked, with exact watermarks.

A watermark says: everything of this source that occurred before this instant was acknowledged before this
record was sent. With many records in flight that is the oldest instant still in flight, which is what the
header ``x-watermark`` of every record carries (:mod:`schemas.headers`). It never goes back. A source that is
not in order of time can declare how far out of order it is (``lateness``); what is older still is counted in
:attr:`Publisher.late` and says so in the header ``x-late``.
"""

import asyncio
import heapq
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from schemas.events.document import WATERMARK as WATERMARK_EVENT
from schemas.events.document import DocumentEvent, encode_document_event
from schemas.headers import DEFINITIONS_VERSION, LATE, PRODUCER, DefinitionsVersion
from schemas.headers import WATERMARK as WATERMARK_HEADER
from schemas.times import format_instant
from schemas.topics import DOCUMENTS
from streams.runtime.broker import Broker

WATERMARK_SECONDS = 1.0
"""How often partitions that a collection's documents may not reach are told its watermark."""
LINGER_MS = 5
TOPIC_SECONDS = 5.0
"""How long a topic may take to show up that was created just now."""


class PublishError(RuntimeError):
    """A record was not acknowledged. The message says which and why."""


@dataclass(slots=True)
class _Collection:
    """What is known about one collection of the source."""

    greatest: datetime | None = None
    promised: datetime | None = None
    in_flight: "list[tuple[datetime, int, asyncio.Future[Any]]]" = field(default_factory=list)
    """A heap; acknowledged entries are dropped when they reach its top, a failed one stays and holds back."""
    header: bytes = b""


class Publisher:
    """One source of document events. ``async with Publisher(broker) as publisher``; leaving the block without
    an exception closes it with final watermarks. For one task at a time."""

    def __init__(
        self,
        broker: Broker,
        *,
        definitions: DefinitionsVersion | None = None,
        producer: str | None = None,
        lateness: timedelta = timedelta(0),
    ) -> None:
        """``definitions`` is the version the source saw: alerts of it apply to every record (design section 3).
        ``producer`` names the source in the records' headers."""
        self._topic = broker.topic(DOCUMENTS)
        self._client = broker.producer(linger_ms=LINGER_MS)
        self._lateness = lateness
        self._common: list[tuple[str, bytes]] = []
        if definitions is not None:
            self._common.append((DEFINITIONS_VERSION, str(definitions).encode()))
        if producer is not None:
            self._common.append((PRODUCER, producer.encode()))
        self._collections: defaultdict[tuple[str, str], _Collection] = defaultdict(_Collection)
        self._failure: PublishError | None = None
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._partitions: list[int] = []
        self._marked_at = 0.0
        self._open = False
        self.sent = 0
        """Document events handed to the client."""
        self.acknowledged = 0
        """Document events the broker has acknowledged."""
        self.late = 0
        """Document events that occurred before what their source had come to, less the lateness."""

    async def __aenter__(self) -> "Publisher":
        await self._client.start()
        try:
            async with asyncio.timeout(TOPIC_SECONDS):
                self._partitions = sorted(await self._client.partitions_for(self._topic))
        except (TimeoutError, UnknownTopicOrPartitionError) as error:
            await self._client.stop()
            raise PublishError(
                f"the broker has no topic {self._topic}; run `tidewatch topics create` first"
            ) from error
        except BaseException:
            await self._client.stop()
            raise
        self._open = True
        self._marked_at = time.monotonic()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self.close(final_watermark=kind is None)

    async def publish(self, event: DocumentEvent) -> None:
        """Queue one event; waits only while the client's buffer is full.

        A ``watermark`` event goes to every partition after everything before it was acknowledged. Raises
        :class:`PublishError` for a failure of any earlier record, too.
        """
        if self._failure is not None:
            raise self._failure
        state = self._collections[event.namespace_id, event.collection_id]
        if event.type == WATERMARK_EVENT:
            await self.drain()
            await self._mark(event.namespace_id, event.collection_id, event.occurred_at)
            return
        headers = [*self._common, *self._advance(state, event.occurred_at)]
        future = await self._send(event.key, encode_document_event(event), headers, None)
        self.sent += 1
        heapq.heappush(state.in_flight, (event.occurred_at, self.sent, future))
        future.add_done_callback(self._documented)
        if time.monotonic() - self._marked_at > WATERMARK_SECONDS:
            await self._mark_all()

    async def drain(self) -> None:
        """Wait until every record is acknowledged. Raises :class:`PublishError` for the first that was not."""
        await self._idle.wait()
        if self._failure is not None:
            raise self._failure

    async def close(self, *, final_watermark: bool = True) -> None:
        """Wait for every acknowledgement and close; before that, with ``final_watermark``, tell every partition
        that the source has come to its end. Raises :class:`PublishError`."""
        if not self._open:
            return
        self._open = False
        try:
            await self.drain()
            if final_watermark:
                for (namespace, collection), state in list(self._collections.items()):
                    if state.greatest is not None:
                        await self._mark(namespace, collection, state.greatest)
                await self.drain()
        finally:
            await self._client.stop()

    def _advance(self, state: _Collection, occurred: datetime) -> list[tuple[str, bytes]]:
        """What a record about to be sent says of event time."""
        late: list[tuple[str, bytes]] = []
        if state.greatest is not None and occurred < state.greatest - self._lateness:
            self.late += 1
            late.append((LATE, format_instant(state.greatest - self._lateness).encode()))
        if state.greatest is None or occurred > state.greatest:
            state.greatest = occurred
        return [(WATERMARK_HEADER, self._promise(state, occurred)), *late]

    def _promise(self, state: _Collection, bound: datetime) -> bytes:
        """Advance the collection's watermark as far as ``bound`` and what is in flight allow."""
        heap = state.in_flight
        while heap and _acknowledged(heap[0][2]):
            heapq.heappop(heap)
        assert state.greatest is not None
        mark = min(bound, state.greatest - self._lateness)
        if heap:
            mark = min(mark, heap[0][0])
        if state.promised is None or mark > state.promised:
            state.promised = mark
            state.header = format_instant(mark).encode()
        return state.header

    async def _mark_all(self) -> None:
        """Tell every partition how far every collection has come."""
        self._marked_at = time.monotonic()
        for (namespace, collection), state in list(self._collections.items()):
            if state.greatest is not None:
                self._promise(state, state.greatest)
                assert state.promised is not None
                await self._mark(namespace, collection, state.promised)

    async def _mark(self, namespace: str, collection: str, moment: datetime) -> None:
        event = DocumentEvent(WATERMARK_EVENT, namespace, collection, "", moment)
        value = encode_document_event(event)
        for partition in self._partitions:
            await self._send(None, value, self._common, partition)

    async def _send(
        self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]], partition: int | None
    ) -> "asyncio.Future[Any]":
        try:
            future: asyncio.Future[Any] = await self._client.send(
                self._topic, value, key=key, headers=headers, partition=partition
            )
        except (KafkaError, ValueError) as error:
            self._failure = PublishError(f"{_named(key)}: {error!r}")
            raise self._failure from error
        self._pending += 1
        self._idle.clear()
        future.add_done_callback(lambda done: self._done(key, done))
        return future

    def _done(self, key: bytes | None, future: "asyncio.Future[Any]") -> None:
        self._pending -= 1
        if not self._pending:
            self._idle.set()
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None and self._failure is None:
            self._failure = PublishError(f"{_named(key)} was not acknowledged: {error!r}")

    def _documented(self, future: "asyncio.Future[Any]") -> None:
        if _acknowledged(future):
            self.acknowledged += 1


def _acknowledged(future: "asyncio.Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _named(key: bytes | None) -> str:
    return "a watermark event" if key is None else f"document {key.decode(errors='replace')}"
