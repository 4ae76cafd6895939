"""Reading the documents an action works on, row by row, never more of them than were asked for."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
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

Name = tuple[str, str]
"""Collection and document id."""

_FETCH = 2_000
_WHERE = (
    " d.namespace_id = %(namespace)s AND d.collection_id = ANY(%(collections)s)"
    " AND (%(until)s::timestamptz IS NULL OR d.occurred_at < %(until)s)"
)
_TEXT = "d.text, CASE WHEN d.text IS NULL THEN d.payload->'text' END"
_ROOT = "d.payload, d.asset_id, d.occurred_at"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which documents: those of some collections that have some features; with ``until`` only those that occurred
    before it, with ``filter`` only those it matches."""

    namespace_id: str
    collection_ids: Sequence[str]
    until: datetime | None
    filter: Filter | None = None
    """Further condition on a document's root fields."""
    features: Sequence[str] = ()
    """Stored vectors a document must have."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Values for the statements here."""
        return {
            "namespace": self.namespace_id,
            "collections": list(self.collection_ids),
            "until": self.until,
            **{f"feature{number}": uri for number, uri in enumerate(self.features)},
        }

    @property
    def joins(self) -> str:
        """The features' vectors, each looked up for its document. ``OFFSET 0`` keeps it so: the planner takes
        tables that have just been filled for short ones, and would hold all documents against all vectors."""
        return "".join(
            f" CROSS JOIN LATERAL (SELECT embedding FROM document_vectors v WHERE v.namespace_id = d.namespace_id"
            f" AND v.collection_id = d.collection_id AND v.feature_uri = %(feature{number})s"
            f" AND v.document_id = d.document_id OFFSET 0) v{number}"
            for number in range(len(self.features))
        )


@dataclass(slots=True)
class Documents:
    """What was read. ``vectors`` has one matrix per feature, a row per document."""

    names: list[Name]
    texts: list[str]
    vectors: list[Matrix]


async def positions(connection: Connection, selection: Selection) -> dict[str, int]:
    """How far the selection had been read when this snapshot was taken: per source partition the offset after
    the last record in it."""
    cursor = await connection.execute(
        f"SELECT d.partition, max(d.record_offset) + 1 FROM documents d WHERE{_WHERE} GROUP BY 1 ORDER BY 1",
        selection.parameters,
    )
    return {str(partition): offset for partition, offset in await cursor.fetchall()}


async def dimensions(connection: Connection, selection: Selection) -> list[int]:
    """The lengths of the features' vectors, those of the first document; empty when no document has them all."""
    if not selection.features:
        return []
    cursor = await connection.execute(
        f"SELECT {_sizes(selection)} FROM documents d{selection.joins} WHERE{_WHERE} LIMIT 1", selection.parameters
    )
    return list(await cursor.fetchone() or ())


async def names(connection: Connection, selection: Selection) -> AsyncIterator[Name]:
    """The documents of the selection, in no order."""
    async for row in _rows(connection, selection, f"FROM documents d{selection.joins} WHERE{_WHERE}", {}):
        yield row.name


async def roots(connection: Connection, selection: Selection) -> AsyncGenerator[tuple[Name, dict[str, Any]], None]:
    """Name and root fields of each document of the selection, in no order."""
    source = f"FROM documents d WHERE{_WHERE}"
    async for row in _rows(connection, selection, source, {}, root=True):
        assert row.event is not None
        yield row.name, row.event.root()


async def read(connection: Connection, selection: Selection, wanted: Sequence[Name]) -> Documents:
    """Texts and vectors of some documents, in the order of ``wanted``; those that have gone are left out.

    Raises :class:`ActionError` when the vectors of a feature are of several lengths.
    """
    # Looked up one by one, as in joins.
    source = (
        f"FROM documents d{selection.joins} WHERE{_WHERE}"
        " AND d.collection_id = wanted.c AND d.document_id = wanted.d OFFSET 0"
    )
    around = (
        "SELECT found.* FROM unnest(%(ids0)s::text[], %(ids1)s::text[]) WITH ORDINALITY AS wanted(c, d, place)"
        " CROSS JOIN LATERAL ({}) found ORDER BY wanted.place"
    )
    ids = {"ids0": [name[0] for name in wanted], "ids1": [name[1] for name in wanted]}
    return await _collect(connection, selection, source, ids, len(wanted), around)


