"""What deleted documents leave behind in results: nothing of what they held (design section 8).

A deletion is an event, whoever it is from; collect notes it, and the API notes a deleted collection. From then on
a result of an earlier version shows the document's id and no more; a result that is materialised later, or again
from the topics, too. By and by the payload is taken out of the tables themselves.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from streams.runtime.clearing import blank_results, clear
from streams.runtime.database import Connection, Database, columns

WHOLE: Final = ""
"""Stands for the id of a document where a whole collection was deleted."""
KEPT: Final = timedelta(days=31)
"""How long deletions are remembered: longer than the topics that results could come from again."""
SETTLING: Final = timedelta(minutes=1)
"""Results of what was deleted last may still be on their way."""
_SHOWN: Final = ("document_id", "collection_id", "score")
_AT_ONCE: Final = 1_000
_RUNS_AT_ONCE: Final = 20
_COLUMNS: Final = "namespace_id, document_id, collection_id, erased_at, partition, record_offset"

ERASED: Final = (
    "EXISTS (SELECT FROM erased_documents x WHERE x.namespace_id = r.namespace_id"
    " AND x.document_id IN ('', r.document_id) AND x.collection_id = r.collection_id"
    " AND CASE WHEN x.document_id = '' THEN true WHEN x.partition = r.source_partition AND r.source_topic <> ''"
    " THEN r.source_offset < x.record_offset ELSE r.appended_at <= x.erased_at END)"
)
"""SQL: whether the document of ``result_documents`` r was deleted after the version that it is."""
MATCHES: Final = (
    "CASE WHEN p.matches IS NULL THEN NULL ELSE (SELECT coalesce(json_agg(CASE WHEN EXISTS (SELECT FROM"
    " erased_documents x WHERE x.namespace_id = r.namespace_id"
    " AND x.document_id IN ('', m.value ->> 'document_id') AND x.erased_at >= r.executed_at"
    " AND CASE WHEN m.value ->> 'collection_id' IS NULL THEN x.document_id <> ''"
    " ELSE x.collection_id = m.value ->> 'collection_id' END)"
    " THEN json_strip_nulls(json_build_object('document_id', m.value ->> 'document_id', 'collection_id',"
    " m.value ->> 'collection_id', 'score', m.value -> 'score'))"
    " ELSE m.value END ORDER BY m.n), '[]') FROM json_array_elements(p.matches)"
    " WITH ORDINALITY AS m (value, n)) END"
)
"""SQL: what a look-up of executions p found as it may be shown. Matches that were recorded without their
collection are taken for any of their id."""


class Erased(NamedTuple):
    """A document, or with :data:`WHOLE` a collection, that was deleted."""

    namespace_id: str
    document_id: str
    collection_id: str
    erased_at: datetime
    partition: int | None = None
    record_offset: int | None = None


async def note_erased(connection: Connection, deletions: Iterable[Erased]) -> None:
    """Note deletions in the transaction that makes them."""
    last = {deletion[:3]: deletion for deletion in deletions}
    if last:
        await connection.execute(
            "INSERT INTO erased_documents AS e (namespace_id, document_id, collection_id, erased_at, partition,"
            " record_offset) SELECT * FROM"
            " unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::bigint[])"
            " AS t (namespace_id, document_id, collection_id) ORDER BY 1, 2, 3"
            " ON CONFLICT (namespace_id, document_id, collection_id) DO UPDATE SET erased_at = EXCLUDED.erased_at,"
            " partition = EXCLUDED.partition, record_offset = EXCLUDED.record_offset, swept = false",
            columns(last.values(), 6),
        )


def named_in(value: Any) -> set[str]:
    """The ids of all documents that a recorded execution shows."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            if isinstance(one.get("document_id"), str):
                found.add(one["document_id"])
            waiting += one.values()
    return found


def without_erased(value: Any, erased: Mapping[str, set[str]]) -> Any:
    """A recorded execution in which ``erased`` documents (id → collections) show their ids and scores only.
    :data:`WHOLE` as an id stands for all of its collections."""
    if isinstance(value, list):
        return [without_erased(item, erased) for item in value]
    if not isinstance(value, dict):
        return value
    document_id, collection_id = value.get("document_id"), value.get("collection_id")
    if isinstance(document_id, str):
        gone = erased.get(document_id)
        whole = collection_id in erased.get(WHOLE, ())
        if whole or (gone is not None and (collection_id is None or collection_id in gone)):
            return {name: value[name] for name in _SHOWN if name in value}
    return {name: without_erased(item, erased) for name, item in value.items()}


async def erased_since(
    connection: Connection, namespace_id: str, document_ids: Iterable[str], moment: datetime
) -> dict[str, set[str]]:
    """Those of these documents, and all collections, that were deleted since: id → collections."""
    cursor = await connection.execute(
        "SELECT document_id, collection_id FROM erased_documents"
        " WHERE namespace_id = %s AND document_id = ANY(%s) AND erased_at >= %s",
        (namespace_id, [WHOLE, *document_ids], moment),
    )
    found: dict[str, set[str]] = {}
    for document_id, collection_id in await cursor.fetchall():
        found.setdefault(document_id, set()).add(collection_id)
    return found


