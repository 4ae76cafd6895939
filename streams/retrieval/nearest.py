"""Vectors in the database searched exactly: pgvector's float32 distance nominates, the float64 cosine decides.

Nominees come in order of their estimate and are scored until none that is left could still be among the best, so
the answer is that of comparing every vector, whatever the filter lets through.
"""

from contextlib import aclosing
from heapq import nsmallest
from typing import Any, Final

import numpy as np

from schemas.events.document import DocumentEvent, Vector
from streams.engines.retrieval.execution.budget import Check
from streams.engines.retrieval.execution.corpus import Nearest
from streams.engines.retrieval.vectors.cosine import ROUNDING, best_cosines, margin
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.retrieval.fitting import Fitting
from streams.retrieval.reading import Stored

Scored = tuple[float, str]
"""The score's negative, and the document."""

_FIRST: Final = 256
_MOST: Final = 4_096
_LEAST: Final = -3.0
"""Below every estimate."""

# Lengths outside this range lose precision when they are squared in float32: such vectors are always nominated.
# OFFSET 0 keeps the distance from being computed twice, and from meeting a vector of another length.
_NOMINEES = """
SELECT document_id, feature_uri, estimate FROM (
    SELECT document_id, feature_uri, CASE
        WHEN vector_dims(embedding) <> %(dimensions)s OR vector_norm(embedding) = 0 THEN NULL
        WHEN vector_norm(embedding) BETWEEN 1e-12 AND 1e12 THEN 1 - LEAST({distances})
        ELSE 2 END AS estimate
    FROM document_vectors
    WHERE namespace_id = %(namespace)s AND collection_id = %(collection)s AND feature_uri = ANY(%(features)s)
    OFFSET 0
) AS estimated WHERE estimate >= %(least)s ORDER BY estimate DESC
"""


async def nearest(
    stored: Stored, collection_id: str, asked: Nearest, where: Fitting | None, check: Check
) -> list[Scored]:
    """At most ``k`` documents of a collection that fit, best first, equal scores by id."""
    names = await stored.feature_names(collection_id)
    features = [name for name in names if resolve_feature(asked.feature_uri, (name,)) is not None]
    if asked.feature_uri == HashingEmbedder.URI:
        return await _by_text(stored, collection_id, asked, where, features, check)
    return await _by_vector(stored, collection_id, asked, where, features, check) if features else []


async def _by_vector(
    stored: Stored, collection_id: str, asked: Nearest, where: Fitting | None, features: list[str], check: Check
) -> list[Scored]:
    dimensions = asked.queries.shape[1]
    off = margin(dimensions) + ROUNDING
    queries = {f"q{at}": query.astype(np.float32) for at, query in enumerate(asked.queries)}
    parameters: dict[str, Any] = {
        **stored.parameters(collection_id),
        **queries,
        "features": features,
        "dimensions": dimensions,
        "least": _LEAST if asked.min_score is None else asked.min_score - off,
    }
    statement = _NOMINEES.format(distances=", ".join(f"embedding <=> %({name})s::vector" for name in queries))
    best: list[Scored] = []
    async with aclosing(stored.pages(statement, parameters, max(_FIRST, 2 * asked.k), _MOST)) as pages:
        async for page in pages:
            check()
            if len(best) == asked.k and page[0][2] + off < -best[-1][0]:
                break
            ids = {row[0] for row in page}
            fitting = ids if where is None else await where.among(collection_id, ids)
            vectors = await stored.vectors(collection_id, fitting, features)
            kept: list[tuple[str, Vector]] = []
            for document_id, feature, _ in page:
                own = vectors.get(document_id, {})
                # A document may have several features that the URI could mean; then it says which, or none.
                if resolve_feature(asked.feature_uri, own) == feature:
                    kept.append((document_id, own[feature]))
            best = nsmallest(asked.k, best + _scored(kept, asked))
    return best


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
