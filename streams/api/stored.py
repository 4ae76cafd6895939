"""Documents as readers of the API have them: what collect has stored, under what was written over HTTP since."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from psycopg.rows import DictRow, dict_row

from schemas.events.document import UPSERTED, DocumentEvent
from streams.retrieval.reading import Stored
from streams.retrieval.sql.filters import SqlFilter
from streams.runtime.database import Connection
from streams.runtime.document_writes import decode_features
from streams.runtime.http.errors import not_found

Name = tuple[str, str]
"""Collection and document."""
WINDOW: Final = "win"
"""What a filter is compiled for that narrows a page."""
Order = Literal["created_at", "updated_at", "document_id"]
ORDERS: Final[Mapping[str, Order]] = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "document_id": "document_id",
    "_internal.created_at": "created_at",
    "_internal.updated_at": "updated_at",
}
"""What a list is sorted by in the database."""

_STORED: Final = (
    "SELECT d.collection_id, d.document_id, d.payload, d.text, d.asset_id, d.occurred_at, d.created_at,"
    " d.appended_at AS updated_at, NULL::bytea AS features FROM documents d WHERE d.namespace_id = %(namespace)s"
    " AND d.collection_id = asked.collection_id{stored} AND NOT EXISTS (SELECT FROM document_writes w"
    " WHERE w.namespace_id = %(namespace)s AND w.collection_id = asked.collection_id"
    " AND w.document_id = d.document_id)"
)
_WRITTEN: Final = (
    "SELECT w.collection_id, w.document_id, w.payload, w.text, w.asset_id, w.occurred_at, w.created_at,"
    " w.written_at AS updated_at, w.features FROM document_writes w WHERE w.namespace_id = %(namespace)s"
    " AND w.collection_id = asked.collection_id AND NOT w.deleted{written}"
)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document and when it was added and last written."""

    event: DocumentEvent
    created_at: datetime
    updated_at: datetime
    searchable: bool
    """Collect has stored this version."""

    @property
    def name(self) -> Name:
        """Which it is."""
        return self.event.collection_id, self.event.document_id


class After(NamedTuple):
    """Where a page ends: what it is sorted by, and the document."""

    value: datetime | str
    document_id: str
    collection_id: str


class Looked(NamedTuple):
    """Documents that may fit, of so many that follow each other."""

    documents: list[StoredDocument]
    looked_at: int
    after: After | None
    """Where they end."""


async def stored_document(
    connection: Connection, namespace_id: str, collection_id: str, document_id: str, *, vectors: bool = False
) -> StoredDocument:
    """A document by its key, with ``vectors`` those that came with it. Raises 404."""
    name = (collection_id, document_id)
    found = await named_documents(connection, namespace_id, [name], vectors=vectors)
    if name not in found:
        raise not_found("document", document_id)
    return found[name]


async def named_documents(
    connection: Connection, namespace_id: str, names: Sequence[Name], *, vectors: bool = False
) -> dict[Name, StoredDocument]:
    """Those of these documents that exist."""
    stored = _STORED.format(stored=" AND d.document_id = asked.document_id")
    written = _WRITTEN.format(written=" AND w.document_id = asked.document_id")
    parameters = {
        "namespace": namespace_id,
        "collections": [name[0] for name in names],
        "documents": [name[1] for name in names],
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT found.* FROM unnest(%(collections)s::text[], %(documents)s::text[])"
            f" AS asked (collection_id, document_id), LATERAL ({stored} UNION ALL {written}) AS found".encode(),
            parameters,
        )
        found = [_document(namespace_id, row) for row in await cursor.fetchall()]
    if vectors:
        found = await with_vectors(connection, found)
    return {document.name: document for document in found}


async def names_of(
    connection: Connection, namespace_id: str, document_ids: Sequence[str], collection_ids: Collection[str]
) -> list[Name]:
    """Which of these collections may have documents of these ids, in the order of the ids."""
    parameters = {"namespace": namespace_id, "ids": [one for one in document_ids if "\x00" not in one]}
    cursor = await connection.execute(
        "SELECT collection_id, document_id FROM documents"
        " WHERE namespace_id = %(namespace)s AND document_id = ANY(%(ids)s) UNION"
        " SELECT collection_id, document_id FROM document_writes"
        " WHERE namespace_id = %(namespace)s AND document_id = ANY(%(ids)s)",
        parameters,
    )
    places = {document_id: place for place, document_id in enumerate(parameters["ids"])}
    found: list[Name] = [(row[0], row[1]) for row in await cursor.fetchall() if row[0] in collection_ids]
    return sorted(found, key=lambda name: (places[name[1]], name[0]))


