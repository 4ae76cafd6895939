"""Which collections are fed into ``references`` (design section 4), and the order that makes a feed complete.

A feed is a row of ``reference_feeds``. While it is there, collect queues every write to the collection in the
transaction that stores it; a walk over the stored documents queues those that were there before. Nothing slips
between the two: a feed is opened under an exclusive lock that every transaction of collect shares, so each of them
has either committed before the feed (the walk finds its documents) or sees it. Collect takes its share before it
touches a document: a walk holds its feed while it waits for documents, so who opens that feed must not hold the
lock that the owner of these documents still needs.

A version of a document never overtakes a newer one: whoever queues one holds the document's row, so the outbox has
them in the order in which they were stored.
"""

from collections.abc import Collection, Iterable
from typing import Final, Literal, cast

from streams.runtime.database import Connection

FeedState = Literal["seeding", "following", "draining"]

_LOCK: Final = 7_431_003
"""Advisory lock: shared by transactions that write documents, exclusive to open a feed or to end one at once."""
KEPT_SECONDS: Final = 60
"""How long an opened feed that no definition names yet is kept."""


async def share_feeds(connection: Connection) -> None:
    """No feed is opened until the caller's transaction ends. To be called before it writes any document."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_LOCK,))


async def feeds_of(
    connection: Connection, collections: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], FeedState]:
    """The feeds among some collections, for a transaction that began with :func:`share_feeds` and is to queue what
    it wrote to these."""
    pairs = sorted(collections)
    cursor = await connection.execute(
        "SELECT namespace_id, collection_id, state FROM reference_feeds WHERE (namespace_id, collection_id) IN"
        " (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([pair[0] for pair in pairs], [pair[1] for pair in pairs]),
    )
    return {(row[0], row[1]): cast(FeedState, row[2]) for row in await cursor.fetchall()}


async def open_feeds(connection: Connection, namespace_id: str, collections: Collection[str]) -> None:
    """Begin to feed collections; one that is fed already is kept. In a short transaction of its own."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await connection.execute(
        "INSERT INTO reference_feeds AS f (namespace_id, collection_id, state, kept_until)"
        " SELECT %(namespace)s, id, CASE WHEN EXISTS (SELECT FROM documents d WHERE d.namespace_id = %(namespace)s"
        " AND d.collection_id = id) THEN 'seeding' ELSE 'following' END, now() + make_interval(secs => %(kept)s)"
        " FROM unnest(%(collections)s::text[]) AS id ORDER BY id"
        " ON CONFLICT (namespace_id, collection_id) DO UPDATE SET kept_until = EXCLUDED.kept_until,"
        " state = CASE f.state WHEN 'draining' THEN EXCLUDED.state ELSE f.state END,"
        " walked_to = CASE f.state WHEN 'draining' THEN '' ELSE f.walked_to END,"
        " walked = f.walked AND f.state <> 'draining'",
        {"namespace": namespace_id, "collections": sorted(collections), "kept": KEPT_SECONDS},
    )


async def unready(connection: Connection, namespace_id: str, collections: Iterable[str]) -> set[str]:
    """Those of these collections whose documents are not all in the topic."""
    cursor = await connection.execute(
        "SELECT collection_id FROM reference_feeds WHERE namespace_id = %s AND state = 'following'",
        (namespace_id,),
    )
    return set(collections) - {row[0] for row in await cursor.fetchall()}


async def drain_others(connection: Connection, namespace_id: str, named: Iterable[str]) -> None:
    """Begin to take back the collections of a namespace that no definition names any more."""
    await connection.execute(
        "UPDATE reference_feeds SET state = 'draining', walked_to = '', walked = false"
        " WHERE namespace_id = %s AND collection_id <> ALL(%s) AND state <> 'draining' AND kept_until < now()",
        (namespace_id, sorted(named)),
    )


async def drain(connection: Connection, namespace_id: str, collection_id: str) -> None:
    """Begin to take back a collection that is about to be deleted. Its documents stay until that is done: they say
    what is to be taken back."""
    await connection.execute(
        "UPDATE reference_feeds SET state = 'draining', walked_to = '', walked = false, kept_until = now()"
        " WHERE namespace_id = %s AND collection_id = %s AND state <> 'draining'",
        (namespace_id, collection_id),
    )


async def retract(connection: Connection, namespace_id: str) -> None:
    """Take back at once the fed documents of a namespace that is about to be deleted."""
    # No write of a document may be queued behind its tombstone.
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await connection.execute(
        "INSERT INTO outbox (topic, key, headers)"
        " SELECT 'references',"
        " convert_to(d.namespace_id || '/' || d.collection_id || '/' || d.document_id, 'UTF8'),"
        " jsonb_build_array(jsonb_build_array('x-source-position', d.partition || ':' || d.record_offset))"
        " FROM reference_feeds f JOIN documents d USING (namespace_id, collection_id)"
        " WHERE f.namespace_id = %s ORDER BY d.document_id",
        (namespace_id,),
    )
    await connection.execute("DELETE FROM reference_feeds WHERE namespace_id = %s", (namespace_id,))
