"""Documents of the HTTP API: a request as an event, a stored row as an answer (contract 4.4). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
from pydantic import ValidationError

from schemas.api.base import JsonObject, first_problem, read_part
from schemas.api.collection import PASSTHROUGH
from schemas.api.document import DocumentCreateRequest, DocumentResponse
from schemas.errors import DecodeError
from schemas.events.document import UPSERTED, DocumentEvent, Vector, decode_vector
from schemas.events.document_patch import METADATA, DocumentPatch
from schemas.times import format_instant, parse_instant
from streams.api.collections import vector_indexes
from streams.api.stored import StoredDocument
from streams.engines.retrieval.filters.paths import MAX_SEGMENTS
from streams.engines.retrieval.vectors.features import resolve_feature
from streams.runtime.http.errors import invalid

_SCHEME: Final = "mixpeek://"
_VECTORS: Final = ("vectors", "features")
OTHER_VECTORS: Final = "_vectors"
"""Where a document keeps vectors that are read back and not searched: of several rows, or sparse."""
_NOT_FIELDS: Final = frozenset(
    ("document_id", "collection_id", "_internal", "searchable_at", OTHER_VECTORS, *_VECTORS)
)
_HIDDEN: Final = ("internal", "_internal", OTHER_VECTORS)


@dataclass(frozen=True, slots=True)
class Shown:
    """What of documents is shown beside their fields, or of these."""

    vectors: bool = False
    vector_names: Literal[True] | Sequence[str] | None = None
    """``True``: the names, as ``_vectors``; names: those vectors at the root."""
    select: Sequence[str] | None = None
    """Only these fields, by dotted path."""

    @property
    def reads_vectors(self) -> bool:
        """Documents are to be read with their vectors."""
        return self.vectors or bool(self.vector_names)


NOTHING_MORE: Final = Shown()


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
    now: datetime,
) -> DocumentEvent:
    """The event of a created document.

    Root fields ``text`` and ``asset_id`` (strings) and ``occurred_at`` (an ISO 8601 instant) are the event's
    own; everything else is its payload. Raises 422 for vectors the collection has no index for.
    """
    fields = request.fields()
    for feature in request.features or ():
        fields.update(feature.payload or {})
    vectors = _vectors(request, vector_indexes(collection))
    return event_from(fields, vectors, namespace_id, collection["collection_id"], document_id, now)


def event_from(
    fields: JsonObject,
    features: Mapping[str, Vector],
    namespace_id: str,
    collection_id: str,
    document_id: str,
    now: datetime,
) -> DocumentEvent:
    """The event of a document with these root fields, of which some are the event's own. Raises 422."""
    fields = dict(fields)
    occurred_at = now
    if isinstance(occurred := fields.get("occurred_at"), str):
        occurred_at = _occurred(occurred, "body")
        del fields["occurred_at"]
    own: dict[str, str] = {}
    for name in ("text", "asset_id"):
        if isinstance(fields.get(name), str):
            own[name] = fields.pop(name)
    return DocumentEvent(
        type=UPSERTED,
        namespace_id=namespace_id,
        collection_id=collection_id,
        document_id=document_id,
        occurred_at=occurred_at,
        payload=fields,
        text=own.get("text"),
        asset_id=own.get("asset_id"),
        features=features,
    )


def patch_of(body: JsonObject, collection: JsonObject, document_id: str, *location: str | int) -> DocumentPatch:
    """The change a PATCH, a PUT or an item of a batch asks for.

    What a document was shown with can be sent back: its ids, which must be its own, and what the server knows of
    it, which is passed over. Raises 422.
    """
    where = location or ("body",)
    ids = {
        "document_id": (document_id,),
        "collection_id": (collection["collection_id"], collection["collection_name"]),
    }
    for name, own in ids.items():
        if body.get(name) is not None and body[name] not in own:
            raise invalid(f"{name} cannot be changed", *where, name)
    if not isinstance(body.get(METADATA), dict | None):
        raise invalid("metadata must be an object", *where, METADATA)
    fields = {name: value for name, value in body.items() if name not in _NOT_FIELDS}
    for name in fields:
        if name.count(".") >= MAX_SEGMENTS:
            raise invalid(f"a field has at most {MAX_SEGMENTS} dotted parts", *where, name[:200])
    occurred_at = None
    if isinstance(fields.get("occurred_at"), str):
        occurred_at = _occurred(fields.pop("occurred_at"), *where)
    vectors: dict[str, Vector] = {}
    if any(body.get(name) is not None for name in _VECTORS):
        try:
            request = read_part(DocumentCreateRequest, {name: body.get(name) for name in _VECTORS}, *where)
        except ValidationError as error:
            place, message = first_problem(error)
            raise invalid(message, *place) from error
        vectors = _vectors(request, vector_indexes(collection))
        for feature in request.features or ():
            fields.update(feature.payload or {})
    return DocumentPatch(fields, occurred_at, vectors)


def document_response(document: StoredDocument, internal_id: str, shown: Shown = NOTHING_MORE) -> DocumentResponse:
    """A document as it is shown: its fields at the root, what the server knows under ``_internal``."""
    event = document.event
    # The root fields of a document may be called like keyword arguments; the model takes them as one mapping.
    fields = {key: value for key, value in event.root().items() if key not in _HIDDEN}
    others = others_of(event)
    if shown.select is not None:
        fields = selected(fields, shown.select)
    updated_at = format_instant(document.updated_at)
    fields["searchable_at"] = updated_at if document.searchable else None
    fields["internal"] = {
        "internal_id": internal_id,
        "namespace_id": event.namespace_id,
        "document_id": event.document_id,
        "collection_id": event.collection_id,
        "created_at": format_instant(document.created_at),
        "updated_at": updated_at,
    }
    # The payload may hold fields of these names; a document is what its path says.
    fields["document_id"], fields["collection_id"] = event.document_id, event.collection_id
    if shown.vectors:
        fields["vectors"] = {name: as_list(vector) for name, vector in event.features.items()} | others
    if shown.vector_names is True:
        fields["_vectors"] = sorted((*event.features, *others))
    elif shown.vector_names:
        for name in shown.vector_names:
            found = resolve_feature(name, event.features)
            if found is not None:
                fields[name] = as_list(event.features[found])
            elif name in others:
                fields[name] = others[name]
    return DocumentResponse.model_validate(fields)


def others_of(event: DocumentEvent) -> JsonObject:
    """A document's vectors that are not searched."""
    kept = event.payload.get(OTHER_VECTORS) if isinstance(event.payload, dict) else None
    return kept if isinstance(kept, dict) else {}


def as_list(vector: Vector) -> list[float]:
    """A vector as JSON has it."""
    numbers: list[float] = np.asarray(vector, dtype=np.float32).tolist()
    return numbers


def selected(fields: JsonObject, paths: Sequence[str]) -> JsonObject:
    """Only the fields that are asked for, by dotted path; a nested one in the objects around it."""
    kept: JsonObject = {}
    for path in paths:
        _select(fields, path, kept)
    return kept


def _select(fields: JsonObject, path: str, kept: JsonObject) -> None:
    if path in fields:
        kept[path] = fields[path]
        return
    head, _, rest = path.partition(".")
    if rest and isinstance(fields.get(head), dict):
        inner = dict(kept.get(head) or {})
        _select(fields[head], rest, inner)
        if inner:
            kept[head] = inner


def _occurred(text: str, *location: str | int) -> datetime:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise invalid("occurred_at must be an ISO 8601 instant", *location, "occurred_at") from error
