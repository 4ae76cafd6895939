"""The stored documents of a namespace as a corpus: the answers of the one in memory, in bounded memory."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from heapq import nsmallest
from typing import Any, Final

from schemas.events.document import DocumentEvent, Vector
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.execution.budget import Check
from streams.engines.retrieval.execution.corpus import EVERYTHING, Nearest, Scope
from streams.engines.retrieval.execution.documents import field_keys
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.engines.retrieval.filters.values import fold
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.stage import Vector as RowVector
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.retrieval.fitting import Fitting
from streams.retrieval.lexical import ranked
from streams.retrieval.nearest import nearest
from streams.retrieval.reading import PAGE, Stored
from streams.runtime.database import Connection

MAX_ROWS: Final = 100_000
"""Documents that one scan gives; where more are asked for, :attr:`PostgresCorpus.limits` says so."""
WITH_VECTORS: Final = 1_000
"""Documents per collection up to which a scan brings their vectors along: one for more than that only counts."""


class PostgresCorpus:
    """A ``Corpus`` over the tables of collected documents, as of the moment its transaction began.

    For one execution: what is counted once is remembered. ``check`` is called with every page and may raise
    ``BudgetError``.
    """

    def __init__(
        self,
        stored: Stored,
        position: Mapping[str, int],
        check: Check,
        *,
        approximate: bool = False,
        vectors: bool = True,
    ) -> None:
        self._stored = stored
        self._position = position
        self._check = check
        self._collections: tuple[str, ...] | None = None
        self._counts: dict[tuple[str, Filter], int] = {}
        self._fittings: dict[Filter, Fitting] = {}
        self._features: dict[str, dict[str, int]] = {}
        self._names: dict[str, list[str]] = {}
        self._approximate = approximate
        self._with_vectors = vectors
        self.approximated: set[str] = set()
        """Features that were searched by an index, which may have missed documents."""
        self.limits: list[dict[str, Any]] = []
        """What was cut off, as the ``limits`` of an execution tell it."""

    @classmethod
    async def open(
        cls,
        connection: Connection,
        namespace_id: str,
        check: Check = lambda: None,
        *,
        approximate: bool = False,
        vectors: bool = True,
    ) -> "PostgresCorpus":
        """The corpus of a namespace; ``connection`` is in a snapshot transaction. ``approximate`` allows searches
        of large collections to use their indexes; without ``vectors`` rows come without them."""
        stored = Stored(connection, namespace_id)
        return cls(stored, await stored.position(), check, approximate=approximate, vectors=vectors)

    async def nearest(self, asked: Nearest, scope: Scope) -> list[Row]:
        """As ``Corpus`` says."""
        hits: list[tuple[float, str, str]] = []
        for collection_id in await self._within(scope):
            where = None if scope.where.trivial else self._fitting(scope.where)
            found = await nearest(
                self._stored,
                collection_id,
                await self._feature_names(collection_id),
                asked,
                where,
                self._check,
                approximate=self._approximate,
            )
            hits += [(negative, collection_id, document_id) for negative, document_id in found.best]
            if found.approximate:
                self.approximated.add(asked.feature_uri)
        rows = await self._scored(nsmallest(asked.k, hits))
        for row in rows:
            row.matched = {asked.feature_uri: row.score or 0.0}
        return rows

    async def lexical(self, text: str, k: int, scope: Scope) -> list[Row]:
        """As ``Corpus`` says; words are weighed over all documents of the collections, whatever the filter."""
        hits = await ranked(self._stored, await self._within(scope), text, self._check)
        if scope.where.trivial:
            return await self._scored(hits[:k])
        kept: list[tuple[float, str, str]] = []
        for start in range(0, len(hits), PAGE):
            self._check()
            page = hits[start : start + PAGE]
            by_collection: dict[str, list[str]] = {}
            for _, collection_id, document_id in page:
                by_collection.setdefault(collection_id, []).append(document_id)
            fitting = {
                (collection_id, document_id)
                for collection_id, ids in by_collection.items()
                for document_id in await self._fitting(scope.where).among(collection_id, ids)
            }
            kept += [hit for hit in page if hit[1:] in fitting]
            if len(kept) >= k:
                break
        return await self._scored(kept[:k])

    async def scan(self, scope: Scope, limit: int) -> list[Row]:
        """As ``Corpus`` says, but never more than ``MAX_ROWS`` in all."""
        collections = await self._within(scope)
        applied = min(limit, MAX_ROWS // max(1, len(collections)))
        events: list[DocumentEvent] = []
        cut = False
        for collection_id in collections:
            events += await self._first(collection_id, scope.where, applied)
            cut = cut or (applied < limit and self._counts[collection_id, scope.where] > applied)
        if cut:
            self.limits.append({"name": "scan", "requested": limit, "applied": applied, "ceiling": MAX_ROWS})
        if limit > WITH_VECTORS:
            return [row_of(event) for event in events]
        return await self._rows(events)

    async def count(self, scope: Scope) -> int:
        """As ``Corpus`` says."""
        total = 0
        for collection_id in await self._within(scope):
            if (collection_id, scope.where) not in self._counts:
                await self._first(collection_id, scope.where, 0)
            total += self._counts[collection_id, scope.where]
        return total

    async def get(self, collection_id: str, document_ids: Sequence[str]) -> list[Row]:
        """As ``Corpus`` says."""
        events = await self._stored.named(collection_id, document_ids)
        return await self._rows([events[name] for name in document_ids if name in events])

    async def lookup(self, collection_id: str, field: str, values: Sequence[Any]) -> list[list[Row]]:
        """As ``Corpus`` says: one pass over the collection for all values together."""
        wanted = [None if value is None else fold(value, case_sensitive=True) for value in values]
        asked = {key for key in wanted if key is not None}
        having: dict[Any, dict[str, DocumentEvent]] = {}
        async with aclosing(self._fitting(_having(field, values)).every(collection_id)) as pages:
            async for page in pages:
                for event in page:
                    for key in field_keys(event, field) & asked:
                        having.setdefault(key, {})[event.document_id] = event
        return [
            await self._rows([event for _, event in sorted(having.get(key, {}).items())])
            if key is not None
            else []
            for key in wanted
        ]

    async def vectors_of(
        self, collection_id: str, document_ids: Sequence[str], feature_uri: str
    ) -> Mapping[str, RowVector]:
        """As ``Corpus`` says."""
        names = await self._feature_names(collection_id)
        stored = await self._stored.vectors(collection_id, document_ids, names)
        found: dict[str, RowVector] = {}
        for document_id, own in stored.items():
            name = resolve_feature(feature_uri, own)
            if name is not None:
                found[document_id] = own[name]
        if feature_uri == HashingEmbedder.URI:
            rest = [document_id for document_id in document_ids if document_id not in found]
            events = list((await self._stored.named(collection_id, rest)).values())
            texts = [document_text(event.text, event.payload) for event in events]
            embedded: list[Vector] = list(HashingEmbedder().embed(texts))
            found.update(zip((event.document_id for event in events), embedded, strict=True))
        return found

    async def features(self, collections: tuple[str, ...] | None) -> Mapping[str, int]:
        """As ``Corpus`` says; of several dimensions under one name the most frequent."""
        found: dict[str, int] = {}
        for collection_id in await self._within(Scope(collections)):
            if collection_id not in self._features:
                self._features[collection_id] = {
                    name: max(await self._stored.dimensions(collection_id, name))[1]
                    for name in await self._feature_names(collection_id)
                }
            for name, dimensions in self._features[collection_id].items():
                found.setdefault(name, dimensions)
        return found

    async def collections(self) -> tuple[str, ...]:
        """As ``Corpus`` says: those that hold documents."""
        if self._collections is None:
            self._collections = tuple(await self._stored.collections())
        return self._collections

    def position(self) -> Mapping[str, Any] | None:
        """Source partition → the offset up to which the documents have been collected."""
        return self._position

    async def _within(self, scope: Scope) -> Sequence[str]:
        return await self.collections() if scope.collections is None else sorted(set(scope.collections))

    async def _first(self, collection_id: str, where: Filter, limit: int) -> list[DocumentEvent]:
        """The first documents by id that fit; how many fit is remembered."""
        if where.trivial:
            if (collection_id, EVERYTHING) not in self._counts:
                self._counts[collection_id, EVERYTHING] = await self._stored.count(collection_id)
            return await self._stored.first(collection_id, limit) if limit else []
        found, count = await self._fitting(where).first(collection_id, limit)
        self._counts[collection_id, where] = count
        return found

    def _fitting(self, where: Filter) -> Fitting:
        if where not in self._fittings:
            self._fittings[where] = Fitting(self._stored, where, self._check)
        return self._fittings[where]

    async def _feature_names(self, collection_id: str) -> list[str]:
        if collection_id not in self._names:
            self._names[collection_id] = await self._stored.feature_names(collection_id)
        return self._names[collection_id]

    async def _events(self, names: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], DocumentEvent]:
        by_collection: dict[str, list[str]] = {}
        for collection_id, document_id in names:
            by_collection.setdefault(collection_id, []).append(document_id)
        return {
            (collection_id, document_id): event
            for collection_id, ids in by_collection.items()
            for document_id, event in (await self._stored.named(collection_id, ids)).items()
        }

    async def _scored(self, hits: Sequence[tuple[float, str, str]]) -> list[Row]:
        """Hits (the score's negative, collection, document) as rows, in their order."""
        events = await self._events(hit[1:] for hit in hits)
        rows = await self._rows([events[hit[1:]] for hit in hits])
        for row, hit in zip(rows, hits, strict=True):
            row.score = 0.0 - hit[0]
        return rows

    async def _rows(self, events: Sequence[DocumentEvent]) -> list[Row]:
        """Documents as rows, with their vectors where those are wanted."""
        if not self._with_vectors:
            return [row_of(event) for event in events]
        by_collection: dict[str, list[str]] = {}
        for event in events:
            by_collection.setdefault(event.collection_id, []).append(event.document_id)
        vectors = {
            (collection_id, document_id): own
            for collection_id, ids in by_collection.items()
            for document_id, own in (
                await self._stored.vectors(collection_id, ids, await self._feature_names(collection_id))
            ).items()
        }
        rows = [row_of(event) for event in events]
        for row in rows:
            row.features = vectors.get((row.collection_id, row.document_id), {})
        return rows


def _having(field: str, values: Sequence[Any]) -> Filter:
    """The filter that the documents fit which one of some values is looked up in; of objects all do."""
    wanted = [value for value in values if value is not None]
    try:
        return parse_filter({"field": field, "operator": "in", "value": wanted, "case_sensitive": True})
    except FilterError:
        return EVERYTHING
