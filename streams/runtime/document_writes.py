"""Writes of documents over HTTP between the transaction that decides them and the one that stores them.

A write is an event in the outbox like any other. Beside it stands a row with the document as it will be, so that
whoever wrote it reads it back at once, and the next write begins where this one ended. Collect deletes the row in
the transaction that stores the event, so a reader sees the write in one place or the other.

Writers of a document take turns from before they read it until they commit, so its events are in the outbox, and
in its partition of the log, in the order of their numbers.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from psycopg.types.json import Jsonb

from schemas.errors import DecodeError
from schemas.events.document import (
    DELETED,
    DocumentEvent,
    Vector,
    decode_vector,
    encode_vector,
    split_key,
)
from schemas.headers import SEQ, Headers, header, parse_seq
from schemas.ids import document_key
from schemas.times import format_instant
from streams.runtime.database import Connection, columns

_LOCK: Final = 7_431_011
_BUCKETS: Final = 1_024
"""Documents share so many locks: a batch of any size holds no more, and the server's table of locks has room."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as a write leaves it."""

    seq: int
    event: DocumentEvent
    created_at: datetime
    written_at: datetime


class Settled(NamedTuple):
    """A write that collect has dealt with."""

    namespace_id: str
    collection_id: str
    document_id: str
    seq: int


def settled_by(key: bytes | None, headers: Headers) -> Settled | None:
    """The write over HTTP that a record is, also one that can never be stored."""
    try:
        seq = header(headers, SEQ)
        return None if seq is None else Settled(*split_key(key), parse_seq(seq))
    except DecodeError:
        # Not the API's, then.
        return None


async def lock_documents(connection: Connection, namespace_id: str, documents: Iterable[tuple[str, str]]) -> None:
    """Be the one writer of these documents (collection, id) until the transaction ends. Called once in it, before
    any of them is read."""
    buckets = {zlib.crc32(document_key(namespace_id, *document)) % _BUCKETS for document in documents}
    # In one order, so that two batches wait for each other and never in a circle.
    await connection.execute(
        "SELECT count(pg_advisory_xact_lock(%s, bucket)) FROM"
        " (SELECT unnest(%s::int[]) AS bucket ORDER BY 1) AS buckets",
        (_LOCK, sorted(buckets)),
    )


async def next_seqs(connection: Connection, count: int) -> list[int]:
    """Numbers for writes, rising. To be taken by who holds the documents."""
    cursor = await connection.execute(
        "SELECT nextval('document_writes_seq') FROM generate_series(1, %s)", (count,)
    )
    return sorted(row[0] for row in await cursor.fetchall())


async def keep_writes(connection: Connection, writes: Sequence[Kept]) -> None:
    """Put documents where readers look first. Of several writes of one the last counts."""
    last = {write.event.key: write for write in writes}
    rows = [
        (
            write.event.namespace_id,
            write.event.collection_id,
            write.event.document_id,
            write.seq,
            write.event.type == DELETED,
            None if write.event.payload is None else Jsonb(write.event.payload),
            write.event.text,
            write.event.asset_id,
            write.event.occurred_at,
            write.created_at,
            write.written_at,
            encode_features(write.event),
        )
        for write in last.values()
    ]
    await connection.execute(
        "INSERT INTO document_writes (namespace_id, collection_id, document_id, seq, deleted, payload, text,"
        " asset_id, occurred_at, created_at, written_at, features)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bool[], %s::jsonb[],"
        " %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bytea[])"
        " AS t (namespace_id, collection_id, document_id) ORDER BY namespace_id, collection_id, document_id"
        " ON CONFLICT (namespace_id, collection_id, document_id) DO UPDATE SET seq = EXCLUDED.seq,"
        " deleted = EXCLUDED.deleted, payload = EXCLUDED.payload, text = EXCLUDED.text,"
        " asset_id = EXCLUDED.asset_id, occurred_at = EXCLUDED.occurred_at, created_at = EXCLUDED.created_at,"
        " written_at = EXCLUDED.written_at, features = EXCLUDED.features",
        columns(rows, 12),
    )


async def settle_writes(connection: Connection, writes: Iterable[Settled]) -> None:
    """These writes are stored, or will never be: what stands for them goes, unless a later write took its place.
    The last a transaction does, since writers of these documents wait for it."""
    newest: dict[tuple[str, str, str], int] = {}
    for write in writes:
        newest[write[:3]] = max(write.seq, newest.get(write[:3], 0))
    if newest:
        await connection.execute(
            "DELETE FROM document_writes WHERE ctid = ANY (ARRAY(SELECT w.ctid FROM document_writes w"
            " JOIN unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])"
            " AS k (namespace_id, collection_id, document_id, seq)"
            " USING (namespace_id, collection_id, document_id) WHERE w.seq <= k.seq"
            " ORDER BY namespace_id, collection_id, document_id FOR UPDATE OF w))",
            columns(((*key, seq) for key, seq in newest.items()), 4),
        )


def known_root(event: DocumentEvent, created_at: datetime, updated_at: datetime) -> dict[str, Any]:
    """A document's fields with what the server knows of it, ``_internal``, as filters and readers of the API see
    them."""
    return {
        **event.root(),
        "_internal": {
            "namespace_id": event.namespace_id,
            "created_at": format_instant(created_at),
            "updated_at": format_instant(updated_at),
        },
    }


def encode_features(event: DocumentEvent) -> bytes:
    """A document's vectors as a row keeps them."""
    return orjson.dumps({name: encode_vector(vector) for name, vector in event.features.items()})


def decode_features(value: bytes) -> dict[str, Vector]:
    """The vectors of a row."""
    return {name: decode_vector(name, raw) for name, raw in orjson.loads(value).items()}
