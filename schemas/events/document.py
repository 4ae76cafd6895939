"""``documents`` and ``references``: the event of one document, its checks and its bytes (design section 3).

This is the hot path: a hand-written ``orjson`` decode with explicit checks, not a model. Three spellings are
read: our own JSON, CloudEvents structured (``specversion`` in the JSON) and CloudEvents binary (``ce_…``
headers). One is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, cast

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from schemas.errors import DecodeError
from schemas.features import MAX_DIMENSIONS
from schemas.headers import Headers
from schemas.ids import document_key
from schemas.strict_json import read_object
from schemas.times import format_instant, is_plain_instant, parse_instant

EventType = Literal["document.upserted", "document.deleted", "watermark"]
Vector = NDArray[np.float32]

UPSERTED: Final = "document.upserted"
DELETED: Final = "document.deleted"
WATERMARK: Final = "watermark"
EVENT_TYPES: Final = frozenset((UPSERTED, DELETED, WATERMARK))

MAX_ID_LENGTH: Final = 1_024
MAX_KEY_BYTES: Final = 2_600
"""Bytes of the ids that a stored row is found by, together: rows of PostgreSQL's indexes hold 2,704."""
_TEXT: Final = {str, type(None)}
_FLOAT32: Final = np.dtype("<f4")
_KNOWN: Final = frozenset(
    (
        "type",
        "event_id",
        "namespace_id",
        "collection_id",
        "document_id",
        "occurred_at",
        "payload",
        "text",
        "asset_id",
        "features",
    )
)


