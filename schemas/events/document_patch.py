"""A change of some fields of a document, whatever the others are: what PATCH means (contract 2.9).

One function for whoever applies it: the API to the document as it knows it, for the event it publishes; collect to
the document as it stands when the event arrives. Where a producer's write came in between, both are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent, Vector, decode_vector, encode_vector
from schemas.times import format_instant, parse_instant

METADATA = "metadata"
_OWN = ("text", "asset_id")


@dataclass(frozen=True, slots=True)
class DocumentPatch:
    """What changes.

    ``fields`` are root fields: ``metadata`` is merged key by key, a dotted name sets one nested field where there
    is none of that very name, any other replaces; a null removes. ``features`` replace those of the same name.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: datetime | None = None
    features: Mapping[str, Vector] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """It changes nothing."""
        return not self.fields and not self.features and self.occurred_at is None

    def encode(self) -> str:
        """The value of the header, as :func:`parse_patch` reads it."""
        raw: dict[str, Any] = {"fields": self.fields}
        if self.occurred_at is not None:
            raw["occurred_at"] = format_instant(self.occurred_at)
        if self.features:
            raw["features"] = {name: encode_vector(vector) for name, vector in self.features.items()}
        return orjson.dumps(raw).decode()

    def apply(self, event: DocumentEvent) -> DocumentEvent:
        """The document with the change. A payload that is no object becomes its field ``payload``, as which it is
        seen from outside."""
        payload = event.payload
        if not isinstance(payload, dict):
            payload = {} if payload is None else {"payload": payload}
        fields = dict(payload)
        own = {"text": event.text, "asset_id": event.asset_id}
        # What holds a field is set before the field: else the change made twice would be another.
        for name, value in sorted(self.fields.items(), key=_depth):
            if name in _OWN and name not in fields and isinstance(value, str | None):
                own[name] = value
                continue
            if name in _OWN:
                own[name] = None
            _put(fields, name, value)
        return replace(
            event,
            payload=fields,
            text=own["text"],
            asset_id=own["asset_id"],
            occurred_at=self.occurred_at or event.occurred_at,
            features={**event.features, **self.features},
        )


def _depth(item: tuple[str, Any]) -> int:
    return item[0].count(".")


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    if name in fields or "." not in name:
        if value is None:
            fields.pop(name, None)
        elif name == METADATA and isinstance(value, dict):
            fields[name] = _merged(fields.get(name), value)
        else:
            fields[name] = value
        return
    head, rest = name.split(".", 1)
    inner = fields.get(head)
    if not head or not rest or not isinstance(inner, dict | None):
        # Nothing to go into: then it is a name like any other.
        if value is not None:
            fields[name] = value
        return
    if inner is None and value is None:
        return
    inner = dict(inner or {})
    _put(inner, rest, value)
    fields[head] = inner


def _merged(standing: Any, change: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**(standing if isinstance(standing, dict) else {}), **change}
    return {name: value for name, value in merged.items() if value is not None or name not in change}


def parse_patch(text: str) -> DocumentPatch:
    """Read :meth:`DocumentPatch.encode`. Raises :class:`DecodeError`."""
    try:
        raw = orjson.loads(text)
        fields, occurred = raw["fields"], raw.get("occurred_at")
        features = raw.get("features") or {}
        moment = None if occurred is None else parse_instant(occurred)
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise DecodeError(f"a patch is not what the API writes: {error!r}") from error
    if not isinstance(fields, dict) or not isinstance(features, dict):
        raise DecodeError("a patch holds fields and features by name")
    return DocumentPatch(fields, moment, {name: decode_vector(name, vector) for name, vector in features.items()})
