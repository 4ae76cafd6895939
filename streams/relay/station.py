"""relay: outbox → broker. One leader publishes rows in id order and deletes what was acknowledged.

=================================  ============================================================
killed                             consequence
=================================  ============================================================
before the acknowledgement         the rows are still there: the next leader publishes them
between acknowledgement and        they are published twice, the same bytes: readers never
delete                             replace a higher version by a lower, and drop ids they have
after the delete                   nothing
=================================  ============================================================

Order. Ids are given before commits, so a row may become visible after one with a higher id. Rows of one key
still keep their order, because whoever writes them holds that key's lock until its commit (definitions: the
version counter's row; a trigger's records: its state row; a reference document: its row). Between topics there
is one promise: a reference document is in its topic before any document that was written after it was stored.

A row too large for its topic would hold back everything behind it for ever. It is put into ``dead-letters``
with its story, its value cut (``rows.dead_letter``), and logged as an error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka
from aiokafka.structs import RecordMetadata

from schemas.topics import DEAD_LETTERS, DOCUMENTS, REFERENCES
from streams.relay.definitions import open_definitions
from streams.relay.leader import leadership
from streams.relay.rows import KEPT_BYTES, STAGE, OutboxRow, dead_letter, outbox_row
from streams.runtime import metrics
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.broker import Sends
from streams.runtime.database import Connection, wait_for_notify
from streams.runtime.document_writes import settle_writes, settled_by
from streams.runtime.failure import Disposition, classify
from streams.runtime.faults import fault
from streams.runtime.outbox import CHANNEL
from streams.runtime.write_tokens import AWAITED, Place, forget_published, move_to_published

log = structlog.get_logger(__name__)

NAME = STAGE
POLL_SECONDS: Final = 1.0
"""The fallback where a notification was lost; also how soon an idle leader sees that its connection died."""
FORGET_SECONDS: Final = 60.0
BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 16 * 1024 * 1024
_TOO_LARGE: Final = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)

# The first row always comes, however large it is. A tombstone counts as no bytes: with a null sum it would be left
# out, and what follows it would overtake it.
_READ = """
SELECT id, topic, key, value, headers, created_at FROM (
    SELECT *, sum(coalesce(octet_length(value), 0)) OVER (ORDER BY id) AS bytes,
        row_number() OVER (ORDER BY id) AS place
    FROM (SELECT * FROM outbox ORDER BY id LIMIT %s) AS next_rows
) AS measured WHERE place = 1 OR bytes <= %s ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class _Refused:
    """Rows sent together of which at least one is too large."""

    rows: list[OutboxRow]
    error: Exception


