"""Documents and vectors as rows of PostgreSQL's binary COPY. Pure.

Most of a row is known as soon as its record is read, so it is written while the transaction before is under way.
Format: :mod:`streams.runtime.binary_copy`; of a vector ``vector_recv`` of pgvector.
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import orjson

from schemas.events.document import UPSERTED
from streams.collect.arrivals import Arrival, Row
from streams.collect.fold import Version
from streams.runtime.binary_copy import NULL, instant, length, microseconds, row, text

DOCUMENT_COLUMNS: Final = (
    "namespace_id, collection_id, document_id, payload, text, asset_id, occurred_at, appended_at, partition,"
    " record_offset, created_at, late_at"
)
VECTOR_COLUMNS: Final = "namespace_id, collection_id, feature_uri, document_id, embedding"

_DOCUMENT: Final = row(12)
_VECTOR: Final = row(5)
_FLOATS: Final = np.dtype(">f4")
_jsonb: Final = struct.Struct("!iB").pack
_place: Final = struct.Struct("!iqiqiiiq").pack
_embedding: Final = struct.Struct("!ihh").pack


def write_ahead(arrivals: Sequence[Arrival]) -> None:
    """Write what can be written of the rows of documents before it is known what is stored, and keep it with
    each."""
    upserts = [arrival for arrival in arrivals if arrival.event.type == UPSERTED]
    vectors = [vector for arrival in upserts for vector in arrival.event.features.values()]
    numbers = np.concatenate(vectors).astype(_FLOATS).tobytes() if vectors else b""
    at = 0
    for arrival in upserts:
        event = arrival.event
        document = event.document_id.encode()
        named = length(len(document)) + document
        rows: list[bytes] = []
        for uri, vector in event.features.items():
            size = 4 * len(vector)
            rows += (
                _vector_head(event.namespace_id, event.collection_id, uri),
                named,
                _embedding(4 + size, len(vector), 0),
                numbers[at : at + size],
            )
            at += size
        arrival.row = Row(_document(arrival, named), b"".join(rows))


def document_rows(versions: Iterable[Version]) -> list[bytes]:
    """Rows of ``documents``, columns :data:`DOCUMENT_COLUMNS`, in parts."""
    parts: list[bytes] = []
    for version in versions:
        arrival, created_at, measured_at = version
        parts.append(_row(arrival).document)
        parts.append(_at(created_at))
        parts.append(NULL if measured_at == arrival.event.occurred_at else _at(measured_at))
    return parts


def vector_rows(versions: Iterable[Version]) -> list[bytes]:
    """Rows of ``document_vectors``, columns :data:`VECTOR_COLUMNS`, in parts."""
    return [_row(version.arrival).vectors for version in versions]


def _row(arrival: Arrival) -> Row:
    if arrival.row is None:
        # One that a change of the document as it stands has made.
        write_ahead((arrival,))
    assert arrival.row is not None
    return arrival.row


def _document(arrival: Arrival, named: bytes) -> bytes:
    event = arrival.event
    payload, json = NULL, b""
    if event.payload is not None:
        json = orjson.dumps(event.payload)
        payload = _jsonb(1 + len(json), 1)
    return b"".join(
        (
            _document_head(event.namespace_id, event.collection_id),
            named,
            payload,
            json,
            NULL if event.text is None else text(event.text),
            NULL if event.asset_id is None else text(event.asset_id),
            _place(
                8,
                microseconds(event.occurred_at),
                8,
                _microseconds(arrival.appended_at),
                4,
                arrival.partition,
                8,
                arrival.offset,
            ),
        )
    )


@lru_cache(1_024)
def _document_head(namespace_id: str, collection_id: str) -> bytes:
    return _DOCUMENT + text(namespace_id) + text(collection_id)


@lru_cache(1_024)
def _vector_head(namespace_id: str, collection_id: str, uri: str) -> bytes:
    return _VECTOR + text(namespace_id) + text(collection_id) + text(uri)


# Many documents of a batch were appended in the same millisecond.
_microseconds = lru_cache(1_024)(microseconds)
_at = lru_cache(1_024)(instant)
