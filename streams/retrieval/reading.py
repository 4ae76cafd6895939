"""Stored documents and their vectors, read page by page out of one snapshot of the database."""

import itertools
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from schemas.events.document import UPSERTED, DocumentEvent, Vector
from streams.runtime.database import Connection, fetch_value

PAGE: Final = 500
"""Documents at a time: what is in memory of a collection that is read through."""
DIMENSIONS_OF: Final = 100
"""Vectors looked at to tell how long those of a feature are."""
COLUMNS: Final = "document_id, payload, text, asset_id, occurred_at"
"""What :meth:`Stored.event` reads."""
OF: Final = "namespace_id = %(namespace)s AND collection_id = %(collection)s"
"""A condition with the values of :meth:`Stored.parameters`."""

# One index probe per name: the key leads with it, and DISTINCT would read every row.
_NAMES = """
WITH RECURSIVE names AS (
    (SELECT {name} AS name FROM {table} WHERE {within} ORDER BY {name} LIMIT 1)
    UNION ALL
    SELECT (SELECT t.{name} FROM {table} t WHERE {within} AND t.{name} > n.name ORDER BY t.{name} LIMIT 1)
    FROM names n WHERE n.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
"""
_COLLECTIONS: Final = _NAMES.format(
    name="collection_id", table="documents", within="namespace_id = %(namespace)s"
).encode()
_DELETED: Final = (
    "SELECT id FROM definitions WHERE kind = 'collection' AND namespace_id = %(namespace)s"
    " AND id = ANY(%(collections)s) AND deleted_at IS NOT NULL"
)
_FEATURES: Final = _NAMES.format(name="feature_uri", table="document_vectors", within=OF).encode()


