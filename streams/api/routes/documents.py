"""``/v1/collections/{collection}/documents`` (contract 2.9): written through the outbox, read from the table."""

import secrets

from fastapi import APIRouter, Response

from schemas.api.document import CountResponse, DeletedResponse, DocumentCreateRequest, DocumentResponse
from schemas.events.document import DELETED, DocumentEvent
from schemas.ids import new_id
from streams.api.counts import document_counts
from streams.api.documents import document_response, event_of
from streams.api.names import check_name
from streams.api.store import VERSION_HEADER, require
from streams.api.stored import stored_document
from streams.runtime.database import Connection
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import ApiError, invalid
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.writes import DocumentTooLargeError, queue_writes, write_of

router = APIRouter(
    prefix="/v1/collections/{collection_identifier}/documents", tags=["documents"], route_class=JsonRoute
)


async def _publish(connection: Connection, event: DocumentEvent, answer: Response) -> None:
    """Queue an event with the definitions version of this transaction, so that it is checked against every
    alert attached before it was written."""
    try:
        write = write_of(event)
    except DocumentTooLargeError as error:
        raise ApiError(413, str(error)) from error
    answer.headers[VERSION_HEADER] = await queue_writes(connection, [write])


@router.post("")
async def create_document(
    collection_identifier: str,
    body: DocumentCreateRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> DocumentResponse:
    """Write a document; one with the id of another replaces it. It can be read back once it was collected."""
    now = context.clock()
    if body.document_id is not None and (body.document_id in (".", "..") or body.document_id.strip() == ""):
        raise invalid("document_id must not be '.', '..' or blank", "body", "document_id")
    if body.document_id is not None and "/" not in body.document_id:
        check_name("document", body.document_id, "document_id")
    async with context.database.transaction() as connection:
        collection = await require(connection, "collection", access.namespace_id, collection_identifier)
        if body.collection_id not in (None, collection.record.id, collection.record.name):
            raise invalid("collection_id must be the one of the path", "body", "collection_id")
        if not collection.body["enabled"]:
            raise ApiError(400, "The collection is disabled")
        document_id = body.document_id or new_id("document")
        # The relay may send a record twice; with an event id the second is recognised.
        event_id = f"api_{secrets.token_hex(12)}"
        event = event_of(body, collection.body, access.namespace_id, document_id, event_id, now)
        await _publish(connection, event, answer)
    return document_response(event, access.internal_id, now, now, searchable=False)


@router.get("/count")
async def count_documents(collection_identifier: str, access: AccessDep, context: ContextDep) -> CountResponse:
    """How many documents the collection holds."""
    async with context.database.connection() as connection:
        collection = await require(connection, "collection", access.namespace_id, collection_identifier)
        counts = await document_counts(connection, access.namespace_id, [collection.record.id])
    return CountResponse(collection_id=collection.record.id, count=counts[collection.record.id])


@router.get("/{document_id:path}")
async def get_document(
    collection_identifier: str,
    document_id: str,
    access: AccessDep,
    context: ContextDep,
    return_vectors: bool = False,
) -> DocumentResponse:
    """A document that was collected; ``return_vectors`` adds the vectors that came with it."""
    namespace_id = access.namespace_id
    async with context.database.connection() as connection:
        collection = await require(connection, "collection", namespace_id, collection_identifier)
        collection_id = collection.record.id
        found = await stored_document(connection, namespace_id, collection_id, document_id, vectors=return_vectors)
    return document_response(
        found.event,
        access.internal_id,
        found.created_at,
        found.updated_at,
        searchable=True,
        vectors=found.event.features if return_vectors else None,
    )


@router.delete("/{document_id:path}")
async def delete_document(
    collection_identifier: str, document_id: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete a document that was collected."""
    namespace_id = access.namespace_id
    async with context.database.transaction() as connection:
        collection = await require(connection, "collection", namespace_id, collection_identifier)
        await stored_document(connection, namespace_id, collection.record.id, document_id)
        event = DocumentEvent(
            DELETED,
            namespace_id,
            collection.record.id,
            document_id,
            context.clock(),
            event_id=f"api_{secrets.token_hex(12)}",
        )
        await _publish(connection, event, answer)
    return DeletedResponse()