@dataclass(slots=True)
class DocumentEvent:
    """One thing that happened to one document, as a producer said it. Nobody changes one: it is not declared
    frozen because a frozen dataclass takes three times as long to make, and one is made per record."""

    type: EventType
    namespace_id: str
    collection_id: str
    document_id: str
    """Empty for ``watermark`` events."""
    occurred_at: datetime
    """When it happened; the record's append time where the producer did not say."""
    payload: Any = None
    """Any JSON value; the fields of an object are the document's root fields."""
    text: str | None = None
    asset_id: str | None = None
    event_id: str | None = None
    """The producer's own identity of the event: a repeat with the same id is counted and alerted once."""
    features: Mapping[str, Vector] = field(default_factory=dict)
    """Feature URI → finite float32 vector, shape ``(dimensions,)``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields this version does not know, kept as they came."""
    spelled: str | None = field(default=None, init=False, repr=False, compare=False)
    """``occurred_at`` as the producer spelled it, where it is written so too (:func:`is_plain_instant`)."""
    record_key: bytes | None = field(default=None, init=False, repr=False, compare=False)
    """The key of the record that it was read from."""
    _root: dict[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def key(self) -> bytes:
        """The record key of the document."""
        return self.record_key or document_key(self.namespace_id, self.collection_id, self.document_id)

    @property
    def occurred(self) -> str:
        """``occurred_at`` as it is written."""
        return self.spelled or format_instant(self.occurred_at)

    def root(self) -> dict[str, Any]:
        """The document as filters, templates and readers see it: payload fields at the root, then the event's
        own ``text``, ``asset_id``, ``occurred_at`` and ids where the payload has no field of that name. Made
        once: filters read it and results carry it; not to be changed."""
        if self._root is not None:
            return self._root
        view: dict[str, Any] = {
            "document_id": self.document_id,
            "collection_id": self.collection_id,
            "occurred_at": self.occurred,
        }
        if self.text is not None:
            view["text"] = self.text
        if self.asset_id is not None:
            view["asset_id"] = self.asset_id
        if isinstance(self.payload, dict):
            view.update(self.payload)
        elif self.payload is not None:
            view["payload"] = self.payload
        self._root = view
        return view


def _text(raw: Mapping[str, Any], name: str) -> str | None:
    value = raw.get(name)
    if value is None or type(value) is str:
        return value
    raise DecodeError(f"{name} must be a string, not {type(value).__name__}")


def _identifier(value: object, name: str, *, slash: bool = False) -> str:
    if type(value) is not str or not value:
        raise DecodeError(f"{name} is required and must be a non-empty string")
    if len(value) > MAX_ID_LENGTH:
        raise DecodeError(f"{name} is longer than {MAX_ID_LENGTH} characters")
    if not slash and "/" in value:
        raise DecodeError(f"{name} must not contain '/'")
    if "\x00" in value:
        raise DecodeError(f"{name} must not contain a NUL character")
    return value


def _check_size(what: str, *parts: str) -> None:
    size = sum(len(part.encode("utf-8", "replace")) for part in parts)
    if size > MAX_KEY_BYTES:
        raise DecodeError(f"{what} have {size:,} bytes together, allowed are {MAX_KEY_BYTES:,}")


@lru_cache(4_096)
def collection_key(namespace: object, collection: object) -> bytes:
    """What the keys of a collection's documents begin with. Many documents name few collections: their ids are
    looked at once."""
    namespace, collection = _identifier(namespace, "namespace_id"), _identifier(collection, "collection_id")
    _check_size("namespace_id and collection_id", namespace, collection)
    return document_key(namespace, collection, "")


def decode_vector(name: str, raw: object) -> Vector:
    """One vector from a list of numbers or ``{"f32": base64 of little-endian float32}``.

    Raises :class:`DecodeError` for anything else, an empty or too long vector, or a value not finite.
    """
    if type(raw) is dict:
        data = raw.get("f32")
        if type(data) is not str:
            raise DecodeError(f"features[{name!r}] must be a list of numbers or {{'f32': base64}}")
        try:
            buffer = pybase64.b64decode(data, validate=True)
        except ValueError as error:
            raise DecodeError(f"features[{name!r}].f32 is not base64") from error
        if len(buffer) % 4:
            raise DecodeError(f"features[{name!r}].f32 is {len(buffer)} bytes, not a whole number of float32")
        vector = np.frombuffer(buffer, dtype=_FLOAT32)
    elif type(raw) is list:
        # np.asarray would turn true into 1.0 and "1" into an object array: look at the types first.
        if not all(type(item) is float or type(item) is int for item in raw):
            raise DecodeError(f"features[{name!r}] must hold numbers only")
        try:
            with np.errstate(over="ignore"):
                vector = np.asarray(raw, dtype=np.float32)
        except (OverflowError, ValueError) as error:
            raise DecodeError(f"features[{name!r}] holds a number that float32 cannot") from error
    else:
        raise DecodeError(f"features[{name!r}] must be a list of numbers or {{'f32': base64}}")
    if not 0 < vector.size <= MAX_DIMENSIONS:
        raise DecodeError(f"features[{name!r}] has {vector.size} dimensions, allowed are 1 to {MAX_DIMENSIONS}")
    if not np.isfinite(vector).all():
        raise DecodeError(f"features[{name!r}] holds a value that is not finite")
    return vector


def encode_vector(vector: Vector) -> dict[str, str]:
    """The compact wire form of a vector."""
    return {"f32": pybase64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()}


def _cloud_type(name: str) -> str:
    """``com.example.document.upserted`` is our ``document.upserted``."""
    for ours in EVENT_TYPES:
        if name == ours or name.endswith("." + ours):
            return ours
    raise DecodeError(f"CloudEvents type {name[:80]!r} does not end in one of {sorted(EVENT_TYPES)}")


def _from_cloud_event(attributes: Mapping[str, Any], data: object) -> dict[str, Any]:
    """Our fields from a CloudEvent: ``source`` + ``id`` are the event id, ``time`` is when it occurred,
    ``subject`` the document where the data names none; the rest is ``data``."""
    if not isinstance(data, dict):
        raise DecodeError("CloudEvents data must be an object")
    raw = dict(data)
    kind, source, identity = (_text(attributes, name) for name in ("type", "source", "id"))
    if not kind or not source or not identity:
        raise DecodeError("a CloudEvent needs type, source and id")
    if "\x00" in source + identity:
        # In headers; JSON was looked through.
        raise DecodeError("source and id of a CloudEvent must not contain a NUL character")
    raw["type"] = _cloud_type(kind)
    raw["event_id"] = f"{source}#{identity}"
    if (time := _text(attributes, "time")) is not None:
        raw.setdefault("occurred_at", time)
    if (subject := _text(attributes, "subject")) is not None:
        raw.setdefault("document_id", subject)
    return raw


def _fields(value: bytes, headers: Headers) -> dict[str, Any]:
    raw = read_object(value, "a document event")
    if "specversion" in raw and "type" in raw and "data" in raw:
        return _from_cloud_event(raw, raw["data"])
    if not headers:
        return raw
    cloud = {name[3:]: data for name, data in headers if name.startswith("ce_") and data is not None}
    if "specversion" in cloud:
        try:
            return _from_cloud_event({name: data.decode() for name, data in cloud.items()}, raw)
        except UnicodeDecodeError as error:
            raise DecodeError("a ce_ header is not UTF-8") from error
    return raw


def split_key(key: bytes | None) -> tuple[str, str, str]:
    """Namespace, collection and document of a record key. Raises :class:`DecodeError`."""
    if key is None:
        raise DecodeError("the record has no key; it must be namespace/collection/document")
    try:
        parts = key.decode().split("/", 2)
    except UnicodeDecodeError as error:
        raise DecodeError("the key is not UTF-8") from error
    if len(parts) != 3 or not all(parts):
        raise DecodeError("the key must be namespace/collection/document")
    if "\x00" in parts[0] + parts[1] + parts[2]:
        raise DecodeError("the key must not contain a NUL character")
    _check_size("the parts of the key", *parts)
    return parts[0], parts[1], parts[2]


def decode_document_event(
    key: bytes | None, value: bytes | None, headers: Headers, *, appended_at: datetime
) -> DocumentEvent:
    """One record of ``documents``. A null value is a deletion of the document its key names.

    ``appended_at`` (the record's timestamp) stands in where the producer gave no ``occurred_at``. A key may
    be absent, as from a plain producer; one that disagrees with the value is an error, since two documents
    would then share an order. Raises :class:`DecodeError`.
    """
    if value is None:
        return DocumentEvent(DELETED, *split_key(key), appended_at)
    raw = _fields(value, headers)
    get = raw.get
    kind = get("type", UPSERTED)
    if type(kind) is not str or kind not in EVENT_TYPES:
        raise DecodeError(f"type must be one of {sorted(EVENT_TYPES)}")
    namespace, collection = get("namespace_id", ""), get("collection_id", "")
    try:
        prefix = collection_key(namespace, collection)
    except TypeError:
        # Lists and objects cannot be looked up.
        raise DecodeError("namespace_id and collection_id must be strings") from None
    document = ""
    if kind != WATERMARK:
        document = _identifier(get("document_id"), "document_id", slash=True)
        if key is not None and key != prefix + document.encode():
            raise DecodeError("the key is not namespace_id/collection_id/document_id of the value")
    occurred, text, asset_id, event_id = get("occurred_at"), get("text"), get("asset_id"), get("event_id")
    if not {type(occurred), type(text), type(asset_id), type(event_id)} <= _TEXT:
        for name in ("occurred_at", "text", "asset_id", "event_id"):
            _text(raw, name)
    if occurred is None:
        if kind == WATERMARK:
            raise DecodeError("a watermark event needs occurred_at")
        moment = appended_at
    else:
        try:
            moment = parse_instant(occurred)
        except (ValueError, OverflowError) as error:
            raise DecodeError(f"occurred_at is not an ISO 8601 instant: {occurred[:40]!r}") from error
    features = get("features") or {}
    if type(features) is not dict:
        raise DecodeError("features must be an object of feature URI to vector")
    _check_size("namespace_id, collection_id and document_id", namespace, collection, document)
    _check_size("namespace_id and event_id", namespace, event_id or "")
    for name in features:
        _check_size(f"the ids and the feature {name[:40]!r}", namespace, collection, document, name)
    event = DocumentEvent(
        cast(EventType, kind),
        namespace,
        collection,
        document,
        moment,
        get("payload"),
        text,
        asset_id,
        event_id or None,
        {name: decode_vector(name, vector) for name, vector in features.items()},
        {} if _KNOWN.issuperset(raw) else {name: item for name, item in raw.items() if name not in _KNOWN},
    )
    if occurred is not None and is_plain_instant(occurred):
        event.spelled = occurred
    return event


def encode_document_event(event: DocumentEvent) -> bytes:
    """The JSON of an event, fields in a fixed order, absent ones left out."""
    raw: dict[str, Any] = {"type": event.type}
    if event.event_id is not None:
        raw["event_id"] = event.event_id
    raw["namespace_id"] = event.namespace_id
    raw["collection_id"] = event.collection_id
    if event.document_id:
        raw["document_id"] = event.document_id
    raw["occurred_at"] = format_instant(event.occurred_at)
    if event.payload is not None:
        raw["payload"] = event.payload
    if event.text is not None:
        raw["text"] = event.text
    if event.asset_id is not None:
        raw["asset_id"] = event.asset_id
    if event.features:
        raw["features"] = {name: encode_vector(vector) for name, vector in event.features.items()}
    raw.update(event.extra)
    return orjson.dumps(raw)
