"""Documents of the HTTP API: a request as an event, a stored row as an answer (contract 4.4). Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from schemas.api.base import JsonObject
from schemas.api.collection import PASSTHROUGH
from schemas.api.document import DocumentCreateRequest, DocumentResponse
from schemas.errors import DecodeError
from schemas.events.document import UPSERTED, DocumentEvent, Vector, decode_vector
from schemas.times import format_instant, parse_instant
from streams.api.collections import vector_indexes
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.runtime.http.errors import invalid

_SCHEME: Final = "mixpeek://"


def _extractor_uri(extractor_id: str, name: str) -> str:
    extractor, _, version = extractor_id.rpartition("_")
    return f"{_SCHEME}{extractor or extractor_id}@{version if extractor else 'v1'}/{name}"


def feature_uri(name: str, indexes: Sequence[JsonObject]) -> str:
    """The feature a vector key of a request means: one of the declared ``indexes``, or, where none is declared,
    the passthrough extractor's vector of that name. Raises 422 listing the indexes."""
    if not indexes:
        return name if name.startswith(_SCHEME) else f"{_SCHEME}{PASSTHROUGH}@v1/{name}"
    known = [index["feature_uri"] for index in indexes]
    found = resolve_feature(name, known)
    if found is None:
        raise invalid(
            f"The collection has no vector index {name[:200]!r}. Its indexes: {', '.join(known)}",
            *("body", "vectors", name[:200]),
        )
    return found


def _vectors(request: DocumentCreateRequest, indexes: Sequence[JsonObject]) -> dict[str, Vector]:
    given = {feature_uri(name, indexes): values for name, values in (request.vectors or {}).items()}
    for feature in request.features or ():
        for name, values in (feature.vectors or {}).items():
            given[name if name.startswith(_SCHEME) else _extractor_uri(feature.feature_extractor_id, name)] = (
                values
            )
    sizes = {index["feature_uri"]: index["index"]["dimensions"] for index in indexes}
    vectors: dict[str, Vector] = {}
    for uri, values in given.items():
        try:
            vectors[uri] = decode_vector(uri, values)
        except DecodeError as error:
            raise invalid(str(error), "body", "vectors") from error
        if sizes.get(uri) not in (None, len(values)):
            raise invalid(f"{uri} has {sizes[uri]} dimensions, not {len(values)}", "body", "vectors")
    return vectors


def event_of(
    request: DocumentCreateRequest,
    collection: JsonObject,
    namespace_id: str,
    document_id: str,
    event_id: str,
    now: datetime,
) -> DocumentEvent:
    """The event of a created document.

    Root fields ``text`` and ``asset_id`` (strings) and ``occurred_at`` (an ISO 8601 instant) are the event's
    own; everything else is its payload. Raises 422 for vectors the collection has no index for.
    """
    fields = request.fields()
    for feature in request.features or ():
        fields.update(feature.payload or {})
    occurred_at = now
    if isinstance(occurred := fields.get("occurred_at"), str):
        try:
            occurred_at = parse_instant(occurred)
        except (ValueError, OverflowError) as error:
            raise invalid("occurred_at must be an ISO 8601 instant", "body", "occurred_at") from error
        del fields["occurred_at"]
    own: dict[str, str] = {}
    for name in ("text", "asset_id"):
        if isinstance(fields.get(name), str):
            own[name] = fields.pop(name)
    return DocumentEvent(
        type=UPSERTED,
        namespace_id=namespace_id,
        collection_id=collection["collection_id"],
        document_id=document_id,
        occurred_at=occurred_at,
        payload=fields,
        text=own.get("text"),
        asset_id=own.get("asset_id"),
        event_id=event_id,
        features=_vectors(request, vector_indexes(collection)),
    )


def document_response(
    event: DocumentEvent,
    internal_id: str,
    created_at: datetime,
    updated_at: datetime,
    *,
    searchable: bool,
    vectors: Mapping[str, Any] | None = None,
) -> DocumentResponse:
    """A document as it is shown: its fields at the root, what the server knows under ``_internal``."""
    root = event.root()
    # The root fields of a document may be called like keyword arguments; the model takes them as one mapping.
    fields: JsonObject = {key: value for key, value in root.items() if key not in ("internal", "_internal")}
    fields["searchable_at"] = format_instant(updated_at) if searchable else None
    fields["internal"] = {
        "internal_id": internal_id,
        "namespace_id": event.namespace_id,
        "document_id": event.document_id,
        "collection_id": event.collection_id,
        "created_at": format_instant(created_at),
        "updated_at": format_instant(updated_at),
    }
    # The payload may hold fields of these names; a document is what its path says.
    fields["document_id"], fields["collection_id"] = event.document_id, event.collection_id
    if vectors is not None:
        fields["vectors"] = {
            name: np.asarray(vector, dtype=np.float32).tolist() for name, vector in vectors.items()
        }
    return DocumentResponse.model_validate(fields)
