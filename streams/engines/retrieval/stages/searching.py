"""One search of a ``feature_search``: its scope, its query, and what it finds (contract section 6, Search)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.corpus import Nearest, Scope
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.filters.nodes import And
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.stages import search_given
from streams.engines.retrieval.stages.search_given import Hit
from streams.engines.retrieval.stages.search_parameters import Search
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.engines.retrieval.vectors.queries import StoredDocument, is_empty, read_query, text_query


async def find(search: Search, rows: Sequence[Row], scope: Scope, place: str, run: Run) -> list[Hit] | None:
    """What a search finds, best first: among the documents in ``scope`` as the first stage, else among ``rows``.
    ``None`` when it is skipped. Raises :class:`StageError`."""
    try:
        empty = is_empty(search.query, place)
        if empty and search.on_empty == "skip":
            return None
        if empty and search.on_empty == "error":
            raise StageError(f"{place}: its query is empty; give the input, or set on_empty to skip or random")
        scope = _narrowed(search, scope, place, run)
        rows = [row for row in rows if matches(scope.where, row.root())] if search.filters is not None else rows
        run.budget.charge(await run.corpus.count(Scope(scope.collections)) if run.first else len(rows))
        if search.lexical and not empty:
            return await _lexical(search, rows, scope, text_query(search.query, place), run)
        return await _nearest(search, rows, scope, empty, place, run)
    except PlanError as error:
        raise StageError(str(error)) from error


def collections_of(identifiers: Sequence[str] | None, run: Run, place: str) -> tuple[str, ...] | None:
    """The ids of named collections; ``None`` for none named. Raises :class:`StageError` for an unknown one."""
    if not identifiers:
        return None
    found = [run.definitions.collection_id(identifier) for identifier in identifiers]
    for identifier, collection_id in zip(identifiers, found, strict=True):
        if collection_id is None:
            raise StageError(f"{place}: there is no collection {identifier!r}")
    return tuple(collection_id for collection_id in found if collection_id is not None)


def _narrowed(search: Search, scope: Scope, place: str, run: Run) -> Scope:
    collections = collections_of(search.collection_identifiers, run, place) or scope.collections
    if search.where is None:
        return Scope(collections, scope.where)
    return Scope(collections, Filter(And((scope.where.root, run.written(search.where).root))))


async def _lexical(search: Search, rows: Sequence[Row], scope: Scope, text: str, run: Run) -> list[Hit]:
    if run.first:
        hits = _keyed(await run.corpus.lexical(text, search.top_k, scope))
    else:
        hits = search_given.lexical(rows, text, search.top_k)
    least = search.min_score
    return [hit for hit in hits if least is None or (hit[1].score or 0.0) >= least]


async def _nearest(
    search: Search, rows: Sequence[Row], scope: Scope, empty: bool, place: str, run: Run
) -> list[Hit] | None:
    dimensions = await _dimensions(search, rows, scope, place, run)
    if dimensions is None:
        if search.optional:
            run.degrade(
                "feature",
                "the search was skipped: no document has that feature yet",
                "add documents that have it",
                search.feature_uri,
            )
            return None
        return []
    if empty:
        generator = run.rng()
        queries = unit_rows(np.array([[generator.gauss(0.0, 1.0) for _ in range(dimensions)]]))
    else:
        queries = await _queries(search, scope, place, run)
    if queries.shape[1] != dimensions:
        raise StageError(
            f"{place}: vectors of {search.feature_uri} have {dimensions} dimensions, the query {queries.shape[1]}"
        )
    asked = Nearest(search.feature_uri, queries, search.top_k, search.min_score)
    if run.first:
        return _keyed(await run.corpus.nearest(asked, scope))
    return await search_given.nearest(rows, asked, run)


async def _dimensions(search: Search, rows: Sequence[Row], scope: Scope, place: str, run: Run) -> int | None:
    """How long the vectors of the feature are; ``None`` where no document has any feature yet."""
    if search.feature_uri == HashingEmbedder.URI:
        return HashingEmbedder.DIMENSIONS
    names = {**{name: len(vector) for row in rows for name, vector in row.features.items()}}
    if run.first or not names:
        names.update(await run.corpus.features(scope.collections))
    name = resolve_feature(search.feature_uri, names)
    if name is None and names:
        listed = ", ".join(sorted(names)[:20])
        raise StageError(f"{place}: no document has the feature {search.feature_uri!r}; there are {listed}")
    return None if name is None else names[name]


async def _queries(search: Search, scope: Scope, place: str, run: Run) -> NDArray[np.float64]:
    if search.vectors is not None:
        return search.vectors
    query = read_query(search.query, search.feature_uri, place)
    if not isinstance(query, StoredDocument):
        return query
    named = (query.collection_id,) if query.collection_id is not None else scope.collections
    for collection_id in collections_of(named, run, place) or await _every(run):
        found = await run.corpus.vectors_of(collection_id, [query.document_id], search.feature_uri)
        vector = found.get(query.document_id)
        if vector is not None and vector.any():
            return unit_rows(vector[None, :])
    raise StageError(f"{place}: there is no document {query.document_id!r} with a vector of {search.feature_uri}")


async def _every(run: Run) -> tuple[str, ...]:
    return await run.corpus.collections()


def _keyed(rows: Sequence[Row]) -> list[Hit]:
    return [((row.collection_id, row.document_id, 0), row) for row in rows]
