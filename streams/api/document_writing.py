"""Writing documents for a request: one path into the system, and read back at once (design section 8).

What is decided here is an event in the outbox and a row of ``document_writes``, in one transaction. So a write
succeeds while the broker is away; it is refused with 503 only when so much waits for the broker that reading past
it would become slow.
"""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from fastapi import Response

from schemas.api.base import JsonObject
from schemas.events.document import DELETED, DocumentEvent
from schemas.events.document_patch import DocumentPatch
from schemas.headers import PATCH, SEQ, WRITTEN_AT
from schemas.strict_json import problem_in
from schemas.times import format_instant
from streams.api.collection_heads import collection_head
from streams.api.names import check_name
from streams.api.stored import StoredDocument
from streams.runtime.database import Connection, fetch_value
from streams.runtime.document_writes import Kept, keep_writes, lock_documents, next_seqs
from streams.runtime.http.errors import ApiError, come_again, conflict, invalid
from streams.runtime.http.headers import DEFINITIONS_VERSION, WRITE_TOKEN
from streams.runtime.write_tokens import current_token
from streams.runtime.writes import DocumentTooLargeError, Write, queue_writes, write_of

__all__ = ["Draft", "lock_documents"]

MAX_WAITING: Final = 100_000
"""Records that may wait for the broker; beyond that writes are refused."""
RETRY_AFTER_SECONDS: Final = 5
MAX_ID_BYTES: Final = 2_048
"""What an index of the database has room for."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A write that is decided: the document as it will be, or its deletion."""

    event: DocumentEvent
    created_at: datetime
    patch: DocumentPatch | None = None


def check_document_id(document_id: str, *location: str | int) -> None:
    """Refuse an id that no path could carry. Raises 422."""
    where = location or ("body", "document_id")
    if document_id in (".", "..") or document_id.strip() == "":
        raise invalid("document_id must not be '.', '..' or blank", *where)
    if len(document_id.encode()) > MAX_ID_BYTES:
        raise invalid(f"document_id must not be longer than {MAX_ID_BYTES} bytes", *where)
    if "/" not in document_id:
        check_name("document", document_id, "document_id")


async def writable(
    connection: Connection, namespace_id: str, identifier: str, *, deleting: bool = False
) -> JsonObject:
    """A collection that takes writes. Raises 404, 409 for one that is disabled unless documents are only to be
    deleted, and 503 while too much waits."""
    collection = await collection_head(connection, namespace_id, identifier)
    if not collection["enabled"] and not deleting:
        raise conflict("The collection is disabled")
    await refuse_when_full(connection)
    return collection


async def refuse_when_full(connection: Connection) -> None:
    """Raises 503 while more records wait for the broker than are read past quickly."""
    waiting = await fetch_value(connection, "SELECT coalesce(max(id) - min(id), 0) FROM outbox")
    if waiting > MAX_WAITING:
        raise come_again(
            f"About {waiting:,} records wait for the broker, which does not take them; try again later."
            " Nothing of this request was written",
            RETRY_AFTER_SECONDS,
        )


def deletion(document: StoredDocument, now: datetime) -> Draft:
    """The deletion of a document."""
    event = document.event
    return Draft(
        DocumentEvent(DELETED, event.namespace_id, event.collection_id, event.document_id, now),
        document.created_at,
    )


def patched(document: StoredDocument, patch: DocumentPatch) -> Draft:
    """A change of a document, read with its vectors. Raises 409 for what would be nested too deep to be read."""
    event = patch.apply(document.event)
    if (problem := problem_in(event.payload)) is not None:
        raise conflict(f"The document could not be read any more: {problem}", "body")
    return Draft(event, document.created_at, patch)


def check_size(draft: Draft) -> None:
    """Raises 413 for a draft that no record can hold."""
    _write(draft, sys.maxsize)


def _write(draft: Draft, seq: int) -> tuple[DocumentEvent, Write]:
    # The relay may send a record twice; with an event id the second is recognised.
    event = replace(draft.event, event_id=f"api_{secrets.token_hex(12)}")
    headers = {SEQ: str(seq), WRITTEN_AT: format_instant(draft.created_at)}
    if draft.patch is not None:
        headers[PATCH] = draft.patch.encode()
    try:
        return event, write_of(event, headers=headers)
    except DocumentTooLargeError as error:
        raise ApiError(413, str(error)) from error


async def write_documents(connection: Connection, drafts: Sequence[Draft], now: datetime, answer: Response) -> str:
    """Queue writes of documents that the caller has locked. Returns their write token. Raises 413 for one that no
    record can hold."""
    writes = []
    kept = []
    for draft, seq in zip(drafts, await next_seqs(connection, len(drafts)), strict=True):
        event, write = _write(draft, seq)
        writes.append(write)
        kept.append(Kept(seq, event, draft.created_at, now))
    await keep_writes(connection, kept)
    answer.headers[DEFINITIONS_VERSION] = await queue_writes(connection, writes)
    token = await current_token(connection)
    answer.headers[WRITE_TOKEN] = token
    return token
