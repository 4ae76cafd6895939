"""What a deleted collection held goes step by step, a transaction each: however much it was, nobody waits for it
and no statement takes long. How far it has come is what is left, so whoever goes on after a kill needs no more.

A deleted collection is gone for every reader with its definition. Its rows go in the request that deletes it as
far as a few seconds carry; the rest, what was still on its way, and what results say of its documents go with the
next sweep (:mod:`streams.runtime.erasure`).
"""

import time
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from streams.runtime.database import Connection, Database, fetch_value
from streams.runtime.faults import fault

STEP: Final = 5_000
"""Rows deleted, or looked at, in one transaction."""
OF_COLLECTION: Final = (
    "documents",
    "document_vectors",
    "document_writes",
    "collection_counters",
    "drift_sketches",
    "drift_seeds",
)
"""Tables whose rows go with their collection."""

_HELD: Final = "namespace_id = %(namespace)s AND collection_id = %(collection)s"


async def leaves(connection: Connection, table: str) -> list[str]:
    """The tables that hold the rows of a table: its partitions, or itself."""
    cursor = await connection.execute(
        "SELECT relid::regclass::text FROM pg_partition_tree(%s::regclass) WHERE isleaf ORDER BY 1", (table,)
    )
    return [row[0] for row in await cursor.fetchall()] or [table]


async def delete_some(
    connection: Connection, table: str, where: str, parameters: dict[str, Any], most: int
) -> int:
    """Delete up to ``most`` rows of a table that is not partitioned. Returns how many there were: ``most`` where
    there may be more. One that is written meanwhile stays where it has got to, and counts."""
    return int(
        await fetch_value(
            connection,
            f"WITH chosen AS MATERIALIZED (SELECT ctid FROM {table} WHERE {where} LIMIT %(most)s), gone AS"
            f" (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM chosen)))"
            " SELECT count(*) FROM chosen",
            {**parameters, "most": most},
        )
    )


async def clear_step(connection: Connection, namespace_id: str, collection_id: str) -> int:
    """Delete some of what a deleted collection holds. Returns how many rows; 0 where nothing is left, or where
    collect still takes its documents out of ``references`` and needs them to know which."""
    parameters = {"namespace": namespace_id, "collection": collection_id}
    fed = f"SELECT EXISTS (SELECT FROM reference_feeds WHERE {_HELD})"
    if await fetch_value(connection, fed, parameters):
        return 0
    gone = 0
    for table in OF_COLLECTION:
        gone += await delete_some(connection, table, _HELD, parameters, STEP - gone)
        if gone == STEP:
            break
    return gone


async def clear(database: Database, namespace_id: str, collection_id: str, seconds: float | None = None) -> None:
    """Delete what a deleted collection holds, for so long at most."""
    started = time.monotonic()
    while seconds is None or time.monotonic() - started < seconds:
        async with database.transaction() as connection:
            gone = await clear_step(connection, namespace_id, collection_id)
        await fault("clear:after-step")
        if gone < STEP:
            return


async def blank_results(database: Database, collections: Sequence[tuple[str, str]]) -> None:
    """Take the documents of deleted collections (namespace, collection) out of stored results."""
    parameters: dict[str, Any] = {
        "namespaces": [namespace_id for namespace_id, _ in collections],
        "collections": [collection_id for _, collection_id in collections],
        "day": date.min,
        "base": b"",
        "most": STEP,
    }
    while True:
        async with database.transaction() as connection:
            last = await (await connection.execute(_NEXT_RESULTS, parameters)).fetchone()
            if last is None:
                return
            following = {"day": last[0], "base": last[1]}
            await connection.execute(_BLANK, {**parameters, "to_day": last[0], "to_base": last[1]})
        parameters |= following


_NEXT_RESULTS: Final = b"""
SELECT day, base FROM (
    SELECT day, base FROM result_documents WHERE day >= %(day)s AND (day, base) > (%(day)s, %(base)s)
    ORDER BY day, base LIMIT %(most)s
) AS step ORDER BY day DESC, base DESC LIMIT 1
"""
_BLANK: Final = b"""
UPDATE result_documents r SET document = json_build_object(), asset_id = NULL
FROM unnest(%(namespaces)s::text[], %(collections)s::text[]) AS x (namespace_id, collection_id)
WHERE r.day BETWEEN %(day)s AND %(to_day)s AND (r.day, r.base) > (%(day)s, %(base)s)
  AND (r.day, r.base) <= (%(to_day)s, %(to_base)s)
  AND r.namespace_id = x.namespace_id AND r.collection_id = x.collection_id
  AND (r.document::text <> '{}' OR r.asset_id IS NOT NULL)
"""
