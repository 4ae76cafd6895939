"""A corpus without one document: an arriving document is looked up among the others (design section 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.corpus import Corpus, Nearest, Scope
from streams.engines.retrieval.filters.nodes import And
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.stages.stage import Row, Vector


class Without:
    """A corpus in which a document is not found, whoever asks: stages, retrievers inside them, joins. What was
    stored of it may still be named as a query (:meth:`vector_of`), and its features still count as known."""

    def __init__(self, corpus: Corpus, event: DocumentEvent) -> None:
        self._corpus = corpus
        self._collection_id = event.collection_id
        self._document_id = event.document_id
        itself = [
            {"field": "collection_id", "operator": "eq", "value": event.collection_id},
            {"field": "document_id", "operator": "eq", "value": event.document_id},
        ]
        # Read here: nothing in an id is a template.
        self._others = parse_filter({"NOT": [{"AND": itself}]}, case_sensitive_default=True)

    async def nearest(self, asked: Nearest, scope: Scope) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        return await self._corpus.nearest(asked, self._narrowed(scope))

    async def lexical(self, text: str, k: int, scope: Scope) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        return await self._corpus.lexical(text, k, self._narrowed(scope))

    async def scan(self, scope: Scope, limit: int) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        return await self._corpus.scan(self._narrowed(scope), limit)

    async def count(self, scope: Scope) -> int:
        """As :class:`~.corpus.Corpus` says."""
        counted = await self._corpus.count(scope)
        if not self._within(scope):
            return counted
        # Not with a filter, for which every document would have to be looked at.
        stored = await self._corpus.get(self._collection_id, [self._document_id])
        return counted - sum(1 for row in stored if matches(scope.where, row.root()))

    async def get(self, collection_id: str, document_ids: Sequence[str]) -> list[Row]:
        """As :class:`~.corpus.Corpus` says."""
        return self._rest(await self._corpus.get(collection_id, document_ids))

    async def lookup(self, collection_id: str, field: str, values: Sequence[Any]) -> list[list[Row]]:
        """As :class:`~.corpus.Corpus` says."""
        return [self._rest(rows) for rows in await self._corpus.lookup(collection_id, field, values)]

    async def vectors_of(
        self, collection_id: str, document_ids: Sequence[str], feature_uri: str
    ) -> Mapping[str, Vector]:
        """As :class:`~.corpus.Corpus` says, of this document too."""
        return await self._corpus.vectors_of(collection_id, document_ids, feature_uri)

    async def features(self, collections: tuple[str, ...] | None) -> Mapping[str, int]:
        """As :class:`~.corpus.Corpus` says, of this document too."""
        return await self._corpus.features(collections)

    async def collections(self) -> tuple[str, ...]:
        """As :class:`~.corpus.Corpus` says."""
        return await self._corpus.collections()

    def position(self) -> Mapping[str, Any] | None:
        """As :class:`~.corpus.Corpus` says."""
        return self._corpus.position()

    def _within(self, scope: Scope) -> bool:
        return scope.collections is None or self._collection_id in scope.collections

    def _narrowed(self, scope: Scope) -> Scope:
        if not self._within(scope):
            return scope
        where = self._others if scope.where.trivial else Filter(And((scope.where.root, self._others.root)))
        return replace(scope, where=where)

    def _rest(self, rows: Sequence[Row]) -> list[Row]:
        mine = (self._collection_id, self._document_id)
        return [row for row in rows if (row.collection_id, row.document_id) != mine]
