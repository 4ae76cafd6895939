"""Rows of documents, event ids, counters and trigger states. Every function works in the caller's transaction.

Rows are written in key order, so that two workers whose keys overlap (a producer without record keys may put one
document into two partitions) wait for each other instead of deadlocking.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

import orjson
from psycopg.errors import UniqueViolation
from psycopg.types.json import Json

from streams.collect.arrivals import EventKey, Key, Scope
from streams.collect.copying import DOCUMENT_COLUMNS, VECTOR_COLUMNS, document_rows, vector_rows
from streams.collect.fold import Folded, Tally, Version
from streams.retrieval.reading import Stored
from streams.runtime.binary_copy import copy_rows, staging
from streams.runtime.database import Connection, columns


async def created_at(connection: Connection, keys: Iterable[Key]) -> dict[Key, datetime]:
    """When each of these documents was added, for those that exist."""
    documents: dict[tuple[str, str], list[str]] = {}
    for namespace_id, collection_id, document_id in keys:
        documents.setdefault((namespace_id, collection_id), []).append(document_id)
    found: dict[Key, datetime] = {}
    for collection, ids in documents.items():
        # Ids travel as JSON, which is written much faster than an array.
        cursor = await connection.execute(
            "SELECT document_id, created_at FROM documents WHERE namespace_id = %s AND collection_id = %s"
            " AND document_id = ANY (ARRAY(SELECT json_array_elements_text(%s)))",
            (*collection, Json(ids, dumps=orjson.dumps)),
        )
        found.update({(*collection, row[0]): row[1] for row in await cursor.fetchall()})
    return found


async def claim_events(connection: Connection, first: Mapping[EventKey, datetime]) -> dict[EventKey, datetime]:
    """Remember these event ids by the append time of their first event. Returns those that were remembered
    before; their rows are locked, so two workers never both take a repeat for new."""
    if not first:
        return {}
    keys = sorted(first)
    cursor = await connection.execute(
        "INSERT INTO seen_events (namespace_id, event_id, seen_at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[])"
        " ON CONFLICT DO NOTHING RETURNING namespace_id, event_id",
        columns(((*key, first[key]) for key in keys), 3),
    )
    claimed = {(row[0], row[1]) for row in await cursor.fetchall()}
    repeated = [key for key in keys if key not in claimed]
    if not repeated:
        return {}
    cursor = await connection.execute(
        "SELECT s.namespace_id, s.event_id, s.seen_at FROM seen_events s"
        " JOIN unnest(%s::text[], %s::text[]) AS k (namespace_id, event_id) USING (namespace_id, event_id)"
        " ORDER BY 1, 2 FOR UPDATE OF s",
        columns(repeated, 2),
    )
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}


async def renew_events(connection: Connection, seen: Mapping[EventKey, datetime]) -> None:
    """Remember these event ids from a later instant: they came again after their window."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "UPDATE seen_events SET seen_at = %s WHERE namespace_id = %s AND event_id = %s",
            [(moment, *key) for key, moment in sorted(seen.items())],
        )


async def forget_events(connection: Connection, before: datetime, limit: int = 20_000) -> int:
    """Delete up to ``limit`` event ids seen before an instant. Returns how many."""
    cursor = await connection.execute(
        "DELETE FROM seen_events WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM seen_events WHERE seen_at < %s ORDER BY seen_at LIMIT %s FOR UPDATE SKIP LOCKED))",
        (before, limit),
    )
    return cursor.rowcount


async def watermarks(connection: Connection, scopes: Iterable[Scope]) -> dict[Scope, datetime | None]:
    """The stored watermark of each scope that has counters."""
    cursor = await connection.execute(
        "SELECT c.namespace_id, c.collection_id, c.partition, c.watermark FROM collection_counters c"
        " JOIN unnest(%s::text[], %s::text[], %s::int[]) AS k (namespace_id, collection_id, partition)"
        " USING (namespace_id, collection_id, partition)",
        columns(scopes, 3),
    )
    return {(row[0], row[1], row[2]): row[3] for row in await cursor.fetchall()}


