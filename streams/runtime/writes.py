"""Documents the system writes: one path into it, the same for the API, for actions and for channels.

A write is a whole document event in the outbox, in the transaction of whoever decides it. It carries the
definitions version of that transaction, so that every alert attached before it is checked on it (design section 3,
Causality), and the alerts and triggers it is an effect of, so that none of them fires on it (section 3, Loops).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent, decode_document_event, encode_document_event
from schemas.headers import (
    CAUSED_BY,
    CHANGED,
    DEFINITIONS_VERSION,
    SOURCE_POSITION,
    SourcePosition,
    format_causes,
    format_changed,
)
from schemas.topics import DOCUMENTS
from streams.runtime.database import Connection
from streams.runtime.definitions import current_version
from streams.runtime.outbox import MAX_RECORD_BYTES, Outgoing, enqueue_all


class DocumentTooLargeError(ValueError):
    """A document that no record can hold, or with names too long or nested too deep to be read from one; the
    message says how large it may be."""


@dataclass(frozen=True, slots=True)
class Write:
    """One document event, ready to be queued."""

    key: bytes
    value: bytes
    made_from: SourcePosition | None = None
    changed: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of its record."""

    @property
    def size(self) -> int:
        """Bytes of what grows with the document."""
        return len(self.value) + sum(len(text.encode()) for text in self.headers.values())


def write_of(
    event: DocumentEvent,
    made_from: SourcePosition | None = None,
    changed: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Write:
    """A document event as a write. ``made_from`` says which stored version of the document it was made from, and
    ``changed`` which of its root fields differ: where another write comes in between, the rest is left as that one
    has it. Its ``event_id`` must be derived from what
    makes it: the relay and a worker that takes over may send it twice, and the second is then nothing.

    Raises :class:`DocumentTooLargeError`.
    """
    assert event.event_id is not None
    write = Write(event.key, encode_document_event(event), made_from, changed, headers or {})
    if write.size > MAX_RECORD_BYTES:
        raise DocumentTooLargeError(f"The document is larger than {MAX_RECORD_BYTES} bytes")
    try:
        # A write that was accepted is never a dead letter.
        decode_document_event(write.key, write.value, (), appended_at=event.occurred_at)
    except DecodeError as error:
        raise DocumentTooLargeError(f"The document could not be read again: {error}") from error
    return write


def copy_of(event: DocumentEvent, collection_id: str) -> DocumentEvent:
    """A document as another collection has it, under its id; where it has fields, they say where it is from."""
    payload = event.payload
    if payload is None or isinstance(payload, dict):
        payload = {
            **(payload or {}),
            "source_type": "collection",
            "source_collection_id": event.collection_id,
            "source_document_id": event.document_id,
        }
    return replace(event, collection_id=collection_id, payload=payload)


async def existing_ids(
    connection: Connection, namespace_id: str, collection_id: str, document_ids: Sequence[str]
) -> set[str]:
    """Those of these ids that documents of the collection have."""
    cursor = await connection.execute(
        "SELECT document_id FROM documents WHERE namespace_id = %s AND collection_id = %s"
        " AND document_id = ANY(%s)",
        (namespace_id, collection_id, list(document_ids)),
    )
    return {row[0] for row in await cursor.fetchall()}


async def queue_writes(connection: Connection, writes: Iterable[Write], causes: tuple[str, ...] = ()) -> str:
    """Queue document events in the caller's transaction, in order. ``causes`` are the alerts and triggers they are
    an effect of, oldest first. Returns the definitions version they carry."""
    version = str(await current_version(connection))
    headers = {DEFINITIONS_VERSION: version}
    if causes:
        headers[CAUSED_BY] = format_causes(causes)
    await enqueue_all(connection, DOCUMENTS, (_outgoing(write, headers) for write in writes))
    return version


def _outgoing(write: Write, headers: dict[str, str]) -> Outgoing:
    headers = {**headers, **write.headers}
    if write.made_from is not None:
        position, names = str(write.made_from), format_changed(write.changed)
        headers = {**headers, SOURCE_POSITION: position, CHANGED: names}
    return Outgoing(write.key, write.value, headers)
