"""Definitions: written to PostgreSQL with a version and an outbox row, read from a snapshot and the topic."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import structlog
from aiokafka import TopicPartition
from psycopg.types.json import Jsonb

from schemas.errors import DecodeError
from schemas.events.definition import DefinitionRecord, Kind, decode_definition, encode_definition
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS
from streams.runtime.broker import Broker
from streams.runtime.catalog import Catalog
from streams.runtime.database import Connection, Database
from streams.runtime.failure import LogMismatchError
from streams.runtime.identity import stream_epoch
from streams.runtime.outbox import enqueue

log = structlog.get_logger(__name__)


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
        f" RETURNING {_COLUMNS}",
        (kind, namespace_id, identifier, name, Jsonb(body), version.number),
    )
    row = await cursor.fetchone()
    assert row is not None
    stored = _stored(row)
    await enqueue(connection, DEFINITIONS, stored.record.key, encode_definition(stored.record))
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
    return True


async def find_definition(
    connection: Connection, kind: Kind, namespace_id: str, identifier: str, *, lock: bool = False
) -> StoredDefinition | None:
    """A definition by id or by name (contract 1.6); an id wins over another's equal name."""
    if "\x00" in identifier:
        return None  # PostgreSQL has no such text
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM definitions AS d WHERE kind = %s AND namespace_id = %s AND deleted_at IS NULL"
        " AND (id = %s OR name = %s) ORDER BY (id = %s) DESC LIMIT 1" + (" FOR UPDATE OF d" if lock else ""),
        (kind, namespace_id, identifier, identifier, identifier),
    )
    row = await cursor.fetchone()
    return None if row is None else _stored(row)


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
    """The catalog as of one instant of the database."""
    async with database.transaction(snapshot=True) as connection:
        epoch = await stream_epoch(connection)
        version = await current_version(connection)
        cursor = await connection.execute(f"SELECT {_COLUMNS} FROM definitions AS d WHERE deleted_at IS NULL")
        records = [_stored(row).record for row in await cursor.fetchall()]
    return Catalog(epoch, version.number, records)


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
        self._database = database
        self._on_change = on_change
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.catalog = Catalog("")

    async def start(self) -> None:
        """Read the snapshot and begin to tail. Raises :class:`LogMismatchError` when the topic belongs to
        another database."""
        self.catalog = await snapshot(self._database)
        consumer = self._broker.consumer()
        await consumer.start()
        try:
            partition = TopicPartition(self._broker.topic(DEFINITIONS), 0)
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
        if record.version.epoch != self.catalog.epoch:
            raise LogMismatchError(
                f"the definitions topic belongs to stream {record.version.epoch}, the database to "
                f"{self.catalog.epoch}. Point TIDEWATCH_DATABASE and TIDEWATCH_KAFKA at a pair that belong "
                "together, or set TIDEWATCH_TOPIC_PREFIX to start new topics for this database."
            )
        if self.catalog.fold(record):
            self._on_change(record)
