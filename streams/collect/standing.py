"""Stored documents that writes of a batch were made from, read back whole."""

from collections.abc import Iterable

from schemas.headers import SourcePosition
from streams.collect.arrivals import Key
from streams.collect.overtaking import Standing
from streams.retrieval.reading import Stored
from streams.runtime.database import Connection


async def standing(connection: Connection, keys: Iterable[Key]) -> dict[Key, Standing]:
    """Those of these documents that exist, with the records they stand at."""
    groups: dict[tuple[str, str], list[str]] = {}
    for namespace_id, collection_id, document_id in keys:
        groups.setdefault((namespace_id, collection_id), []).append(document_id)
    found: dict[Key, Standing] = {}
    for (namespace_id, collection_id), ids in groups.items():
        cursor = await connection.execute(
            "SELECT document_id, partition, record_offset FROM documents"
            " WHERE namespace_id = %s AND collection_id = %s AND document_id = ANY(%s)",
            (namespace_id, collection_id, ids),
        )
        positions = {row[0]: SourcePosition(row[1], row[2]) for row in await cursor.fetchall()}
        for document_id, event in (await Stored(connection, namespace_id).whole(collection_id, positions)).items():
            found[namespace_id, collection_id, document_id] = Standing(event, positions[document_id])
    return found
