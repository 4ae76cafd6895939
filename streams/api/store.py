"""Reading and writing definitions for a request: one transaction, one writer at a time, errors in words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Response

from schemas.events.definition import Kind, encode_definition
from streams.api.names import check_name, resource, taken
from streams.runtime.agent import Context
from streams.runtime.database import Connection, Database
from streams.runtime.definitions import StoredDefinition, current_version, find_definition, put_definition
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.http.headers import DEFINITIONS_VERSION, WRITE_TOKEN
from streams.runtime.outbox import MAX_RECORD_BYTES
from streams.runtime.write_tokens import current_token


@asynccontextmanager
async def change(context: Context, response: Response) -> AsyncIterator[Connection]:
    """A transaction that changes definitions. Writers take turns, so what one has looked up (a free name, a
    retriever that is there) still holds when it commits. Puts the version and the write token on the response."""
    async with context.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM stream_identity FOR UPDATE")
        yield connection
        response.headers[DEFINITIONS_VERSION] = str(await current_version(connection))
        response.headers[WRITE_TOKEN] = await current_token(connection)


async def require(
    connection: Connection, kind: Kind, namespace_id: str, identifier: str, *, by_id: bool = False
) -> StoredDefinition:
    """A definition by id or name, or by id alone. Raises 404."""
    found = await find_definition(connection, kind, namespace_id, identifier)
    if found is None or (by_id and found.record.id != identifier):
        raise not_found(resource(kind), identifier)
    return found


async def require_name(connection: Connection, kind: Kind, namespace_id: str, name: str, field: str) -> None:
    """Check a new name. Raises 422 for one that cannot be and 409 for one in use."""
    check_name(kind, name, field)
    cursor = await connection.execute(
        "SELECT 1 FROM definitions WHERE kind = %s AND namespace_id = %s AND name = %s AND deleted_at IS NULL",
        (kind, namespace_id, name),
    )
    if await cursor.fetchone() is not None:
        raise taken(kind, name)


async def save(
    connection: Connection, kind: Kind, namespace_id: str, identifier: str, name: str | None, body: dict[str, Any]
) -> StoredDefinition:
    """Write a definition. Raises 413 when its record would not fit on the topic."""
    stored = await put_definition(connection, kind, namespace_id, identifier, name, body)
    if len(encode_definition(stored.record)) > MAX_RECORD_BYTES:
        raise ApiError(413, f"The {resource(kind)} is larger than {MAX_RECORD_BYTES} bytes")
    return stored


async def internal_id(database: Database) -> str:
    """The organisation's id, for requests that name no namespace."""
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT internal_id FROM stream_identity")).fetchone()
    return "" if row is None else str(row[0])
