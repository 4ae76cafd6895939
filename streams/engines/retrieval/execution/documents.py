"""The documents of one collection in memory, with the indexes that questions have asked for."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.bm25 import Postings
from streams.engines.retrieval.execution.corpus import Nearest
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.execution.vector_table import VectorTable
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.filters.values import fold
from streams.engines.retrieval.stages.stage import Row, Vector
from streams.engines.retrieval.stages.values import path_of
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature


class Documents:
    """Documents by id."""

    def __init__(self, collection_id: str) -> None:
        self.collection_id = collection_id
        self._events: dict[str, DocumentEvent] = {}
        self._names: dict[tuple[str, int], int] = {}
        self._tables: dict[tuple[str, int], VectorTable] = {}
        self._words: Postings[str] | None = None
        self._values: dict[str, dict[Hashable, dict[str, None]]] = {}
        self._embedder = HashingEmbedder()

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._events

    def put(self, event: DocumentEvent) -> None:
        """Add or replace a document."""
        self.remove(event.document_id)
        self._events[event.document_id] = event
        for name, vector in event.features.items():
            shape = (name, len(vector))
            self._names[shape] = self._names.get(shape, 0) + 1
        for shape, table in self._tables.items():
            self._tabulate(table, shape, event)
        if self._words is not None:
            self._words.add(event.document_id, _text(event))
        for field, values in self._values.items():
            for key in field_keys(event, field):
                values.setdefault(key, {})[event.document_id] = None

    def remove(self, document_id: str) -> None:
        """Take a document out; nothing for one that is not here."""
        event = self._events.pop(document_id, None)
        if event is None:
            return
        for name, vector in event.features.items():
            shape = (name, len(vector))
            self._names[shape] -= 1
            if not self._names[shape]:
                del self._names[shape]
        for table in self._tables.values():
            table.remove(document_id)
        if self._words is not None:
            self._words.remove(document_id, _text(event))
        for field, values in self._values.items():
            for key in field_keys(event, field):
                del values[key][document_id]
                if not values[key]:
                    del values[key]

    def root(self, document_id: str) -> Mapping[str, Any]:
        """A document as filters see it."""
        return self._events[document_id].root()

    def row(self, document_id: str) -> Row:
        """A document as a row of its own."""
        return row_of(self._events[document_id])

    def fitting(self, where: Filter) -> Iterator[str]:
        """Ids of the documents that fit, in no order."""
        if where.trivial:
            return iter(self._events)
        return (document_id for document_id, event in self._events.items() if matches(where, event.root()))

    def features(self) -> dict[str, int]:
        """Feature name → dimensions; of several under one name those most documents have."""
        ranked = sorted(self._names.items(), key=lambda item: (item[0][0], item[1], item[0][1]))
        return {name: dimensions for (name, dimensions), _ in ranked}

    def vector(self, document_id: str, feature_uri: str) -> Vector | None:
        """A document's vector; of the built-in feature the embedding of its text where it brings none."""
        event = self._events.get(document_id)
        return None if event is None else self._vector(event, feature_uri)

    def nearest(self, asked: Nearest, where: Filter) -> list[tuple[str, float]]:
        """At most ``k`` ids with their rounded cosine, best first, equal ones by id."""
        key = (asked.feature_uri, asked.queries.shape[1])
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = VectorTable(key[1])
            for event in self._events.values():
                self._tabulate(table, key, event)
        fits = None if where.trivial else lambda document_id: matches(where, self._events[document_id].root())
        return table.nearest(asked, fits)

    def words(self) -> Postings[str]:
        """The words of the documents' texts."""
        if self._words is None:
            self._words = Postings()
            for event in self._events.values():
                self._words.add(event.document_id, _text(event))
        return self._words

    def equal(self, field: str, value: Any) -> list[str]:
        """Ids of the documents whose field equals a value, case and all, sorted."""
        if value is None:
            return []
        if field not in self._values:
            values: dict[Hashable, dict[str, None]] = {}
            for event in self._events.values():
                for key in field_keys(event, field):
                    values.setdefault(key, {})[event.document_id] = None
            self._values[field] = values
        return sorted(self._values[field].get(fold(value, case_sensitive=True), ()))

    def _tabulate(self, table: VectorTable, key: tuple[str, int], event: DocumentEvent) -> None:
        vector = self._vector(event, key[0])
        if vector is not None and len(vector) == key[1] and vector.any():
            table.put(event.document_id, vector)

    def _vector(self, event: DocumentEvent, feature_uri: str) -> Vector | None:
        name = resolve_feature(feature_uri, event.features)
        if name is not None:
            return event.features[name]
        if feature_uri == HashingEmbedder.URI:
            found: Vector = self._embedder.embed([_text(event)])[0]
            return found
        return None


def _text(event: DocumentEvent) -> str:
    return document_text(event.text, event.payload)


def field_keys(event: DocumentEvent, field: str) -> set[Hashable]:
    """What a field of a document equals, folded with case: its values, and the elements of its lists."""
    keys: set[Hashable] = set()
    for value in resolve(event.root(), path_of(field)):
        keys.add(fold(value, case_sensitive=True))
        if isinstance(value, list):
            keys.update(fold(item, case_sensitive=True) for item in value)
    return keys
