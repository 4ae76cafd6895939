"""One JSON line → one document event. Pure.

A line is either a full :class:`DocumentEvent` (an object whose ``type`` is one of ours, or a CloudEvent), or a
plain document, whose fields become the payload. Of a plain document these fields have a meaning of their own:

===================  ==========================================================================================
``document_id``      the document's id; else ``id`` (text or a whole number, it stays in the payload too); else
                     one derived from the line's bytes, so that sending a file again updates its documents
``occurred_at``      when it happened; else ``timestamp`` (it stays in the payload too); else the time of reading.
                     ISO 8601, or seconds or milliseconds since 1970
``text``             what text alerts and the built-in embedder read
``asset_id``         the file the document was made from
``features``         vectors by feature URI, where the keys are URIs
===================  ==========================================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from schemas.errors import DecodeError
from schemas.events.document import (
    EVENT_TYPES,
    MAX_ID_LENGTH,
    UPSERTED,
    DocumentEvent,
    decode_document_event,
    decode_vector,
)
from schemas.ids import derived_id
from schemas.strict_json import read_object
from schemas.times import from_millis, parse_instant

_MILLIS_FROM = 100_000_000_000
"""A greater number of seconds lies beyond the year 5000: it is meant as milliseconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where documents that do not say so go: ids, never names."""

    namespace_id: str
    collection_id: str | None


def parse_line(line: bytes, target: Target, now: datetime) -> DocumentEvent:
    """The event of one line. ``now`` stands in for a time that is not given. Raises :class:`DecodeError`."""
    raw = read_object(line, "a document")
    if "specversion" in raw and "data" in raw:
        return _full(_with_target(raw, "data", target), now)
    kind = raw.get("type")
    if isinstance(kind, str) and kind in EVENT_TYPES:
        return _full(_defaults(raw, target), now)
    return _plain(raw, line, target, now)


def _full(raw: Mapping[str, Any], now: datetime) -> DocumentEvent:
    return decode_document_event(None, orjson.dumps(raw), (), appended_at=now)


def _with_target(raw: dict[str, Any], name: str, target: Target) -> dict[str, Any]:
    data = raw[name]
    return {**raw, name: _defaults(data, target)} if type(data) is dict else raw


def _defaults(raw: dict[str, Any], target: Target) -> dict[str, Any]:
    given = {"namespace_id": target.namespace_id}
    if target.collection_id is not None:
        given["collection_id"] = target.collection_id
    return {**given, **raw}


def _plain(raw: dict[str, Any], line: bytes, target: Target, now: datetime) -> DocumentEvent:
    if target.collection_id is None:
        raise DecodeError(
            "a plain document needs --collection (only an object with a document event's type does not)"
        )
    document_id = _document_id(raw, line, target.collection_id)
    occurred_at = _occurred_at(raw, now)
    payload = {name: value for name, value in raw.items() if name not in ("document_id", "occurred_at")}
    features = payload.get("features")
    if type(features) is dict and features and all("://" in name for name in features):
        vectors = {name: decode_vector(name, vector) for name, vector in payload.pop("features").items()}
    else:
        vectors = {}
    return DocumentEvent(
        type=UPSERTED,
        namespace_id=target.namespace_id,
        collection_id=target.collection_id,
        document_id=document_id,
        occurred_at=occurred_at,
        text=payload.pop("text") if type(payload.get("text")) is str else None,
        asset_id=payload.pop("asset_id") if type(payload.get("asset_id")) is str else None,
        payload=payload,
        features=vectors,
    )


def _document_id(raw: Mapping[str, Any], line: bytes, collection_id: str) -> str:
    for name in ("document_id", "id"):
        value = raw.get(name)
        if value is None:
            continue
        if type(value) is int:
            return str(value)
        if type(value) is not str or not value:
            raise DecodeError(f"{name} must be a non-empty string or a whole number")
        if len(value) > MAX_ID_LENGTH or "\x00" in value:
            raise DecodeError(f"{name} must have at most {MAX_ID_LENGTH} characters and no NUL among them")
        return value
    return derived_id("doc_", collection_id, line.strip().hex())


def _occurred_at(raw: Mapping[str, Any], now: datetime) -> datetime:
    for name in ("occurred_at", "timestamp"):
        value = raw.get(name)
        if value is None:
            continue
        try:
            if type(value) is str:
                return parse_instant(value)
            if type(value) in (int, float):
                return from_millis(round(value if abs(value) >= _MILLIS_FROM else value * 1000))
        except (ValueError, OverflowError):
            pass
        raise DecodeError(
            f"{name} is neither ISO 8601 nor seconds or milliseconds since 1970: {str(value)[:40]!r}"
        )
    return now