async def read_after(
    connection: Connection, selection: Selection, after: Name | None, limit: int
) -> tuple[Documents, Name | None]:
    """The documents among the next ``limit`` of the selection's collections in the order of their key, and the
    last of those looked at; ``None`` when there are no more."""
    parameters = {"after0": after and after[0], "after1": after and after[1], "limit": limit}
    behind = (
        f"FROM documents d WHERE{_WHERE} AND (%(after0)s::text IS NULL OR"
        " (d.collection_id, d.document_id) > (%(after0)s::text, %(after1)s::text))"
        " ORDER BY d.collection_id, d.document_id LIMIT %(limit)s"
    )
    cursor = await connection.execute(
        f"SELECT last.collection_id, last.document_id FROM (SELECT d.collection_id, d.document_id {behind}) last"
        " ORDER BY 1 DESC, 2 DESC LIMIT 1",
        {**selection.parameters, **parameters},
    )
    last = await cursor.fetchone()
    if last is None:
        return Documents([], [], []), None
    source = f"FROM (SELECT * {behind}) d{selection.joins} WHERE{_WHERE} ORDER BY d.collection_id, d.document_id"
    return await _collect(connection, selection, source, parameters, limit), (last[0], last[1])


async def features(connection: Connection, selection: Selection) -> list[str]:
    """The features that came with documents of the selection's collections."""
    cursor = await connection.execute(
        "SELECT DISTINCT feature_uri FROM document_vectors"
        " WHERE namespace_id = %(namespace)s AND collection_id = ANY(%(collections)s) ORDER BY 1",
        selection.parameters,
    )
    return [row[0] for row in await cursor.fetchall()]


class _Row(NamedTuple):
    name: Name
    text: str
    vectors: Sequence[Any]
    event: DocumentEvent | None


async def _collect(
    connection: Connection,
    selection: Selection,
    source: str,
    parameters: dict[str, Any],
    most: int,
    around: str = "{}",
) -> Documents:
    sizes = await dimensions(connection, selection)
    # Arrays from the start: lists of rows would hold everything twice.
    arrays = [np.empty((most, size), dtype=np.float32) for size in sizes]
    found = Documents([], [], [])
    async for row in _rows(connection, selection, source, parameters, vectors=True, around=around):
        for array, vector in zip(arrays, row.vectors, strict=True):
            values = vector.to_numpy()
            if values.shape[0] != array.shape[1]:
                raise ActionError(await _several(connection, selection))
            array[len(found.names)] = values
        found.names.append(row.name)
        found.texts.append(row.text)
    found.vectors = [array[: len(found.names)] for array in arrays]
    return found


async def _several(connection: Connection, selection: Selection) -> str:
    rows = await (
        await connection.execute(
            f"SELECT {_sizes(selection)}, count(*) FROM documents d{selection.joins} WHERE{_WHERE}"
            f" GROUP BY {', '.join(str(n + 1) for n in range(len(selection.features)))} ORDER BY count(*) DESC",
            selection.parameters,
        )
    ).fetchall()
    found = ", ".join(f"{row[-1]} of {' and '.join(map(str, row[:-1]))}" for row in rows)
    return f"{', '.join(selection.features)}: vectors of several dimensions: {found}"


def _sizes(selection: Selection) -> str:
    return ", ".join(f"vector_dims(v{number}.embedding)" for number in range(len(selection.features)))


async def _rows(
    connection: Connection,
    selection: Selection,
    source: str,
    parameters: dict[str, Any],
    *,
    vectors: bool = False,
    root: bool = False,
    around: str = "{}",
) -> AsyncIterator[_Row]:
    """Rows over a server-side cursor; needs a transaction. ``around`` is the statement that the one made here is a
    part of."""
    wanted = selection.filter
    # Payloads travel only where somebody looks into them.
    looked_into = wanted is not None or root
    embeddings = [f"v{number}.embedding" for number in range(len(selection.features))] if vectors else []
    columns = ", ".join(
        ("d.collection_id", "d.document_id", _TEXT, _ROOT if looked_into else "NULL, NULL, NULL", *embeddings)
    )
    async with connection.cursor(name="act_documents") as cursor:
        cursor.itersize = _FETCH
        statement = around.format(f"SELECT {columns} {source}").encode()
        await cursor.execute(statement, {**selection.parameters, **parameters}, binary=True)
        async for collection, document, text, payload_text, payload, asset, occurred, *found in cursor:
            event = None
            if looked_into:
                event = DocumentEvent(
                    UPSERTED, selection.namespace_id, collection, document, occurred, payload, text, asset
                )
                if wanted is not None and not matches(wanted, event.root()):
                    continue
            yield _Row((collection, document), document_text(text, {"text": payload_text}), found, event)