class Relay:
    """The relay as a stream agent."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._failures = 0
        self._forget_at = 0.0

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Lead or stand by until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        dsn = self._context.settings.database
        listener = asyncio.create_task(wait_for_notify(dsn, CHANNEL, self._wake), name="relay-listen")
        try:
            while not self._stopping.is_set():
                try:
                    async with leadership(dsn, self._stopping) as connection:
                        if connection is not None:
                            await self._lead(connection)
                except Exception as error:
                    if classify(error) is not Disposition.RETRY:
                        raise
                    await self._failed(error)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _lead(self, connection: Connection) -> None:
        async with self._producing() as producer:
            filled = await open_definitions(connection, self._context.broker, producer)
            log.info("relay_leads", definitions_published=filled)
        careful = 0
        while not self._stopping.is_set():
            # An idempotent producer whose record the broker refused cannot go on: the sequence number is used
            # up, and everything after it is OutOfOrderSequenceNumber. So each refusal ends a producer.
            async with self._producing() as producer:
                refused = await self._publish_all(connection, producer, careful)
            if refused is not None and len(refused.rows) == 1:
                await self._bury(connection, refused.rows[0], refused.error)
            elif refused is not None:
                # One of them; the broker refuses the whole batch it came in. One by one shows which.
                careful = len(refused.rows)

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = self._context.broker.producer()
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def _failed(self, error: Exception) -> None:
        self._failures += 1
        metrics.RETRIES.labels(NAME).inc()
        log.warning("relay_retried", failures=self._failures, error=repr(error))
        await pause(self._stopping, backoff_seconds(self._failures))

    async def _publish_all(
        self, connection: Connection, producer: AIOKafkaProducer, careful: int
    ) -> _Refused | None:
        """Publish until asked to stop (``None``) or until rows are refused for their size; the first
        ``careful`` rows one by one."""
        while not self._stopping.is_set():
            self._wake.clear()
            rows = await self._read(connection, 1 if careful else BATCH_ROWS)
            if not rows:
                await pause(self._wake, POLL_SECONDS)
                continue
            try:
                places = await self._send(producer, rows)
            except _TOO_LARGE as error:
                return _Refused(rows, error)
            await fault("relay:after-produce")
            await self._delete(connection, rows, places)
            careful = max(0, careful - len(rows))
            self._failures = 0
        return None

    async def _read(self, connection: Connection, limit: int) -> list[OutboxRow]:
        cursor = await connection.execute(_READ.encode(), (limit, BATCH_BYTES))
        return [outbox_row(*columns) for columns in await cursor.fetchall()]

    async def _send(self, producer: AIOKafkaProducer, rows: Sequence[OutboxRow]) -> dict[int, Place]:
        """Publish rows; where those are that readers wait for, by row."""
        # What was committed before a document was written is in the log before it: so match, which has the
        # document, needs to read references to their end of that moment and no further.
        first = [row for row in rows if row.topic is REFERENCES]
        places: dict[int, Place] = {}
        for group in (first, [row for row in rows if row.topic is not REFERENCES]):
            if group:
                places |= await self._send_all(producer, group)
        return places

    async def _send_all(self, producer: AIOKafkaProducer, rows: Sequence[OutboxRow]) -> dict[int, Place]:
        sends = Sends(producer)
        sent: list[RecordMetadata] = []
        try:
            for row in rows:
                await sends.send(self._context.broker.topic(row.topic), row.key, row.value, row.headers)
        finally:
            sent = await sends.acknowledged()
        return {
            row.id: Place(row.topic.name, record.partition, record.offset + 1)
            for row, record in zip(rows, sent, strict=True)
            if row.topic in AWAITED
        }

    async def _delete(
        self, connection: Connection, rows: Sequence[OutboxRow], places: Mapping[int, Place]
    ) -> None:
        await move_to_published(connection, [row.id for row in rows], [places.get(row.id) for row in rows])
        for row in rows:
            metrics.OUTBOX.labels(row.topic.name).inc()
        if time.monotonic() > self._forget_at:
            self._forget_at = time.monotonic() + FORGET_SECONDS
            await forget_published(connection)

    async def _bury(self, connection: Connection, row: OutboxRow, error: Exception) -> None:
        """Put a row into ``dead-letters``, with as much of its value as goes through, and delete it."""
        for kept in KEPT_BYTES:
            value, headers = dead_letter(row, error, kept)
            try:
                async with self._producing() as producer:
                    sends = Sends(producer)
                    await sends.send(self._context.broker.topic(DEAD_LETTERS), row.key, value, headers)
                    await sends.acknowledged()
            except _TOO_LARGE:
                if kept == KEPT_BYTES[-1]:
                    raise
                continue
            break
        await connection.execute("DELETE FROM outbox WHERE id = %s", (row.id,))
        # A document that will never be stored is not shown any longer.
        if row.topic is DOCUMENTS and (write := settled_by(row.key, row.headers)) is not None:
            await settle_writes(connection, [write])
        metrics.DEAD_LETTERS.labels(NAME).inc()
        size = len(row.value or b"")
        log.error("outbox_row_too_large", topic=row.topic.name, row=row.id, bytes=size, error=str(error))


def build(context: Context) -> StreamAgent:
    """The station, not yet running."""
    return Relay(context)
