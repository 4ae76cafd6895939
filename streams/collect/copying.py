"""Documents and vectors as rows of PostgreSQL's binary COPY. Pure.

Written by hand, because a client that looks up how to write each value of each row takes longer over it than the
server takes to store it. Format: PostgreSQL documentation, "COPY", binary format; ``vector_recv`` of pgvector.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import orjson

from streams.collect.fold import Version

DOCUMENT_COLUMNS: Final = (
    "namespace_id, collection_id, document_id, payload, text, asset_id, occurred_at, appended_at, partition,"
    " record_offset, created_at, late_at"
)
VECTOR_COLUMNS: Final = "namespace_id, collection_id, feature_uri, document_id, embedding"

_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NULL: Final = b"\xff\xff\xff\xff"
_JSONB: Final = b"\x01"
_DOCUMENT: Final = struct.pack("!h", 12)
_VECTOR: Final = struct.pack("!h", 5)
_length: Final = struct.Struct("!i").pack
_instant: Final = struct.Struct("!iq").pack
_place: Final = struct.Struct("!iiiq").pack
_embedding: Final = struct.Struct("!ihh").pack


def document_rows(versions: Iterable[Version]) -> bytes:
    """Rows of ``documents``, columns :data:`DOCUMENT_COLUMNS`."""
    parts = [_BEGIN]
    for version in versions:
        arrival, event = version.arrival, version.arrival.event
        payload = None if event.payload is None else _JSONB + orjson.dumps(event.payload)
        late = version.measured_at != event.occurred_at
        parts += (
            _DOCUMENT,
            _text(event.namespace_id),
            _text(event.collection_id),
            _text(event.document_id),
            _NULL if payload is None else _length(len(payload)) + payload,
            _NULL if event.text is None else _text(event.text),
            _NULL if event.asset_id is None else _text(event.asset_id),
            _at(event.occurred_at),
            _at(arrival.appended_at),
            _place(4, arrival.partition, 8, arrival.offset),
            _at(version.created_at),
            _at(version.measured_at) if late else _NULL,
        )
    parts.append(_END)
    return b"".join(parts)


def vector_rows(versions: Iterable[Version]) -> bytes:
    """Rows of ``document_vectors``, columns :data:`VECTOR_COLUMNS`."""
    parts = [_BEGIN]
    for version in versions:
        event = version.arrival.event
        for uri, vector in event.features.items():
            numbers = vector.astype(_FLOATS).tobytes()
            parts += (
                _VECTOR,
                _text(event.namespace_id),
                _text(event.collection_id),
                _text(uri),
                _text(event.document_id),
                _embedding(4 + len(numbers), len(vector), 0),
                numbers,
            )
    parts.append(_END)
    return b"".join(parts)


_FLOATS: Final = np.dtype(">f4")


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _at(moment: datetime) -> bytes:
    return _instant(8, (moment - _EPOCH) // _MICROSECOND)
