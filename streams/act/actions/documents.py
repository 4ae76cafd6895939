"""Reading the documents an action works on, out of one snapshot, row by row."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from schemas.events.document import UPSERTED, DocumentEvent
from streams.act.clustering.algorithms import Matrix
from streams.act.failures import ActionError
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.vectors.embedder import document_text
from streams.runtime.database import Connection

_FETCH = 2_000
_WHERE = (
    " d.namespace_id = %(namespace)s AND d.collection_id = ANY(%(collections)s)"
    " AND (%(until)s::timestamptz IS NULL OR d.occurred_at < %(until)s)"
)
# Bytewise, so that the order does not depend on the database's language.
_ORDER = ' ORDER BY d.collection_id COLLATE "C", d.document_id COLLATE "C"'
_TEXT = "d.text, CASE WHEN d.text IS NULL THEN d.payload->'text' END"
_VECTORS = (
    " JOIN document_vectors v ON v.namespace_id = d.namespace_id AND v.collection_id = d.collection_id"
    " AND v.document_id = d.document_id"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which documents: those of some collections; with ``until`` only those that occurred before it, with
    ``filter`` only those it matches."""

    namespace_id: str
    collection_ids: Sequence[str]
    until: datetime | None
    filter: Filter | None = None
    """Further condition on a document's root fields."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Values for the statements here."""
        return {
            "namespace": self.namespace_id,
            "collections": list(self.collection_ids),
            "until": self.until,
        }


@dataclass(slots=True)
class Documents:
    """What was read, in a fixed order. ``vectors`` has a row per document, or is ``None`` for texts alone."""

    names: list[tuple[str, str]]
    """Collection and document id."""
    texts: list[str]
    vectors: Matrix | None = None


async def positions(connection: Connection, selection: Selection) -> dict[str, int]:
    """How far the selection had been read when this snapshot was taken: per source partition the offset after
    the last record in it."""
    cursor = await connection.execute(
        f"SELECT d.partition, max(d.record_offset) + 1 FROM documents d WHERE{_WHERE} GROUP BY 1 ORDER BY 1",
        selection.parameters,
    )
    return {str(partition): offset for partition, offset in await cursor.fetchall()}


async def read_texts(connection: Connection, selection: Selection) -> Documents:
    """Names and texts of the selection."""
    documents = Documents([], [])
    async for row in _matching(connection, selection, "NULL", "", {}):
        documents.names.append(row.name)
        documents.texts.append(row.text)
    return documents


async def read_vectors(connection: Connection, selection: Selection, feature_uri: str) -> Documents:
    """Names, texts and event vectors of the documents that have ``feature_uri``.

    Raises :class:`ActionError` when their vectors are of several lengths.
    """
    parameters = {**selection.parameters, "feature": feature_uri}
    join = f"{_VECTORS} AND v.feature_uri = %(feature)s"
    sizes = await (
        await connection.execute(
            f"SELECT vector_dims(v.embedding), count(*) FROM documents d{join} WHERE{_WHERE}"
            " GROUP BY 1 ORDER BY 1",
            parameters,
        )
    ).fetchall()
    if len(sizes) > 1:
        found = ", ".join(f"{count} of {dimensions}" for dimensions, count in sizes)
        raise ActionError(f"{feature_uri} has vectors of several dimensions: {found}")
    dimensions, count = sizes[0] if sizes else (0, 0)
    # One array from the start: a list of rows would hold everything twice.
    vectors = np.empty((count, dimensions), dtype=np.float32)
    documents = Documents([], [])
    async for row in _matching(connection, selection, "v.embedding", join, parameters):
        vectors[len(documents.names)] = row.embedding.to_numpy()
        documents.names.append(row.name)
        documents.texts.append(row.text)
    documents.vectors = vectors[: len(documents.names)]
    return documents


async def features(connection: Connection, selection: Selection) -> list[str]:
    """The features that came with the selection's documents."""
    cursor = await connection.execute(
        f"SELECT DISTINCT v.feature_uri FROM documents d{_VECTORS} WHERE{_WHERE} ORDER BY 1", selection.parameters
    )
    return [row[0] for row in await cursor.fetchall()]


class _Row(NamedTuple):
    name: tuple[str, str]
    text: str
    embedding: Any


async def _matching(
    connection: Connection, selection: Selection, embedding: str, join: str, parameters: dict[str, Any]
) -> AsyncIterator[_Row]:
    """Rows over a server-side cursor, in the fixed order; needs a transaction."""
    wanted = selection.filter
    # Payloads travel only where a filter looks into them.
    columns = "d.payload, d.asset_id, d.occurred_at" if wanted is not None else "NULL, NULL, NULL"
    statement = (
        f"SELECT d.collection_id, d.document_id, {_TEXT}, {embedding}, {columns}"
        f" FROM documents d{join} WHERE{_WHERE}{_ORDER}"
    )
    async with connection.cursor(name="act_documents") as cursor:
        cursor.itersize = _FETCH
        await cursor.execute(statement.encode(), {**selection.parameters, **parameters}, binary=True)
        async for collection, document, text, payload_text, vector, payload, asset, occurred in cursor:
            if wanted is not None:
                event = DocumentEvent(
                    UPSERTED, selection.namespace_id, collection, document, occurred, payload, text, asset
                )
                if not matches(wanted, event.root()):
                    continue
            yield _Row((collection, document), document_text(text, {"text": payload_text}), vector)