async def write_documents(connection: Connection, folded: Folded, existed: Iterable[Key] | None) -> None:
    """Store the last version of every document and its vectors, which replace all vectors it had.

    ``existed`` are the documents that were stored before; ``None``: none was, as far as anybody knows. Raises
    ``UniqueViolation`` when one was: the transaction is then lost.
    """
    if existed is None:
        await _add(connection, [version for _, version in sorted(folded.documents.items()) if version is not None])
        return
    old = sorted(set(existed) & folded.documents.keys())
    gone = [key for key in old if folded.documents[key] is None]
    versions = [version for _, version in sorted(folded.documents.items()) if version is not None]
    if old:
        await _delete_vectors(connection, old)
    if gone:
        await connection.execute(
            "DELETE FROM documents d"
            " USING unnest(%s::text[], %s::text[], %s::text[]) AS k (ns, collection, document)"
            " WHERE d.namespace_id = k.ns AND d.collection_id = k.collection AND d.document_id = k.document",
            columns(gone, 3),
        )
    if versions:
        await _write(connection, versions, set(old))


async def _write(connection: Connection, versions: Sequence[Version], known: AbstractSet[Key]) -> None:
    """Documents that are new go straight into their table, which is twice as fast as through a staging table.
    When one turns out not to be (another worker has just added it), all go that way."""
    fresh = [version for version in versions if version.arrival.key not in known]
    staged = [version for version in versions if version.arrival.key in known]
    try:
        async with connection.transaction():
            await _add(connection, fresh)
    except UniqueViolation:
        staged = list(versions)
    if staged:
        await _merge(connection, "documents", DOCUMENT_COLUMNS, 3, document_rows(staged))
        await _merge(connection, "document_vectors", VECTOR_COLUMNS, 4, vector_rows(staged))


async def _add(connection: Connection, versions: Sequence[Version]) -> None:
    await copy_rows(connection, "documents", DOCUMENT_COLUMNS, document_rows(versions))
    await copy_rows(connection, "document_vectors", VECTOR_COLUMNS, vector_rows(versions))


async def _merge(connection: Connection, table: str, names: str, key: int, rows: Iterable[bytes]) -> None:
    """Put rows in, or in place of those with the same key, which is the first ``key`` of ``names``."""
    incoming = await staging(connection, table)
    await copy_rows(connection, incoming, names, rows)
    each = names.split(", ")
    replaced = ", ".join(f"{name} = EXCLUDED.{name}" for name in each[key:])
    await connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {incoming}"
        f" ON CONFLICT ({', '.join(each[:key])}) DO UPDATE SET {replaced}".encode()
    )


async def _delete_vectors(connection: Connection, keys: Iterable[Key]) -> None:
    documents: dict[tuple[str, str], list[str]] = {}
    for namespace_id, collection_id, document_id in keys:
        documents.setdefault((namespace_id, collection_id), []).append(document_id)
    for (namespace_id, collection_id), ids in documents.items():
        features = await Stored(connection, namespace_id).feature_names(collection_id)
        if features:
            await connection.execute(
                "DELETE FROM document_vectors WHERE namespace_id = %s AND collection_id = %s"
                " AND feature_uri = ANY(%s) AND document_id = ANY(%s)",
                (namespace_id, collection_id, features, ids),
            )


async def write_tallies(connection: Connection, tallies: Mapping[Scope, Tally]) -> None:
    """Add what a batch counted to the counters."""
    rows = [
        (
            *scope,
            tally.added,
            tally.updated,
            tally.deleted,
            tally.duplicates,
            tally.late,
            tally.next_offset,
            tally.max_occurred_at,
            tally.watermark,
        )
        for scope, tally in sorted(tallies.items())
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO collection_counters AS c (namespace_id, collection_id, partition, added, updated,"
            " deleted, duplicates, late, next_offset, max_occurred_at, watermark)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (namespace_id, collection_id, partition) DO UPDATE SET added = c.added + EXCLUDED.added,"
            " updated = c.updated + EXCLUDED.updated, deleted = c.deleted + EXCLUDED.deleted,"
            " duplicates = c.duplicates + EXCLUDED.duplicates, late = c.late + EXCLUDED.late,"
            " next_offset = EXCLUDED.next_offset, max_occurred_at = GREATEST(c.max_occurred_at,"
            " EXCLUDED.max_occurred_at), watermark = GREATEST(c.watermark, EXCLUDED.watermark)",
            rows,
        )
