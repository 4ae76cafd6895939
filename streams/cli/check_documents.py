"""Lines of a file as documents, for ``tidewatch check`` and ``tidewatch explain``. Pure."""

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
from schemas.strict_json import read_object

_OURS: Final = b'{"type":"document.upserted",'
"""How this project writes an event."""
_NOWHERE: Final = "-"


def read_document(line: bytes, number: int, now: datetime) -> DocumentEvent | None:
    """The document of a line, ``None`` for an event that brings none (a deletion, a watermark).

    An object whose ``type`` is a document event's is that event; it may leave out namespace and collection.
    Of any other object every field is payload; ``document_id`` (a string or a whole number), or else the line's
    ``number``, names it, and ``features`` that are all feature URIs are vectors too. Such a document names no
    collection (``collection_id`` is empty). ``now`` is when a document occurred that does not say so.

    Raises :class:`DecodeError`.
    """
    if line.startswith(_OURS):
        try:
            return decode_document_event(None, line, (), appended_at=now)
        except DecodeError:
            pass  # it may leave something out, or go on with another type
    raw = read_object(line, "a document")
    kind = raw.get("type")
    if type(kind) is str and kind in EVENT_TYPES:
        return _event(raw, number, now) if kind == UPSERTED else None
    identity = raw.get("document_id")
    features = raw.get("features")
    return DocumentEvent(
        UPSERTED,
        "",
        "",
        str(number) if identity is None else _name(identity),
        now,
        raw,
        features=_vectors(features, now) if type(features) is dict else {},
    )


def _event(raw: dict[str, Any], number: int, now: datetime) -> DocumentEvent:
    named = raw.get("collection_id") is not None
    filled = {"namespace_id": _NOWHERE, "collection_id": _NOWHERE, "document_id": str(number)}
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
    return _event({"features": features}, 0, now).features
