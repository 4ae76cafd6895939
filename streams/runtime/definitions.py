"""Definitions in PostgreSQL: written with a version and an outbox row, read by id, name or condition.

Stations that keep all of them in memory follow the topic (:mod:`streams.runtime.definitions_tail`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from schemas.events.definition import DefinitionRecord, Kind, encode_definition
from schemas.headers import DefinitionsVersion
from schemas.topics import DEFINITIONS
from streams.runtime.database import Connection
from streams.runtime.failure import LogMismatchError
from streams.runtime.happenings import tell_deleted, tell_written
from streams.runtime.outbox import enqueue


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