async def sweep(database: Database, now: datetime) -> None:
    """Take what was deleted a while ago out of the stored results, and forget what is older than any of them.
    Every step is a transaction of its own; what a kill leaves undone is due again."""
    collections = await _deleted_collections(database, now)
    for namespace_id, collection_id in collections:
        await clear(database, namespace_id, collection_id)
    if collections:
        await blank_results(database, collections)
    while True:
        async with database.transaction() as connection:
            if not await sweep_erased(connection, now):
                return


async def _deleted_collections(database: Database, now: datetime) -> list[tuple[str, str]]:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT namespace_id, collection_id FROM erased_documents WHERE document_id = %s"
            " AND (NOT swept AND erased_at < %s OR erased_at < %s) ORDER BY 1, 2",
            (WHOLE, now - SETTLING, now - KEPT),
        )
        return [(row[0], row[1]) for row in await cursor.fetchall()]


# A deleted collection is dealt with when nothing of it is left.
_DUE: Final = (
    "SELECT ctid FROM erased_documents e WHERE {due} AND (e.document_id <> '' OR NOT EXISTS"
    " (SELECT FROM documents d WHERE d.namespace_id = e.namespace_id AND d.collection_id = e.collection_id))"
    f" ORDER BY e.erased_at LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED"
)


async def sweep_erased(connection: Connection, now: datetime) -> int:
    """A step of :func:`sweep` in the caller's transaction: deletions that are due, of collections those of which
    nothing is left. Returns how many were dealt with."""
    # Swept again before it is forgotten: results that came late, or again, hold what nothing would hide any more.
    forgotten = await connection.execute(
        f"DELETE FROM erased_documents WHERE ctid = ANY (ARRAY({_DUE.format(due='e.erased_at < %s')}))"
        f" RETURNING {_COLUMNS}".encode(),
        (now - KEPT,),
    )
    swept = await connection.execute(
        "UPDATE erased_documents SET swept = true WHERE ctid = ANY"
        f" (ARRAY({_DUE.format(due='NOT e.swept AND e.erased_at < %s')})) RETURNING {_COLUMNS}".encode(),
        (now - SETTLING,),
    )
    due = [Erased(*row) for row in (*await forgotten.fetchall(), *await swept.fetchall())]
    if not due:
        return 0
    await connection.execute(
        "UPDATE result_documents r SET document = json_build_object(), asset_id = NULL"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::bigint[])"
        " AS x (namespace_id, document_id, collection_id, erased_at, partition, record_offset)"
        " WHERE r.namespace_id = x.namespace_id AND r.collection_id = x.collection_id"
        " AND x.document_id = r.document_id AND r.appended_at <= x.erased_at"
        " AND (x.partition IS DISTINCT FROM r.source_partition OR r.source_offset < x.record_offset)",
        columns((one for one in due if one.document_id != WHOLE), 6),
    )
    for namespace_id in sorted({one.namespace_id for one in due}):
        await _sweep_runs(connection, namespace_id, [one for one in due if one.namespace_id == namespace_id])
    return len(due)


async def _sweep_runs(connection: Connection, namespace_id: str, due: list[Erased]) -> None:
    texts = [orjson.dumps(one.document_id or one.collection_id).decode() for one in due]
    newest = max(one.erased_at for one in due)
    for table, column, key in (
        ("retriever_executions", "detail", "execution_id"),
        ("alert_executions", "matches", "base"),
    ):
        moment = "created_at" if table == "retriever_executions" else "appended_at"
        # Each may hold a megabyte: a few at a time.
        async with connection.cursor(name="swept_runs") as cursor:
            cursor.itersize = _RUNS_AT_ONCE
            await cursor.execute(
                f"SELECT tableoid, ctid, {moment}, {column} FROM {table} WHERE namespace_id = %s"
                f" AND {moment} <= %s AND {column} IS NOT NULL AND EXISTS (SELECT FROM unnest(%s::text[])"
                f" AS t (name) WHERE strpos({column}::text, t.name) > 0) ORDER BY {key} FOR UPDATE".encode(),
                (namespace_id, newest, texts),
            )
            async for table_id, place, at, value in cursor:
                # What was written again after its deletion is another document.
                erased: dict[str, set[str]] = {}
                for one in due:
                    if one.erased_at >= at:
                        erased.setdefault(one.document_id, set()).add(one.collection_id)
                await connection.execute(
                    f"UPDATE {table} SET {column} = %s WHERE tableoid = %s AND ctid = %s".encode(),
                    (orjson.dumps(without_erased(value, erased)).decode(), table_id, place),
                )
