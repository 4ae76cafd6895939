"""Vectors in the database searched: pgvector's float32 distance nominates, the float64 cosine decides.

Nominees come in order of their estimate and are scored until none that is left could still be among the best, so
the answer is that of comparing every vector, whatever the filter lets through. Where that is allowed and a
collection is large, an index says which documents are compared at all; their scores are the same.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Final

import numpy as np
import orjson
from psycopg.types.json import Json

from schemas.events.document import DocumentEvent, Vector
from streams.engines.retrieval.execution.budget import Check
from streams.engines.retrieval.execution.corpus import Nearest
from streams.engines.retrieval.vectors.cosine import ROUNDING, best_cosines, margin
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.retrieval.fitting import Fitting
from streams.retrieval.reading import Stored
from streams.retrieval.segments import MAX_NOMINEES, Segments, segments

Scored = tuple[float, str]
"""The score's negative, and the document."""

_FIRST: Final = 256
_MOST: Final = 4_096
_LEAST: Final = -3.0
"""Below every estimate."""
_ENOUGH: Final = 100
"""Nominees of an index at least: of so many the true ten best are missed seldom (docs/decisions/024)."""
_ENOUGH_FITTING: Final = 30
"""Nominees that fit, of the many more that are looked at."""
_WORTH: Final = 0.02
"""Nominees for each vector of an index beyond which searching it, and the filter on what it nominates, take longer
than the filter on every document."""
_FEW: Final = 0.1
"""The part of documents that fits below which it is faster to find all of those first."""

# Lengths outside this range lose precision when they are squared in float32: such vectors are always nominated.
# OFFSET 0 keeps the distance from being computed twice, and from meeting a vector of another length.
_NOMINEES = """
SELECT document_id, feature_uri, estimate FROM (
    SELECT document_id, feature_uri, CASE
        WHEN vector_dims(embedding) <> %(dimensions)s THEN NULL
        WHEN vector_norm(embedding) BETWEEN 1e-12 AND 1e12 THEN 1 - LEAST({distances})
        WHEN vector_norm(embedding) > 0 THEN 2 END AS estimate
    FROM document_vectors
    WHERE namespace_id = %(namespace)s AND collection_id = %(collection)s AND feature_uri = ANY(%(features)s)
        {named}
    OFFSET 0
) AS estimated WHERE estimate >= %(least)s ORDER BY estimate DESC
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search of one collection found."""

    best: list[Scored]
    """At most ``k``, best first, equal scores by id."""
    approximate: bool = False
    """Whether an index nominated, which may have missed some."""


async def nearest(
    stored: Stored,
    collection_id: str,
    names: Sequence[str],
    asked: Nearest,
    where: Fitting | None,
    check: Check,
    *,
    approximate: bool = False,
) -> Found:
    """The best documents of a collection that fit. ``names`` are the features that its vectors are of;
    ``approximate`` allows an index to nominate."""
    features = [name for name in names if resolve_feature(asked.feature_uri, (name,)) is not None]
    if asked.feature_uri == HashingEmbedder.URI:
        return Found(await _by_text(stored, collection_id, asked, where, features, check))
    if not features:
        return Found([])
    search = _Search(stored, collection_id, asked, features, check)
    indexed = None
    if approximate:
        indexed = await segments(stored, collection_id, features, asked.queries.shape[1])
    if indexed is not None:
        nominees = await _nominees(indexed, asked, where, check)
        if nominees is not None:
            return Found(await search.among(nominees), approximate=True)
        if where is not None:
            return Found(await search.among(await where.ids(collection_id)))
    return Found(await search.every() if where is None else await search.fitting(where))


async def _nominees(indexed: Segments, asked: Nearest, where: Fitting | None, check: Check) -> list[str] | None:
    """The documents that indexes nominate, with those that came since; ``None`` where so few fit that it is better
    to compare all that do."""
    since = await indexed.since()
    wanted = max(_ENOUGH, 2 * asked.k)
    if where is None:
        found, _ = await indexed.nominated(asked, wanted)
        return [*found, *since]
    fitting = await where.among(indexed.collection_id, since)
    count, enough = 4 * wanted, max(_ENOUGH_FITTING, 2 * asked.k)
    # Beyond that it is less work to find all that fit.
    while count <= min(MAX_NOMINEES, _WORTH * indexed.vectors):
        check()
        found, all_ = await indexed.nominated(asked, count)
        kept = await where.among(indexed.collection_id, found)
        if len(kept) >= enough:
            return [*kept, *fitting]
        if all_:
            return None
        # As many as are needed if those that fit are spread evenly, and half as many again.
        count = max(2 * count, int(1.5 * count * enough / (len(kept) + 1)))
    return None


