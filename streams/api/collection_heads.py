"""Collections as document requests need them: without what is attached to them, which may be very much."""

from schemas.api.base import JsonObject
from streams.runtime.database import Connection
from streams.runtime.http.errors import not_found


async def collection_head(connection: Connection, namespace_id: str, identifier: str) -> JsonObject:
    """The body of a collection by id or name, without attachments. Raises 404."""
    row = None
    if "\x00" not in identifier:
        cursor = await connection.execute(
            "SELECT body - 'alert_applications' FROM definitions WHERE kind = 'collection' AND namespace_id = %s"
            " AND deleted_at IS NULL AND (id = %s OR name = %s) ORDER BY (id = %s) DESC LIMIT 1",
            (namespace_id, identifier, identifier, identifier),
        )
        row = await cursor.fetchone()
    if row is None:
        raise not_found("collection", identifier)
    head: JsonObject = row[0]
    return head


async def collection_id_of(connection: Connection, namespace_id: str, identifier: str) -> str:
    """The id of a collection by id or name. Raises 404."""
    found: str = (await collection_head(connection, namespace_id, identifier))["collection_id"]
    return found


async def collection_names(connection: Connection, namespace_id: str) -> dict[str, str]:
    """The collections of a namespace: id → name."""
    cursor = await connection.execute(
        "SELECT id, name FROM definitions WHERE kind = 'collection' AND namespace_id = %s AND deleted_at IS NULL"
        " ORDER BY number",
        (namespace_id,),
    )
    return dict(await cursor.fetchall())
