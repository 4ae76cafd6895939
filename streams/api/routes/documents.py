"""``/v1/collections/{collection}/documents`` (contract 2.9): written through the outbox, and read at once."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from schemas.api.document import (
    CountResponse,
    DeletedResponse,
    DocumentChange,
    DocumentCreateRequest,
    DocumentResponse,
)
from schemas.ids import new_id
from streams.api.collection_heads import collection_id_of
from streams.api.counts import document_counts
from streams.api.document_writing import (
    Draft,
    check_document_id,
    deletion,
    lock_documents,
    patched,
    writable,
    write_documents,
)
from streams.api.documents import Shown, document_response, event_of, patch_of
from streams.api.expand import expanded
from streams.api.stored import StoredDocument, named_documents, pending_counts, stored_document
from streams.runtime.agent import Context
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import invalid
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(
    prefix="/v1/collections/{collection_identifier}/documents", tags=["documents"], route_class=JsonRoute
)

VectorNames = Annotated[str | None, Query(max_length=4_096)]


def shown(return_vectors: bool, return_vector_names: str | Sequence[str] | bool | None) -> Shown:
    """What is shown of vectors: in a query names are separated by commas, ``true`` asks for the names."""
    names = return_vector_names
    if isinstance(names, str):
        if names.strip().lower() in ("true", "false", ""):
            names = names.strip().lower() == "true"
        else:
            names = [name.strip() for name in names.split(",")]
    if isinstance(names, bool) or names is None:
        return Shown(return_vectors, True if names else None)
    return Shown(return_vectors, names)


@router.post("")
async def create_document(
    collection_identifier: str,
    body: DocumentCreateRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> DocumentResponse:
    """Write a document; one with the id of another replaces it. It can be read back at once."""
    now = context.clock()
    if body.document_id is not None:
        check_document_id(body.document_id)
    namespace_id = access.namespace_id
    async with context.database.transaction() as connection:
        collection = await writable(connection, namespace_id, collection_identifier)
        if body.collection_id not in (None, collection["collection_id"], collection["collection_name"]):
            raise invalid("collection_id must be the one of the path", "body", "collection_id")
        document_id = body.document_id or new_id("document")
        event = event_of(body, collection, namespace_id, document_id, now)
        name = (event.collection_id, document_id)
        await lock_documents(connection, namespace_id, [name])
        before = (await named_documents(connection, namespace_id, [name])).get(name)
        created_at = now if before is None else before.created_at
        await write_documents(connection, [Draft(event, created_at)], now, answer)
    return document_response(StoredDocument(event, created_at, now, False), access.internal_id)


@router.get("/count")
async def count_documents(collection_identifier: str, access: AccessDep, context: ContextDep) -> CountResponse:
    """How many documents the collection holds."""
    namespace_id = access.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        collection_id = await collection_id_of(connection, namespace_id, collection_identifier)
        counts = await document_counts(connection, namespace_id, [collection_id])
        coming = await pending_counts(connection, namespace_id, [collection_id])
    return CountResponse(
        collection_id=collection_id, count=max(0, counts[collection_id] + coming.get(collection_id, 0))
    )


@router.get("/{document_id:path}")
async def get_document(
    collection_identifier: str,
    document_id: str,
    access: AccessDep,
    context: ContextDep,
    return_presigned_urls: bool = False,
    return_vectors: bool = False,
    return_vector_names: VectorNames = None,
    expand: Annotated[str | None, Query(max_length=4_096)] = None,
) -> DocumentResponse:
    """A document; ``return_vectors`` adds the vectors that came with it, ``return_vector_names=true`` their names,
    and names separated by commas those vectors at the root; ``expand`` the documents of the collection that fields
    name, under ``_expanded``."""
    namespace_id = access.namespace_id
    more = shown(return_vectors, return_vector_names)
    async with context.database.transaction(snapshot=True) as connection:
        collection_id = await collection_id_of(connection, namespace_id, collection_identifier)
        found = await stored_document(
            connection, namespace_id, collection_id, document_id, vectors=more.reads_vectors
        )
        answer = document_response(found, access.internal_id, more)
        if expand:
            await expanded(connection, access, [collection_id], [found], [answer], expand.split(","))
    return answer


async def changed_document(
    collection_identifier: str,
    document_id: str,
    body: DocumentChange,
    access: Access,
    context: Context,
    answer: Response,
) -> DocumentResponse:
    """Merge a change into a document and publish it whole."""
    now = context.clock()
    namespace_id = access.namespace_id
    async with context.database.transaction() as connection:
        collection = await writable(connection, namespace_id, collection_identifier)
        collection_id = collection["collection_id"]
        patch = patch_of(body, collection, document_id)
        await lock_documents(connection, namespace_id, [(collection_id, document_id)])
        before = await stored_document(connection, namespace_id, collection_id, document_id, vectors=True)
        if patch.empty:
            return document_response(before, access.internal_id)
        draft = patched(before, patch)
        await write_documents(connection, [draft], now, answer)
    return document_response(StoredDocument(draft.event, draft.created_at, now, False), access.internal_id)


@router.patch("/{document_id:path}")
async def patch_document(
    collection_identifier: str,
    document_id: str,
    body: DocumentChange,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> DocumentResponse:
    """Change some fields of a document: ``metadata`` is merged key by key, a dotted name sets one nested field, a
    null removes."""
    return await changed_document(collection_identifier, document_id, body, access, context, answer)


@router.put("/{document_id:path}")
async def update_document(
    collection_identifier: str,
    document_id: str,
    body: DocumentChange,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> DocumentResponse:
    """Change a document; what is left out stays, as in PATCH."""
    return await changed_document(collection_identifier, document_id, body, access, context, answer)


@router.delete("/{document_id:path}")
async def delete_document(
    collection_identifier: str, document_id: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete a document; results that hold it are emptied of it."""
    namespace_id = access.namespace_id
    now = context.clock()
    async with context.database.transaction() as connection:
        collection = await writable(connection, namespace_id, collection_identifier, deleting=True)
        collection_id = collection["collection_id"]
        await lock_documents(connection, namespace_id, [(collection_id, document_id)])
        found = await stored_document(connection, namespace_id, collection_id, document_id)
        await write_documents(connection, [deletion(found, now)], now, answer)
    return DeletedResponse()
