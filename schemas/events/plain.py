"""Objects as documents where nothing is published: files that are checked, a document in a request."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.errors import DecodeError
from schemas.events.document import (
    EVENT_TYPES,
    MAX_ID_LENGTH,
    UPSERTED,
    DocumentEvent,
    Vector,
    decode_document_event,
)

_NOWHERE: Final = "-"


def read_plain(raw: dict[str, Any], name: str, now: datetime) -> DocumentEvent | None:
    """The document of an object, ``None`` for an event that brings none (a deletion, a watermark).

    An object whose ``type`` is a document event's is that event; it may leave out namespace, collection and
    document. Of any other object every field is payload; ``document_id`` (a string or a whole number) names it,
    and ``features`` that are all feature URIs are vectors too. A document without a collection has an empty
    ``collection_id``. ``name`` and ``now`` stand in for what it is called and when it occurred.

    Raises :class:`DecodeError`.
    """
    kind = raw.get("type")
    if type(kind) is str and kind in EVENT_TYPES:
        return _event(raw, name, now) if kind == UPSERTED else None
    identity = raw.get("document_id")
    features = raw.get("features")
    return DocumentEvent(
        UPSERTED,
        "",
        "",
        name if identity is None else _name(identity),
        now,
        raw,
        features=_vectors(features, now) if type(features) is dict else {},
    )


def _event(raw: dict[str, Any], name: str, now: datetime) -> DocumentEvent:
    named = raw.get("collection_id") is not None
    filled = {"namespace_id": _NOWHERE, "collection_id": _NOWHERE, "document_id": name}
    filled.update({key: value for key, value in raw.items() if value is not None})
    event = decode_document_event(None, orjson.dumps(filled), (), appended_at=now)
    return event if named else replace(event, collection_id="")


def _name(identity: Any) -> str:
    if type(identity) is int:
        return str(identity)
    if type(identity) is not str or not 0 < len(identity) <= MAX_ID_LENGTH:
        raise DecodeError(f"document_id must be a string of 1 to {MAX_ID_LENGTH} characters or a whole number")
    return identity


def _vectors(features: dict[str, Any], now: datetime) -> Mapping[str, Vector]:
    if not features or not all("://" in name for name in features):
        return {}
    return _event({"features": features}, _NOWHERE, now).features