async def page_of_documents(
    connection: Connection,
    namespace_id: str,
    collection_ids: Sequence[str],
    order: Order,
    descending: bool,
    after: After | None,
    limit: int,
    offset: int = 0,
    where: SqlFilter | None = None,
) -> Looked:
    """Documents of some collections in order, behind ``after``. Without an index to go by only for ``updated_at``;
    the cost of the others is that of what they return, per collection. With ``where``, compiled for
    :data:`WINDOW`, of these only those that may fit."""
    direction = "DESC" if descending else "ASC"
    key = "document_id" if order == "document_id" else f"{order}, document_id"
    ordered = ", ".join(f"{name} {direction}" for name in key.split(", "))
    columns = {"created_at": "{t}.created_at", "document_id": "{t}.document_id"}
    behind = {"d": "", "w": ""}
    parameters: dict[str, Any] = {
        "namespace": namespace_id,
        "collections": list(collection_ids),
        "most": limit + offset,
        "limit": limit,
        "offset": offset,
    }
    if after is not None:
        parameters |= {"value": after.value, "document": after.document_id, "collection": after.collection_id}
        sign = "<" if descending else ">"
        for table, updated in (("d", "d.appended_at"), ("w", "w.written_at")):
            column = columns.get(order, updated).format(t=table)
            behind[table] = (
                f" AND ({column}, {table}.document_id, {table}.collection_id) {sign}"
                f" (%(value)s, %(document)s, %(collection)s)"
            )
    stored = _STORED.format(stored=behind["d"])
    written = _WRITTEN.format(written=behind["w"])
    # Each side by its own index, and of each collection no more than the page could hold.
    one = f"({stored} ORDER BY {ordered} LIMIT %(most)s)"
    other = f"({written} ORDER BY {ordered} LIMIT %(most)s)"
    whole = ", ".join(f"found.{name} {direction}" for name in (*key.split(", "), "collection_id"))
    last = f"{WINDOW}.place = (SELECT max(place) FROM {WINDOW})"
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"WITH {WINDOW} AS MATERIALIZED (SELECT found.*, row_number() OVER (ORDER BY {whole}) AS place"
            f" FROM unnest(%(collections)s::text[]) AS asked (collection_id),"
            f" LATERAL ({one} UNION ALL {other}) AS found"
            f" ORDER BY {whole} LIMIT %(limit)s OFFSET %(offset)s) SELECT * FROM {WINDOW}"
            f" WHERE {'true' if where is None else f'{where.possible} OR {last}'} ORDER BY place".encode(),
            parameters if where is None else {**parameters, **where.parameters},
        )
        rows = await cursor.fetchall()
    found = [_document(namespace_id, row) for row in rows]
    return Looked(found, rows[-1]["place"] - offset if rows else 0, after_of(found[-1], order) if found else None)


def after_of(document: StoredDocument, order: Order) -> After:
    """Where a page that ends with this document ends."""
    values: dict[Order, datetime | str] = {
        "created_at": document.created_at,
        "updated_at": document.updated_at,
        "document_id": document.event.document_id,
    }
    return After(values[order], document.event.document_id, document.event.collection_id)


async def with_vectors(connection: Connection, documents: Sequence[StoredDocument]) -> list[StoredDocument]:
    """The same documents with the vectors that came with them."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for document in documents:
        if document.searchable:
            event = document.event
            wanted.setdefault((event.namespace_id, event.collection_id), []).append(event.document_id)
    found: dict[tuple[str, str, str], Any] = {}
    for (namespace_id, collection_id), ids in wanted.items():
        stored = Stored(connection, namespace_id)
        names = await stored.feature_names(collection_id)
        for document_id, vectors in (await stored.vectors(collection_id, ids, names)).items():
            found[namespace_id, collection_id, document_id] = vectors
    return [
        replace(document, event=replace(event, features=found.get((event.namespace_id, *document.name), {})))
        if document.searchable
        else document
        for document in documents
        for event in (document.event,)
    ]


def _document(namespace_id: str, row: DictRow) -> StoredDocument:
    event = DocumentEvent(
        UPSERTED,
        namespace_id,
        row["collection_id"],
        row["document_id"],
        row["occurred_at"],
        payload=row["payload"],
        text=row["text"],
        asset_id=row["asset_id"],
        features={} if row["features"] is None else decode_features(row["features"]),
    )
    return StoredDocument(event, row["created_at"], row["updated_at"], row["features"] is None)


async def pending_counts(
    connection: Connection, namespace_id: str, collection_ids: Sequence[str]
) -> dict[str, int]:
    """By how much each collection will have grown when what was written over HTTP is stored."""
    cursor = await connection.execute(
        "SELECT w.collection_id, sum(CASE WHEN w.deleted THEN 0 ELSE 1 END"
        " - CASE WHEN d.document_id IS NULL THEN 0 ELSE 1 END) FROM document_writes w"
        " LEFT JOIN documents d USING (namespace_id, collection_id, document_id)"
        " WHERE w.namespace_id = %s AND w.collection_id = ANY(%s) GROUP BY 1",
        (namespace_id, list(collection_ids)),
    )
    return {row[0]: int(row[1]) for row in await cursor.fetchall()}
