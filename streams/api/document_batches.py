"""Many documents in one request: by id each for itself, by a filter here while they are few, else by a task."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import Response

from schemas.api.base import JsonObject
from schemas.api.document import BatchResult, DocumentUpdate
from schemas.events.document_patch import DocumentPatch
from streams.api import requested
from streams.api.document_lists import MAX_LOOKED_AT, Source
from streams.api.document_query import Wanted, wanted
from streams.api.document_writing import Draft, check_size, deletion, lock_documents, patched, write_documents
from streams.api.documents import patch_of
from streams.api.stored import Name, StoredDocument, named_documents
from streams.runtime.database import Connection
from streams.runtime.http.errors import ApiError
from streams.runtime.jobs import queue_job
from streams.runtime.outbox import MAX_RECORD_BYTES

ACTION: Final = "document_changes"
MAX_AT_ONCE: Final = 1_000
"""Documents that a request with a filter changes itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for many documents of one collection."""

    namespace_id: str
    collection: JsonObject
    now: datetime

    @property
    def collection_id(self) -> str:
        """The collection's id."""
        found: str = self.collection["collection_id"]
        return found


async def update_each(
    connection: Connection, asked: Asked, updates: Sequence[DocumentUpdate], answer: Response
) -> list[BatchResult]:
    """Change each of some documents for itself: what is wrong with one is told in its place. Of several changes of
    one document each goes on from the one before."""
    documents = await _locked(connection, asked, [update.document_id for update in updates], vectors=True)
    results: list[BatchResult] = []
    drafts: list[Draft] = []
    for update in updates:
        error = None
        try:
            patch = patch_of(update.update_data, asked.collection, update.document_id)
            if update.document_id not in documents:
                error = "Document not found"
            elif not patch.empty:
                draft = patched(documents[update.document_id], patch)
                check_size(draft)
                drafts.append(draft)
                documents[update.document_id] = _as_written(draft, asked.now)
        except ApiError as problem:
            error = problem.message
        results.append(BatchResult(document_id=update.document_id, success=error is None, error=error))
    if drafts:
        await write_documents(connection, drafts, asked.now, answer)
    return results


async def delete_each(
    connection: Connection, asked: Asked, document_ids: Sequence[str], answer: Response
) -> list[BatchResult]:
    """Delete each of some documents; one that is not there is told in its place."""
    documents = await _locked(connection, asked, document_ids)
    results: list[BatchResult] = []
    drafts: list[Draft] = []
    for document_id in document_ids:
        document = documents.pop(document_id, None)
        if document is not None:
            drafts.append(deletion(document, asked.now))
        error = "Document not found" if document is None else None
        results.append(BatchResult(document_id=document_id, success=document is not None, error=error))
    if drafts:
        await write_documents(connection, drafts, asked.now, answer)
    return results


async def change_fitting(
    connection: Connection, asked: Asked, filters: JsonObject | None, update: JsonObject | None, answer: Response
) -> int | str:
    """Change, or without ``update`` delete, all documents that fit. Returns how many; where they are too many for
    a request, the id of the task that does it. Raises 413 and 422."""
    which = wanted(filters)
    patch = None if update is None else patch_of(update, asked.collection, "", "body", "update_data")
    if patch is not None and patch.empty:
        return 0
    if patch is not None and len(patch.encode().encode()) > MAX_RECORD_BYTES:
        raise ApiError(413, f"No document of at most {MAX_RECORD_BYTES} bytes can hold this update")
    names = await _fitting(connection, asked, which)
    if names is None:
        return await _queued(connection, asked, filters, patch)
    documents = await _locked(connection, asked, names, vectors=patch is not None)
    # One may have changed before it was ours.
    fitting = [document for document in documents.values() if which.fits(document)]
    drafts = [_draft(document, patch, asked.now) for document in fitting]
    if drafts:
        await write_documents(connection, drafts, asked.now, answer)
    return len(drafts)


def _draft(document: StoredDocument, patch: DocumentPatch | None, now: datetime) -> Draft:
    return deletion(document, now) if patch is None else patched(document, patch)


async def _locked(
    connection: Connection, asked: Asked, document_ids: Sequence[str], *, vectors: bool = False
) -> dict[str, StoredDocument]:
    names: list[Name] = [(asked.collection_id, one) for one in dict.fromkeys(document_ids) if "\x00" not in one]
    await lock_documents(connection, asked.namespace_id, names)
    found: Mapping[Name, StoredDocument] = await named_documents(
        connection, asked.namespace_id, names, vectors=vectors
    )
    return {name[1]: document for name, document in found.items()}


def _as_written(draft: Draft, now: datetime) -> StoredDocument:
    return StoredDocument(draft.event, draft.created_at, now, False)


async def _fitting(connection: Connection, asked: Asked, which: Wanted) -> list[str] | None:
    """The ids of the documents that fit; ``None`` where there are too many to be found or changed here."""
    names: list[str] = []
    source = Source(connection, asked.namespace_id, [asked.collection_id])
    async with aclosing(source.windows(which, "document_id", False, None, MAX_LOOKED_AT)) as windows:
        async for window in windows:
            names += [document.event.document_id for document in window.documents]
            if len(names) > MAX_AT_ONCE:
                return None
            if window.ended:
                return names
    return None


async def _queued(
    connection: Connection, asked: Asked, filters: JsonObject | None, patch: DocumentPatch | None
) -> str:
    config: JsonObject = {"collection_id": asked.collection_id, "filters": filters}
    if patch is not None:
        config["patch"] = patch.encode()
    command = requested.run_of(asked.collection_id, asked.namespace_id, ACTION, config, asked.now)
    await queue_job(connection, command)
    return command.job_id
