"""Plain evaluation of one plan on one document: what every faster way must equal."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.percolate.plan import Plan, Search, Verdict, judge
from streams.engines.retrieval.vectors.cosine import pair_cosines, unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder, document_text
from streams.engines.retrieval.vectors.features import resolve_feature

Vector = NDArray[np.float32]


def check(plan: Plan, document: DocumentEvent) -> Verdict | None:
    """Whether the document matches the plan, and how."""
    if not matches(Filter(plan.predicate), document.root()):
        return None
    return judge(plan, [cosine(search, document) for search in plan.searches])


def cosine(search: Search, document: DocumentEvent) -> float | None:
    """The exact cosine of the document's feature with the search's query; ``None`` when the document has no
    such feature, or one of other dimensions or of length zero."""
    vector = feature(search.feature_uri, document.features)
    if vector is None and search.feature_uri == HashingEmbedder.URI:
        vector = HashingEmbedder().embed([document_text(document.text, document.payload)])[0]
    if vector is None or vector.shape != search.query.shape or not vector.any():
        return None
    first = np.zeros(1, dtype=np.intp)
    return float(pair_cosines(unit_rows(vector[None, :]), first, search.query[None, :], first)[0])


def feature(uri: str, features: Mapping[str, Vector]) -> Vector | None:
    """The vector of a document that a feature URI means."""
    name = resolve_feature(uri, features)
    return None if name is None else features[name]
