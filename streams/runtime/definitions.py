"""Definitions: written to PostgreSQL with a version and an outbox row, read from a snapshot and the topic."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from schemas.errors import DecodeError
from schemas.events.definition import DefinitionRecord, Kind, decode_definition, encode_definition
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS
from streams.runtime.broker import Broker
from streams.runtime.catalog import Catalog
from streams.runtime.database import Connection, Database
from streams.runtime.failure import LogMismatchError
from streams.runtime.happenings import tell_deleted, tell_written
from streams.runtime.identity import stream_epoch
from streams.runtime.outbox import enqueue

log = structlog.get_logger(__name__)

_READ_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    """A definition as the database holds it."""

    record: DefinitionRecord
    created_at: datetime
    updated_at: datetime

    @property
    def body(self) -> dict[str, Any]:
        """The definition's own fields."""
        return self.record.body


_COLUMNS = (
    "d.kind, d.namespace_id, d.id, d.number, d.name, d.body, d.version, d.created_at, d.updated_at,"
    " d.deleted_at IS NOT NULL, (SELECT epoch::text FROM stream_identity)"
)


def _stored(row: tuple[Any, ...]) -> StoredDefinition:
    kind, namespace, id_, number, name, body, version, created, updated, deleted, epoch = row
    record = DefinitionRecord(
        kind=cast(Kind, kind),
        namespace_id=namespace,
        id=id_,
        number=number,
        version=DefinitionsVersion(epoch, version),
        deleted=deleted,
        name=name,
        body=body,
    )
    return StoredDefinition(record, created, updated)


async def next_version(connection: Connection) -> DefinitionsVersion:
    """Take the next definitions version. Its row stays locked until the caller's transaction ends, which is
    what makes version order commit order."""
    row = await (
        await connection.execute(
            "UPDATE stream_identity SET definitions_version = definitions_version + 1"
            " RETURNING epoch::text, definitions_version"
        )
    ).fetchone()
    if row is None:
        raise LogMismatchError("the database has no stream identity")
    return DefinitionsVersion(row[0], row[1])


async def current_version(connection: Connection) -> DefinitionsVersion:
    """The version of the last committed definitions write."""
    row = await (
        await connection.execute("SELECT epoch::text, definitions_version FROM stream_identity")
    ).fetchone()
    if row is None:
        raise LogMismatchError("the database has no stream identity")
    return DefinitionsVersion(row[0], row[1])


async def put_definition(
    connection: Connection,
    kind: Kind,
    namespace_id: str,
    identifier: str,
    name: str | None,
    body: dict[str, Any],
) -> StoredDefinition:
    """Create or replace a definition in the caller's transaction and queue its record.

    Raises ``psycopg.errors.UniqueViolation`` when another definition of the kind has the name.
    """
    version = await next_version(connection)
    cursor = await connection.execute(
        "INSERT INTO definitions AS d (kind, namespace_id, id, name, body, version)"
        " VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (kind, namespace_id, id) DO UPDATE SET name = EXCLUDED.name, body = EXCLUDED.body,"
        " version = EXCLUDED.version, updated_at = now(), deleted_at = NULL"
        f" RETURNING {_COLUMNS}, xmax = 0",
        (kind, namespace_id, identifier, name, Jsonb(body), version.number),
    )
    row = await cursor.fetchone()
    assert row is not None
    *columns, created = row
    stored = _stored(tuple(columns))
    await enqueue(connection, DEFINITIONS, stored.record.key, encode_definition(stored.record))
    await tell_written(connection, stored.record, created=created)
    return stored


async def delete_definition(connection: Connection, kind: Kind, namespace_id: str, identifier: str) -> bool:
    """Mark a definition deleted in the caller's transaction and queue its tombstone. False when unknown."""
    version = await next_version(connection)
    cursor = await connection.execute(
        "UPDATE definitions AS d SET deleted_at = now(), updated_at = now(), version = %s"
        f" WHERE kind = %s AND namespace_id = %s AND id = %s AND deleted_at IS NULL RETURNING {_COLUMNS}",
        (version.number, kind, namespace_id, identifier),
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    record = _stored(row).record
    await enqueue(connection, DEFINITIONS, record.key, encode_definition(record))
    await tell_deleted(connection, record)
    return True


async def find_definition(
    connection: Connection, kind: Kind, namespace_id: str, identifier: str
) -> StoredDefinition | None:
    """A definition by id or by name (contract 1.6); an id wins over another's equal name."""
    if "\x00" in identifier:
        return None  # PostgreSQL has no such text
    return await read_definition(await ask_definition(connection, kind, namespace_id, identifier))


async def ask_definition(
    connection: Connection, kind: Kind, namespace_id: str, identifier: str
) -> AsyncCursor[TupleRow]:
    """What :func:`find_definition` asks, for :func:`read_definition`: in a pipeline it shares its round trip with
    what is asked besides. The identifier holds no NUL."""
    return await connection.execute(
        f"SELECT {_COLUMNS} FROM definitions AS d WHERE kind = %s AND namespace_id = %s AND deleted_at IS NULL"
        " AND (id = %s OR name = %s) ORDER BY (id = %s) DESC LIMIT 1",
        (kind, namespace_id, identifier, identifier, identifier),
    )


async def read_definition(asked: AsyncCursor[TupleRow]) -> StoredDefinition | None:
    """The definition that was asked for."""
    row = await asked.fetchone()
    return None if row is None else _stored(row)


async def find_definitions(
    connection: Connection, kind: Kind, namespace_id: str, identifiers: Iterable[str]
) -> dict[str, StoredDefinition]:
    """As :func:`find_definition` for many at once: by identifier the definition, those left out that there are
    none of."""
    wanted = {identifier for identifier in identifiers if "\x00" not in identifier}
    rows = await select_definitions(
        connection,
        "d.kind = %(kind)s AND d.namespace_id = %(namespace)s"
        " AND (d.id = ANY(%(names)s) OR d.name = ANY(%(names)s))",
        {"kind": kind, "namespace": namespace_id, "names": sorted(wanted)},
    )
    found = {row.record.name: row for row in rows if row.record.name in wanted}
    found |= {row.record.id: row for row in rows if row.record.id in wanted}
    return {identifier: row for identifier, row in found.items() if identifier is not None}


async def select_definitions(
    connection: Connection, condition: str, parameters: Mapping[str, Any]
) -> list[StoredDefinition]:
    """Live definitions ``d`` for which ``condition`` (SQL, up to ORDER BY and LIMIT) holds."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM definitions AS d WHERE d.deleted_at IS NULL AND {condition}".encode(), parameters
    )
    return [_stored(row) for row in await cursor.fetchall()]


async def list_definitions(
    connection: Connection, kind: Kind, namespace_id: str | None = None
) -> list[StoredDefinition]:
    """Definitions of a kind, newest first; of every namespace when none is named."""
    return await select_definitions(
        connection,
        "d.kind = %(kind)s AND (%(namespace)s::text IS NULL OR d.namespace_id = %(namespace)s)"
        " ORDER BY d.created_at DESC, d.id DESC",
        {"kind": kind, "namespace": namespace_id},
    )


async def every_record(connection: Connection) -> list[DefinitionRecord]:
    """Every definition and every tombstone of all namespaces, in version order: what the topic must hold."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM definitions AS d ORDER BY d.version")
    return [_stored(row).record for row in await cursor.fetchall()]


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
