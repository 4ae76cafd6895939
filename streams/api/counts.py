"""How many documents there are: sums of counter rows, never ``count(*)``."""

from collections.abc import Sequence

from streams.runtime.database import Connection


async def document_counts(
    connection: Connection, namespace_id: str, collection_ids: Sequence[str]
) -> dict[str, int]:
    """Documents now in each collection; 0 where none ever came."""
    cursor = await connection.execute(
        "SELECT collection_id, greatest(sum(added - deleted), 0)::bigint FROM collection_counters"
        " WHERE namespace_id = %s AND collection_id = ANY(%s) GROUP BY collection_id",
        (namespace_id, list(collection_ids)),
    )
    return dict.fromkeys(collection_ids, 0) | dict(await cursor.fetchall())


async def namespace_counts(connection: Connection, namespace_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Live collections and the documents in them, for each namespace."""
    cursor = await connection.execute(
        "SELECT asked.id, (SELECT coalesce(sum(n), 0)::bigint FROM list_counts WHERE list = 'collection'"
        " AND namespace_id = asked.id), (SELECT coalesce(sum(c.added - c.deleted), 0)::bigint"
        " FROM definitions AS d JOIN collection_counters AS c ON c.namespace_id = d.namespace_id"
        " AND c.collection_id = d.id WHERE d.kind = 'collection' AND d.deleted_at IS NULL"
        " AND d.namespace_id = asked.id) FROM unnest(%s::text[]) AS asked (id)",
        (list(namespace_ids),),
    )
    return {row[0]: (int(row[1]), max(int(row[2]), 0)) for row in await cursor.fetchall()}
