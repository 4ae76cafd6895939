"""The documents of a collection page by page, whole and with the version they stand at, for actions that write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from psycopg.types.json import Jsonb

from schemas.events.document import UPSERTED, DocumentEvent, Vector
from schemas.headers import SourcePosition
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.retrieval.reading import Stored
from streams.runtime.database import Connection
from streams.runtime.document_writes import decode_features, known_root

NOT_STORED: Final = SourcePosition(-1, -1)
_COLUMNS: Final = "document_id, payload, text, asset_id, occurred_at, created_at"
_PAGE = f"""
SELECT {_COLUMNS}, appended_at, partition, record_offset, NULL FROM documents
WHERE namespace_id = %(namespace)s AND collection_id = %(collection)s AND document_id > %(after)s
  AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
  AND (%(ids)s::text[] IS NULL OR document_id = ANY(%(ids)s))
  AND (%(seen)s::jsonb IS NULL OR record_offset >= coalesce((%(seen)s::jsonb ->> partition::text)::bigint, 0)
    OR occurred_at >= %(seen_until)s::timestamptz)
ORDER BY document_id LIMIT %(limit)s
""".encode()
# As readers of the API have them: collect has stored a write, or its row is still there, in every snapshot.
_WRITTEN_PAGE = f"""
SELECT * FROM (
    (SELECT {_COLUMNS}, appended_at, partition, record_offset, NULL::bytea AS features FROM documents d
     WHERE namespace_id = %(namespace)s AND collection_id = %(collection)s AND document_id > %(after)s
       AND NOT EXISTS (SELECT FROM document_writes w WHERE w.namespace_id = d.namespace_id
                       AND w.collection_id = d.collection_id AND w.document_id = d.document_id)
     ORDER BY document_id LIMIT %(limit)s)
    UNION ALL
    (SELECT {_COLUMNS}, written_at, -1, -1, features FROM document_writes
     WHERE namespace_id = %(namespace)s AND collection_id = %(collection)s AND document_id > %(after)s
       AND NOT deleted
     ORDER BY document_id LIMIT %(limit)s)
) AS found ORDER BY document_id LIMIT %(limit)s
""".encode()


@dataclass(frozen=True, slots=True)
class Source:
    """Which documents of a collection."""

    namespace_id: str
    collection_id: str
    until: datetime | None = None
    """Only those that occurred before it."""
    filter: Filter | None = None
    """Only those whose root fields it matches."""
    document_ids: Sequence[str] | None = None
    """Only these."""
    seen: Mapping[str, int] | None = None
    """Only those written since: per source partition the offset up to which they are known."""
    seen_until: datetime | None = None
    """Of those only what occurred before this is known; absent: all of them."""
    as_read: bool = False
    """As readers of the API have them, with what was written over HTTP and is not stored yet; narrowed by the
    filter alone."""


class Found(NamedTuple):
    """A stored document."""

    event: DocumentEvent
    version: SourcePosition
    """The record it stands at; :data:`NOT_STORED` of a write that collect has not stored yet."""


class Page(NamedTuple):
    """Some of a source's documents, by id."""

    found: list[Found]
    """Those that fit the filter."""
    last: str
    """Where the next page goes on; empty when there is none."""
    read: int
    """Documents looked at."""


async def read_page(connection: Connection, source: Source, after: str, limit: int) -> Page:
    """The documents that follow the id ``after`` in the database's order. A document that comes to stand before it
    later is for another walk."""
    parameters = {
        "namespace": source.namespace_id,
        "collection": source.collection_id,
        "after": after,
        "until": source.until,
        "ids": None if source.document_ids is None else list(source.document_ids),
        "seen": None if source.seen is None else Jsonb(dict(source.seen)),
        "seen_until": source.seen_until,
        "limit": limit,
    }
    statement = _WRITTEN_PAGE if source.as_read else _PAGE
    rows = await (await connection.execute(statement, parameters)).fetchall()
    stored = Stored(connection, source.namespace_id)
    names = await stored.feature_names(source.collection_id)
    found: list[Found] = []
    written: dict[str, dict[str, Vector]] = {}
    for document_id, payload, text, asset_id, occurred_at, created_at, updated_at, *place, features in rows:
        event = DocumentEvent(
            UPSERTED,
            source.namespace_id,
            source.collection_id,
            document_id,
            occurred_at,
            payload=payload,
            text=text,
            asset_id=asset_id,
        )
        if source.filter is None or matches(source.filter, known_root(event, created_at, updated_at)):
            found.append(Found(event, SourcePosition(*place)))
            if features is not None:
                written[document_id] = decode_features(features)
    vectors = await stored.vectors(source.collection_id, [one.event.document_id for one in found], names)
    for one in found:
        name = one.event.document_id
        one.event.features = written[name] if name in written else vectors.get(name, {})
    return Page(found, rows[-1][0] if len(rows) == limit else "", len(rows))


async def stored_count(connection: Connection, namespace_id: str, collection_ids: Sequence[str]) -> int:
    """About how many documents some collections hold, by their counters: to tell how far a walk is."""
    cursor = await connection.execute(
        "SELECT coalesce(sum(added - deleted), 0) FROM collection_counters"
        " WHERE namespace_id = %s AND collection_id = ANY(%s)",
        (namespace_id, list(collection_ids)),
    )
    row = await cursor.fetchone()
    return 0 if row is None else max(0, int(row[0]))
