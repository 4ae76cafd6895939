"""Many records of ``documents`` at once: the events that :func:`decode_document_event` makes, at half its cost.

Nearly all records are upserts in our own JSON with nothing unusual about them. They are read in one loop, with
checks that suffice where they pass. Every other record goes to the reader of single records, so that there is one
place that knows all spellings and words every refusal. Vectors in base64 are decoded some at a time.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, cast

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from schemas.errors import DecodeError
from schemas.events.document import (
    UPSERTED,
    DocumentEvent,
    collection_key,
    decode_document_event,
    decode_vector,
)
from schemas.features import MAX_DIMENSIONS
from schemas.strict_json import MAX_DEPTH, openings
from schemas.times import from_millis, is_plain_instant, parse_instant

_AT_ONCE: Final = 32
"""Vectors decoded together: their text stays in the processor's cache."""
_BLOCK: Final = 16
"""Base64 in so many characters holds whole float32 without padding: such texts can be joined."""
_SHORT: Final = 200
"""Characters of a usual id: three such ids and the name of a feature fit any index."""
_FLOAT32: Final = np.dtype("<f4")
_FLAT: Final = frozenset((str, int, float, bool, type(None)))

# Many records of a batch were appended in the same millisecond.
_instant = lru_cache(1_024)(from_millis)


class DocumentRecord(Protocol):
    """What is read of a record."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def timestamp(self) -> int:
        """When it was appended, in milliseconds since 1970."""
        ...


def read_document_events(records: Sequence[DocumentRecord]) -> list[DocumentEvent | DecodeError]:
    """For each record its event, or why it has none."""
    return _Reader(records).read()


class _Reader:
    """The events of some records, and the vectors they still lack."""

    def __init__(self, records: Sequence[DocumentRecord]) -> None:
        self._events: list[DocumentEvent | DecodeError] = []
        self._records = records
        self._namespace = self._collection = "\x00"
        """Of the record met last: events of one collection share the two texts. No record has this one."""
        self._prefix = b""
        """What keys of the collection met last begin with."""
        self._texts: list[str] = []
        """Vectors in base64 that are not decoded yet."""
        self._places: list[tuple[int, dict[str, Any], str]] = []
        """For each the number of its record, where it belongs, and its name there."""

    def read(self) -> list[DocumentEvent | DecodeError]:
        """The events of all records."""
        for at, record in enumerate(self._records):
            event = self._usual(at, record)
            self._events.append(self._single(at) if event is None else event)
            if len(self._texts) >= _AT_ONCE:
                self._decode()
        self._decode()
        return self._events

    def _single(self, at: int) -> DocumentEvent | DecodeError:
        record = self._records[at]
        try:
            return decode_document_event(
                record.key, record.value, record.headers, appended_at=_instant(record.timestamp)
            )
        except DecodeError as error:
            return error

    def _usual(self, at: int, record: DocumentRecord) -> DocumentEvent | None:
        """The event of a record without its vectors in base64; ``None`` when it takes a closer look."""
        value, headers = record.value, record.headers
        if value is None or (headers and any(name.startswith("ce_") for name, _ in headers)):
            return None
        try:
            raw = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        if type(raw) is not dict or (b"\\" in value and b"\\u0000" in value):
            return None
        take = raw.pop
        if take("type", UPSERTED) != UPSERTED:
            return None
        namespace, collection = take("namespace_id", ""), take("collection_id", "")
        if (namespace != self._namespace or collection != self._collection) and not self._enter(
            namespace, collection
        ):
            return None
        document = take("document_id", None)
        # Longer ones take a closer look: what all ids may have together is counted in bytes.
        if type(document) is not str or not 0 < len(document) <= _SHORT:
            return None
        key = record.key
        if key is not None and key != self._prefix + document.encode():
            return None
        text, asset_id, event_id = take("text", None), take("asset_id", None), take("event_id", None)
        if (
            (text is not None and type(text) is not str)
            or (asset_id is not None and type(asset_id) is not str)
            or (event_id is not None and (type(event_id) is not str or len(event_id) > _SHORT))
        ):
            return None
        occurred = take("occurred_at", None)
        if occurred is None:
            moment = _instant(record.timestamp)
        elif type(occurred) is not str:
            return None
        else:
            try:
                moment = parse_instant(occurred)
            except (ValueError, OverflowError):
                return None
        payload, features = take("payload", None), take("features", None)
        flat = _FLAT.issuperset(map(type, payload.values())) if type(payload) is dict else type(payload) in _FLAT
        if (raw or not flat) and ("specversion" in raw or openings(value) > MAX_DEPTH):
            return None
        if features and not self._collect(at, features):
            return None
        event = DocumentEvent(
            UPSERTED,
            self._namespace,
            self._collection,
            document,
            moment,
            payload,
            text,
            asset_id,
            event_id or None,
            features or {},
            raw or {},
        )
        if occurred is not None and is_plain_instant(occurred):
            event.spelled = occurred
        event.record_key = key
        return event

    def _enter(self, namespace: object, collection: object) -> bool:
        """Read on in another collection; false when its ids are none."""
        try:
            self._prefix = collection_key(namespace, collection)
        except (DecodeError, TypeError):
            return False
        if len(self._prefix) > _SHORT:
            return False
        self._namespace, self._collection = cast(str, namespace), cast(str, collection)
        return True

    def _collect(self, at: int, features: object) -> bool:
        """Note the vectors of a record that are in base64 and read the others; false when one is neither."""
        if type(features) is not dict:
            return False
        before = len(self._texts)
        for name, vector in features.items():
            if (
                len(name) <= _SHORT
                and type(vector) is dict
                and len(vector) == 1
                and type(text := vector.get("f32")) is str
            ):
                self._texts.append(text)
                self._places.append((at, features, name))
                continue
            if len(name) <= _SHORT and type(vector) is list:
                try:
                    features[name] = decode_vector(name, vector)
                    continue
                except DecodeError:
                    pass
            del self._texts[before:], self._places[before:]
            return False
        return True

    def _decode(self) -> None:
        """Decode the vectors collected so far."""
        texts, places = self._texts, self._places
        self._texts, self._places = [], []
        if not texts:
            return
        rows = _joined(texts)
        if rows is not None:
            for (_, features, name), row in zip(places, rows, strict=True):
                features[name] = row
            return
        for (at, features, name), text in zip(places, texts, strict=True):
            try:
                features[name] = decode_vector(name, {"f32": text})
            except DecodeError:
                # Which of the words is right depends on the whole record.
                self._events[at] = self._single(at)


def _joined(texts: Sequence[str]) -> NDArray[np.float32] | None:
    """Vectors of one length as rows; ``None`` when they are not or when there is something wrong with one."""
    length = len(texts[0])
    size = length * 3 // 16
    if length % _BLOCK or not 0 < size <= MAX_DIMENSIONS or any(len(text) != length for text in texts):
        return None
    try:
        buffer = pybase64.b64decode("".join(texts), validate=True)
    except ValueError:
        return None
    if len(buffer) != len(texts) * size * 4:
        return None
    rows = np.frombuffer(buffer, dtype=_FLOAT32).reshape(len(texts), size)
    return rows if np.isfinite(rows).all() else None
