"""The query of one search, read: vectors, a text, or a stored document (contract section 6, Search)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.features import MAX_DIMENSIONS
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

MAX_VECTORS: Final = 256
"""Vectors in one query."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The vector that a stored document has."""

    document_id: str
    collection_id: str | None


Query: TypeAlias = NDArray[np.float64] | StoredDocument
"""Unit vectors, shape ``(queries, dimensions)``, or the document whose vector is meant."""


def read_query(raw: Any, uri: str, place: str) -> Query:
    """A query without templates. Raises :class:`PlanError` for one that only a hosted model could embed, and for
    one that is no query."""
    value, mode = taken_apart(raw, place)
    if mode == "vector":
        return vector_queries(value, uri, place)
    if mode == "text":
        return _embedded(value, uri, place)
    if mode == "document":
        return stored_document(value, place)
    raise PlanError(
        f"{place}: input_mode {mode!r} needs a hosted model; use vector, or text over {HashingEmbedder.URI}"
    )


def text_query(raw: Any, place: str) -> str:
    """The words of a ``lexical`` search. Raises :class:`PlanError`."""
    value, mode = taken_apart(raw, place)
    if mode != "text" or type(value) is not str:
        raise PlanError(f"{place}: a lexical search takes a text: {{input_mode: text, value}}")
    return value


def is_empty(raw: Any, place: str) -> bool:
    """Whether nothing is asked, as when an input was not given: ``on_empty`` decides what happens then."""
    value, mode = taken_apart(raw, place)
    if mode == "document":
        return not isinstance(value, Mapping) or not value.get("document_id")
    return value is None or value in ("", []) or (isinstance(value, str) and not value.strip())


def taken_apart(raw: Any, place: str) -> tuple[Any, str]:
    """The value of a query and its mode. Raises :class:`PlanError`."""
    if raw is None or isinstance(raw, str):
        return raw, "text"
    if isinstance(raw, list):
        return raw, "vector"
    if not isinstance(raw, Mapping):
        raise PlanError(f"{place}: query is required: {{input_mode, value}}")
    value = raw.get("value", raw.get("text"))
    mode = raw.get("input_mode")
    if mode is None:
        mode = "document" if "document_ref" in raw else "vector" if isinstance(value, list) else "text"
    if mode == "document":
        return raw.get("document_ref"), mode
    return (raw.get("values") if mode == "multi_content" else value), str(mode)


def stored_document(raw: Any, place: str) -> StoredDocument:
    """The document that a ``document_ref`` names. Raises :class:`PlanError`."""
    if not isinstance(raw, Mapping) or type(raw.get("document_id")) is not str:
        raise PlanError(f"{place}: document_ref needs document_id")
    collection = raw.get("collection_id")
    if collection is not None and type(collection) is not str:
        raise PlanError(f"{place}: collection_id of document_ref must be a string")
    return StoredDocument(raw["document_id"], collection)


def _embedded(text: Any, uri: str, place: str) -> NDArray[np.float64]:
    if uri != HashingEmbedder.URI:
        raise PlanError(
            f"{place}: a text query over {uri} needs a hosted model; give a vector, "
            f"or search {HashingEmbedder.URI}"
        )
    if type(text) is not str:
        raise PlanError(f"{place}: a text query is a string")
    query: NDArray[np.float64] = unit_rows(HashingEmbedder().embed([text]))
    if not query.any():
        raise PlanError(f"{place}: the text query has no words of two or more letters")
    return query


def vector_queries(value: Any, uri: str, place: str) -> NDArray[np.float64]:
    """One vector or several of the same length, as unit vectors, shape ``(queries, dimensions)``. Raises
    :class:`PlanError`."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        if len(value) > MAX_VECTORS:
            raise PlanError(f"{place}: a query has at most {MAX_VECTORS} vectors")
        vectors = [vector_query(one, uri, place) for one in value]
        if len({len(one) for one in vectors}) > 1:
            raise PlanError(f"{place}: the vectors of a query have the same number of dimensions")
        return np.stack(vectors)
    return vector_query(value, uri, place)[None, :]


def vector_query(value: Any, uri: str, place: str) -> NDArray[np.float64]:
    """A query given as one vector, as a unit vector. Raises :class:`PlanError`."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DIMENSIONS:
        raise PlanError(f"{place}: a vector query is a list of 1 to {MAX_DIMENSIONS} numbers")
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