class _Search:
    """Exact comparisons with the vectors of some features of a collection."""

    def __init__(
        self, stored: Stored, collection_id: str, asked: Nearest, features: list[str], check: Check
    ) -> None:
        self._stored = stored
        self._collection_id = collection_id
        self._asked = asked
        self._features = features
        self._check = check
        self._off = margin(asked.queries.shape[1]) + ROUNDING

    async def every(self) -> list[Scored]:
        """The best of all."""
        return await self._best(None, None)

    async def among(self, ids: Sequence[str]) -> list[Scored]:
        """The best of those named."""
        return await self._best(ids, None)

    async def fitting(self, where: Fitting) -> list[Scored]:
        """The best that fit: where few do those are compared, else those nearest are looked at first."""
        if await where.share(self._collection_id) >= _FEW:
            try:
                return await self._best(None, where)
            except _FewFitError:
                pass
        return await self.among(await where.ids(self._collection_id))

    async def _best(self, ids: Sequence[str] | None, where: Fitting | None) -> list[Scored]:
        asked, features = self._asked, self._features
        queries = {f"q{at}": query.astype(np.float32) for at, query in enumerate(asked.queries)}
        parameters: dict[str, Any] = {
            **self._stored.parameters(self._collection_id),
            **queries,
            "features": features,
            "dimensions": asked.queries.shape[1],
            "least": _LEAST if asked.min_score is None else asked.min_score - self._off,
        }
        named = ""
        if ids is not None:
            # Ids travel as JSON, which is written much faster than an array.
            named = "AND document_id = ANY (ARRAY(SELECT json_array_elements_text(%(ids)s)))"
            parameters["ids"] = Json(list(ids), dumps=orjson.dumps)
        distances = ", ".join(f"embedding <=> %({name})s::vector" for name in queries)
        statement = _NOMINEES.format(distances=distances, named=named)
        best: list[Scored] = []
        seen = fit = 0
        async with aclosing(self._stored.pages(statement, parameters, max(_FIRST, 2 * asked.k), _MOST)) as pages:
            async for page in pages:
                self._check()
                if len(best) == asked.k and page[0][2] + self._off < -best[-1][0]:
                    break
                names = {row[0] for row in page}
                fitting = names if where is None else await where.among(self._collection_id, names)
                best = nsmallest(asked.k, best + await self._exactly(page, fitting))
                seen, fit = seen + len(names), fit + len(fitting)
                if len(best) < asked.k and fit < _FEW * seen:
                    raise _FewFitError
        return best

    async def _exactly(self, page: Sequence[Sequence[Any]], fitting: set[str]) -> list[Scored]:
        vectors = await self._stored.vectors(self._collection_id, fitting, self._features)
        kept: list[tuple[str, Vector]] = []
        for document_id, feature, _ in page:
            own = vectors.get(document_id, {})
            # A document may have several features that the URI could mean; then it says which, or none.
            if resolve_feature(self._asked.feature_uri, own) == feature:
                kept.append((document_id, own[feature]))
        return _scored(kept, self._asked)


class _FewFitError(Exception):
    """Going through the nearest documents would take longer than finding those that fit."""


async def _by_text(
    stored: Stored, collection_id: str, asked: Nearest, where: Fitting | None, features: list[str], check: Check
) -> list[Scored]:
    """By the built-in embedding, which is not stored: every text is embedded, page by page."""
    embedder = HashingEmbedder()
    best: list[Scored] = []
    async with aclosing(stored.every(collection_id) if where is None else where.every(collection_id)) as pages:
        async for fitting in pages:
            check()
            vectors = await stored.vectors(collection_id, [event.document_id for event in fitting], features)
            kept: list[tuple[str, Vector]] = []
            unembedded: list[DocumentEvent] = []
            for event in fitting:
                own = vectors.get(event.document_id, {})
                name = resolve_feature(asked.feature_uri, own)
                if name is None:
                    unembedded.append(event)
                else:
                    kept.append((event.document_id, own[name]))
            embedded = embedder.embed([document_text(event.text, event.payload) for event in unembedded])
            kept += [(event.document_id, vector) for event, vector in zip(unembedded, embedded, strict=True)]
            best = nsmallest(asked.k, best + _scored(kept, asked))
    return best


def _scored(kept: list[tuple[str, Vector]], asked: Nearest) -> list[Scored]:
    dimensions = asked.queries.shape[1]
    kept = [(name, vector) for name, vector in kept if len(vector) == dimensions and vector.any()]
    if not kept:
        return []
    scores = best_cosines(np.stack([vector for _, vector in kept]), asked.queries)
    least = _LEAST if asked.min_score is None else asked.min_score
    return [(-score, name) for score, (name, _) in zip(scores, kept, strict=True) if score >= least]