class Stored:
    """The documents of one namespace. Its connection is in a transaction that sees one state of the database."""

    def __init__(self, connection: Connection, namespace_id: str) -> None:
        self.connection = connection
        self.namespace_id = namespace_id
        self._cursors = itertools.count()

    async def collections(self) -> list[str]:
        """Ids of the collections that hold documents, sorted; not those that were deleted while documents of
        theirs were on their way."""
        parameters = {"namespace": self.namespace_id}
        found = {row[0] for row in await (await self.connection.execute(_COLLECTIONS, parameters)).fetchall()}
        deleted = await self.connection.execute(_DELETED, {**parameters, "collections": list(found)})
        return sorted(found - {row[0] for row in await deleted.fetchall()})

    async def feature_names(self, collection_id: str) -> list[str]:
        """The features that vectors of a collection are stored for, sorted."""
        cursor = await self.connection.execute(_FEATURES, self.parameters(collection_id))
        return sorted(row[0] for row in await cursor.fetchall())

    async def dimensions(self, collection_id: str, feature: str) -> list[tuple[int, int]]:
        """How many vectors of a feature there are of each length, ``(documents, dimensions)``, among the first
        hundred: reading all of them would take as long as comparing them."""
        cursor = await self.connection.execute(
            "SELECT count(*), vector_dims(embedding) FROM (SELECT embedding FROM document_vectors"
            f" WHERE {OF} AND feature_uri = %(feature)s LIMIT {DIMENSIONS_OF}) AS sample GROUP BY 2".encode(),
            {**self.parameters(collection_id), "feature": feature},
        )
        return [(row[0], row[1]) for row in await cursor.fetchall()]

    async def count(self, collection_id: str) -> int:
        """How many documents a collection holds: as collect has counted them, else counted here."""
        counted = await fetch_value(
            self.connection,
            f"SELECT greatest(sum(added - deleted), 0)::bigint FROM collection_counters WHERE {OF}",
            self.parameters(collection_id),
        )
        if counted is None:
            counted = await fetch_value(
                self.connection, f"SELECT count(*) FROM documents WHERE {OF}", self.parameters(collection_id)
            )
        return int(counted)

    async def first(self, collection_id: str, limit: int) -> list[DocumentEvent]:
        """The first documents by id (by code point, whatever the database's language)."""
        cursor = await self.connection.execute(
            f'SELECT {COLUMNS} FROM documents WHERE {OF} ORDER BY document_id COLLATE "C"'
            " LIMIT %(limit)s".encode(),
            {**self.parameters(collection_id), "limit": limit},
        )
        return [self.event(collection_id, row) for row in await cursor.fetchall()]

    async def every(self, collection_id: str) -> AsyncGenerator[list[DocumentEvent], None]:
        """All documents of a collection in no order, a page at a time."""
        statement = f"SELECT {COLUMNS} FROM documents WHERE {OF}"
        async with aclosing(self.pages(statement, self.parameters(collection_id), PAGE)) as pages:
            async for page in pages:
                yield [self.event(collection_id, row) for row in page]

    async def texts(self, collection_id: str) -> AsyncGenerator[list[tuple[str, str | None, Any]], None]:
        """Id, ``text`` and the payload's ``text`` of all documents, in no order, a page at a time."""
        statement = f"SELECT document_id, text, payload -> 'text' FROM documents WHERE {OF}"
        async with aclosing(self.pages(statement, self.parameters(collection_id), PAGE)) as pages:
            async for page in pages:
                yield [(row[0], row[1], row[2]) for row in page]

    async def named(self, collection_id: str, document_ids: Collection[str]) -> dict[str, DocumentEvent]:
        """Those of the named documents that exist."""
        cursor = await self.connection.execute(
            f"SELECT {COLUMNS} FROM documents WHERE {OF} AND document_id = ANY(%(ids)s)".encode(),
            {**self.parameters(collection_id), "ids": list(document_ids)},
        )
        return {row[0]: self.event(collection_id, row) for row in await cursor.fetchall()}

    async def whole(self, collection_id: str, document_ids: Collection[str]) -> dict[str, DocumentEvent]:
        """Those of the named documents that exist, with the vectors that came with them."""
        found = await self.named(collection_id, document_ids)
        vectors = await self.vectors(collection_id, found, await self.feature_names(collection_id))
        for document_id, event in found.items():
            event.features = vectors.get(document_id, {})
        return found

    async def vectors(
        self, collection_id: str, document_ids: Collection[str], features: Sequence[str]
    ) -> dict[str, dict[str, Vector]]:
        """Document → feature → vector, of the named documents that have any of the features."""
        found: dict[str, dict[str, Vector]] = {}
        if not features or not document_ids:
            return found
        cursor = await self.connection.execute(
            f"SELECT document_id, feature_uri, embedding FROM document_vectors WHERE {OF}"
            " AND feature_uri = ANY(%(features)s) AND document_id = ANY(%(ids)s)".encode(),
            {**self.parameters(collection_id), "features": list(features), "ids": list(document_ids)},
            binary=True,
        )
        async for document_id, feature, embedding in cursor:
            found.setdefault(document_id, {})[feature] = embedding.to_numpy()
        return found

    async def position(self) -> dict[str, int]:
        """Source partition → the offset after the last record that these documents come from."""
        cursor = await self.connection.execute(
            "SELECT partition, max(next_offset) FROM collection_counters WHERE namespace_id = %s"
            " GROUP BY partition ORDER BY partition",
            (self.namespace_id,),
        )
        return {str(partition): int(offset) for partition, offset in await cursor.fetchall()}

    async def pages(
        self, statement: str, parameters: Mapping[str, Any], size: int, most: int | None = None
    ) -> AsyncGenerator[list[Any], None]:
        """The rows of a statement over a server-side cursor; pages grow fourfold from ``size`` to ``most``."""
        async with self.connection.cursor(name=f"stored_{next(self._cursors)}") as cursor:
            await cursor.execute(statement.encode(), parameters)
            while rows := await cursor.fetchmany(size):
                yield rows
                size = size if most is None else min(4 * size, most)

    def parameters(self, collection_id: str) -> dict[str, Any]:
        """Values for the conditions here."""
        return {"namespace": self.namespace_id, "collection": collection_id}

    def event(self, collection_id: str, row: Sequence[Any]) -> DocumentEvent:
        """A document from a row of :data:`COLUMNS`, without its vectors."""
        document_id, payload, text, asset_id, occurred_at = row
        return DocumentEvent(
            UPSERTED,
            self.namespace_id,
            collection_id,
            document_id,
            occurred_at,
            payload=payload,
            text=text,
            asset_id=asset_id,
        )
