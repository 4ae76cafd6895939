"""Documents that bring their own vectors: a request as events (contract 2.7). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.api.base import JsonObject
from schemas.api.document import MAX_BATCH
from schemas.api.upsert import SparseVector, UpsertDocument
from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent, Vector, decode_vector
from schemas.features import MAX_DIMENSIONS
from streams.api.collections import vector_indexes
from streams.api.documents import OTHER_VECTORS, event_from, feature_uri
from streams.runtime.http.errors import conflict, invalid

DEFAULT_COLLECTION: Final = "default"
"""The collection of documents that name none."""
_BESIDE: Final = ("document_id", "vectors", "payload", "acl")
_OWN_FIELDS: Final = frozenset(("document_id", "collection_id", "vectors", "features", "_internal", OTHER_VECTORS))


@dataclass(frozen=True, slots=True)
class Upsert:
    """A document to write, and what is to be told of it."""

    event: DocumentEvent
    dropped: Sequence[str]
    """Payload fields whose names are the server's."""
    kept: Sequence[str]
    """Vectors that are read back and not searched."""


def upsert_of(
    document: UpsertDocument, namespace: JsonObject, collection: JsonObject, now: datetime, index: int
) -> Upsert:
    """The event of one document of a request. Raises 422 for a vector that fits no declared index."""
    where = ("body", "documents", index)
    features: dict[str, Vector] = {}
    others: dict[str, Any] = {}
    sizes = _sizes(namespace, collection)
    indexes = vector_indexes(collection)
    for name, value in document.vectors.items():
        here = (*where, "vectors", name)
        if isinstance(value, SparseVector):
            if (contradiction := value.contradiction) is not None:
                raise conflict(contradiction, *here)
            others[name] = value.model_dump()
            continue
        if isinstance(value[0], list):
            others[name] = _multi_vector(value, *here)
            continue
        uri = feature_uri(name, indexes) if indexes else name
        try:
            features[uri] = decode_vector(uri, value)
        except DecodeError as error:
            raise invalid(str(error), *here) from error
        if sizes and uri not in sizes:
            raise invalid(f"There is no vector index {name!r}. The indexes: {', '.join(sizes)}", *here)
        if sizes and sizes[uri] != len(value):
            raise invalid(f"{name} has {sizes[uri]} dimensions, not {len(value)}", *here)
    fields = dict(document.payload or {})
    dropped = sorted(_OWN_FIELDS & fields.keys())
    for name in dropped:
        del fields[name]
    fields |= {
        name: value for name, value in document.given().items() if name not in _BESIDE and value is not None
    }
    if others:
        fields[OTHER_VECTORS] = others
    event = event_from(
        fields, features, namespace["namespace_id"], collection["collection_id"], document.document_id, now
    )
    return Upsert(event, dropped, sorted(others))


def _sizes(namespace: JsonObject, collection: JsonObject) -> dict[str, int]:
    """Dimensions of the declared indexes: the collection's, else the namespace's."""
    indexes = vector_indexes(collection)
    if indexes:
        return {index["feature_uri"]: index["index"]["dimensions"] for index in indexes}
    return {config["name"]: config["dimension"] for config in namespace.get("vector_configs") or ()}


def _multi_vector(rows: Sequence[Any], *location: str | int) -> list[list[float]]:
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or len(rows) > MAX_BATCH or max(lengths) > MAX_DIMENSIONS:
        raise conflict(f"the rows of a multi-vector are equally long, at most {MAX_BATCH} of them", *location)
    return [list(row) for row in rows]
