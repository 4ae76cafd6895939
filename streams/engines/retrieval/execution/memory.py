"""Documents in memory as a corpus: exact, filtered, kept fresh one document at a time (design section 4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any

from schemas.events.document import DELETED, UPSERTED, DocumentEvent
from streams.engines.retrieval.execution import bm25
from streams.engines.retrieval.execution.corpus import Nearest, Scope
from streams.engines.retrieval.execution.documents import Documents
from streams.engines.retrieval.filters.parse import matches
from streams.engines.retrieval.stages.stage import Row, Vector


class MemoryCorpus:
    """The documents of some collections. Taking a document in or out costs the same however many there are.

    What is needed to answer a kind of question (vectors of a feature, words, values of a field) is built when it
    is first asked, and kept up from then on.
    """

    def __init__(self) -> None:
        self._collections: dict[str, Documents] = {}

    def apply(self, event: DocumentEvent) -> None:
        """Take in what happened to one document; watermarks change nothing."""
        if event.type == UPSERTED:
            documents = self._collections.setdefault(event.collection_id, Documents(event.collection_id))
            documents.put(event)
        elif event.type == DELETED and event.collection_id in self._collections:
            self._collections[event.collection_id].remove(event.document_id)

    def drop(self, collection_id: str) -> None:
        """Forget a collection."""
        self._collections.pop(collection_id, None)

    def __len__(self) -> int:
        return sum(map(len, self._collections.values()))

    async def nearest(self, asked: Nearest, scope: Scope) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        hits = [
            (-score, documents.collection_id, document_id, documents)
            for documents in self._within(scope)
            for document_id, score in documents.nearest(asked, scope.where)
        ]
        best = nsmallest(asked.k, hits, key=lambda hit: hit[:3])
        found = []
        for negative, _, document_id, documents in best:
            row = documents.row(document_id)
            row.score = 0.0 - negative
            row.matched = {asked.feature_uri: row.score}
            found.append(row)
        return found

    async def lexical(self, text: str, k: int, scope: Scope) -> list[Row]:
        """As :class:`~.corpus.Corpus` says; words are weighed over all documents of the collections, whatever the
        filter."""
        parts = list(self._within(scope))
        scored = bm25.scores([documents.words() for documents in parts], text)
        hits = (
            sorted(
                (-score, documents.collection_id, document_id, documents)
                for documents, scores in zip(parts, scored, strict=True)
                for document_id, score in scores.items()
            )
            if parts
            else []
        )
        found: list[Row] = []
        for negative, _, document_id, documents in hits:
            if len(found) == k:
                break
            if matches(scope.where, documents.root(document_id)):
                row = documents.row(document_id)
                row.score = -negative
                found.append(row)
        return found

    async def scan(self, scope: Scope, limit: int) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        return [
            documents.row(document_id)
            for documents in self._within(scope)
            for document_id in nsmallest(limit, documents.fitting(scope.where))
        ]

    async def count(self, scope: Scope) -> int:
        """As :class:`~.corpus.Corpus` says."""
        if scope.where.trivial:
            return sum(map(len, self._within(scope)))
        return sum(1 for documents in self._within(scope) for _ in documents.fitting(scope.where))

    async def get(self, collection_id: str, document_ids: Sequence[str]) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        documents = self._collections.get(collection_id)
        if documents is None:
            return []
        return [documents.row(document_id) for document_id in document_ids if document_id in documents]

    async def lookup(self, collection_id: str, field: str, values: Sequence[Any]) -> list[list[Row]]:
        """As :class:`~.corpus.Corpus` says."""
        documents = self._collections.get(collection_id)
        if documents is None:
            return [[] for _ in values]
        return [[documents.row(document_id) for document_id in documents.equal(field, value)] for value in values]

    async def vectors_of(
        self, collection_id: str, document_ids: Sequence[str], feature_uri: str
    ) -> Mapping[str, Vector]:
        """As :class:`~.corpus.Corpus` says."""
        documents = self._collections.get(collection_id)
        if documents is None:
            return {}
        found = ((name, documents.vector(name, feature_uri)) for name in document_ids)
        return {name: vector for name, vector in found if vector is not None}

    async def features(self, collections: tuple[str, ...] | None) -> Mapping[str, int]:
        """As :class:`~.corpus.Corpus` says; of several dimensions under one name the most frequent."""
        found: dict[str, int] = {}
        for documents in self._within(Scope(collections)):
            for name, dimensions in documents.features().items():
                found.setdefault(name, dimensions)
        return found

    async def collections(self) -> tuple[str, ...]:
        """As :class:`~.corpus.Corpus` says."""
        return tuple(sorted(self._collections))

    def position(self) -> Mapping[str, Any] | None:
        """As :class:`~.corpus.Corpus` says: whoever feeds it knows."""
        return None

    def _within(self, scope: Scope) -> Iterator[Documents]:
        named: Iterable[str] = self._collections if scope.collections is None else set(scope.collections)
        for collection_id in sorted(named):
            if collection_id in self._collections:
                yield self._collections[collection_id]
