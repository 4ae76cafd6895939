"""The searches of a ``feature_search`` whose queries are constants (contract section 6, Search)."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.features import MAX_DIMENSIONS
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

MAX_SEARCHES: Final = 10


def read_searches(parameters: Mapping[str, Any], place: str, collection_id: str | None) -> list[Search]:
    """The searches of a stage's parameters, templates already filled.

    Raises :class:`PlanError` for what one document cannot answer: lexical search (it ranks by statistics of
    the whole collection), queries that a hosted model would embed, stored documents as queries.
    """
    raw = listed(parameters, place)
    if parameters.get("feature_uris"):
        raise PlanError(f"{place}: write feature_uris as searches: [{{feature_uri, query, min_score}}]")
    targets(parameters, place, collection_id)
    return [_search(item, f"{place}, search {index + 1}", collection_id) for index, item in enumerate(raw)]


def listed(parameters: Mapping[str, Any], place: str) -> list[Any]:
    """The searches as they are written. Raises :class:`PlanError` when they are no list, or too many."""
    raw = parameters.get("searches") or []
    if not isinstance(raw, list) or len(raw) > MAX_SEARCHES:
        raise PlanError(f"{place}: searches must be a list of at most {MAX_SEARCHES}")
    return raw


def targets(raw: Mapping[str, Any], place: str, collection_id: str | None) -> None:
    """Refuse a search over other collections than the one the document arrives in."""
    named = raw.get("collection_identifiers")
    if named and collection_id is not None and collection_id not in named:
        raise PlanError(
            f"{place}: it searches other collections ({', '.join(map(str, named))}) than {collection_id}"
        )


def _search(raw: Any, place: str, collection_id: str | None) -> Search:
    if not isinstance(raw, Mapping):
        raise PlanError(f"{place}: a search is an object with feature_uri and query")
    uri = raw.get("feature_uri")
    if type(uri) is not str or not uri:
        raise PlanError(f"{place}: feature_uri is required")
    if raw.get("lexical"):
        raise PlanError(f"{place}: lexical ranks by the whole collection; use the text or words filter instead")
    if raw.get("query_preprocessing"):
        raise PlanError(f"{place}: query_preprocessing needs a hosted model")
    targets(raw, place, collection_id)
    minimum = raw.get("min_score")
    weight = raw.get("weight")
    return Search(
        feature_uri=uri,
        query=_query(raw.get("query"), uri, place),
        min_score=None if minimum is None else fraction(minimum, "min_score", place),
        weight=1.0 if weight is None else fraction(weight, "weight", place),
        optional=bool(raw.get("optional")),
    )


def fraction(value: Any, name: str, place: str) -> float:
    """A number from 0 to 1. Raises :class:`PlanError`."""
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise PlanError(f"{place}: {name} must be a number from 0 to 1")
    return float(value)


def _query(query: Any, uri: str, place: str) -> NDArray[np.float64]:
    if isinstance(query, str):
        return _embedded(query, uri, place)
    if isinstance(query, list):
        return vector_query(query, uri, place)
    if not isinstance(query, Mapping):
        raise PlanError(f"{place}: query is required: {{input_mode, value}}")
    value = query.get("value", query.get("text"))
    mode = query.get("input_mode", "vector" if isinstance(value, list) else "text")
    if mode == "vector":
        return vector_query(value, uri, place)
    if mode == "text":
        return _embedded(value, uri, place)
    if mode == "document":
        raise PlanError(f"{place}: a stored document as the query is not supported; give its vector")
    raise PlanError(
        f"{place}: input_mode {mode!r} needs a hosted model; use vector, or text over {HashingEmbedder.URI}"
    )


def _embedded(text: Any, uri: str, place: str) -> NDArray[np.float64]:
    if uri != HashingEmbedder.URI:
        raise PlanError(
            f"{place}: a text query over {uri} needs a hosted model; give a vector, "
            f"or search {HashingEmbedder.URI}"
        )
    if type(text) is not str:
        raise PlanError(f"{place}: a text query is a string")
    query: NDArray[np.float64] = unit_rows(HashingEmbedder().embed([text]))[0]
    if not query.any():
        raise PlanError(f"{place}: the text query has no words of two or more letters")
    return query


def vector_query(value: Any, uri: str, place: str) -> NDArray[np.float64]:
    """A query given as one vector, as a unit vector. Raises :class:`PlanError`."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DIMENSIONS:
        raise PlanError(f"{place}: a vector query is a list of 1 to {MAX_DIMENSIONS} numbers")
    if isinstance(value[0], list):
        raise PlanError(f"{place}: several vectors in one query are not supported; use one search for each")
    if not set(map(type, value)) <= {int, float}:
        raise PlanError(f"{place}: a vector query holds numbers only")
    if uri == HashingEmbedder.URI and len(value) != HashingEmbedder.DIMENSIONS:
        raise PlanError(
            f"{place}: vectors of {uri} have {HashingEmbedder.DIMENSIONS} dimensions, not {len(value)}"
        )
    try:
        vector = np.array(value, dtype=np.float64)
    except OverflowError as error:
        raise PlanError(f"{place}: a vector query holds a number too large") from error
    largest = np.abs(vector).max()
    if not np.isfinite(largest):
        raise PlanError(f"{place}: a vector query holds finite numbers only")
    if largest == 0:
        raise PlanError(f"{place}: the query vector is zero and has no direction")
    # Numbers may be huge or tiny: scale before squaring.
    query: NDArray[np.float64] = unit_rows((vector / largest)[None, :])[0]
    return query
