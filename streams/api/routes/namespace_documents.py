"""``/v1/documents`` (contract 2.9): documents across the collections of a namespace."""

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response

from schemas.api.document import (
    BatchGetRequest,
    BatchGetResponse,
    BatchListDocumentsRequest,
    BatchListDocumentsResponse,
    BatchListResult,
    DocumentChange,
    DocumentResponse,
    ListDocumentsResponse,
    NamespaceListDocumentsRequest,
)
from streams.api.collection_heads import collection_names
from streams.api.documents import document_response
from streams.api.expand import expanded
from streams.api.routes.document_lists import listed, wanted_page
from streams.api.routes.documents import VectorNames, changed_document, shown
from streams.api.stored import StoredDocument, named_documents, names_of
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import ApiError, conflict, not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest

_PATHS: Final = frozenset(("list", "list/batch", "batch-get"))
"""What no id of a document in a path can be: it is a path by itself."""
router = APIRouter(prefix="/v1/documents", tags=["documents"], route_class=JsonRoute)


async def _across(
    request: Request,
    connection: Connection,
    access: Access,
    page: PageRequest,
    body: NamespaceListDocumentsRequest,
) -> ListDocumentsResponse:
    names = await collection_names(connection, access.namespace_id)
    if body.named is None:
        ids, unknown = list(names), []
    else:
        known = {name: one for one, name in names.items()} | {one: one for one in names}
        ids = sorted({known[name] for name in body.named if name in known})
        unknown = [name for name in body.named if name not in known]
        if unknown and not ids:
            raise ApiError(
                404,
                f"Collections not found: {', '.join(name[:200] for name in unknown[:10])}",
                details={"resource": "collection", "id": unknown[0][:200]},
            )
    answer = await listed(connection, access, ids, body, wanted_page(request, page, body))
    return answer.model_copy(update={"unknown_collection_ids": unknown or None})


@router.post("/list")
async def list_namespace_documents(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: NamespaceListDocumentsRequest | None = None,
) -> ListDocumentsResponse:
    """Documents of all collections of the namespace, or of those named."""
    async with context.database.transaction(snapshot=True) as connection:
        return await _across(request, connection, access, page, body or NamespaceListDocumentsRequest())


@router.post("/list/batch")
async def list_documents_batch(
    request: Request, body: BatchListDocumentsRequest, access: AccessDep, context: ContextDep, page: PageDep
) -> BatchListDocumentsResponse:
    """Several lists at once, of one state of the database; an error of one is told in its place."""
    results: list[BatchListResult] = []
    async with context.database.transaction(snapshot=True) as connection:
        for query in body.queries:
            answer, error = None, None
            try:
                answer = await _across(request, connection, access, page, query.request)
            except ApiError as problem:
                error = problem.message
            results.append(BatchListResult(key=query.key, response=answer, error=error))
    return BatchListDocumentsResponse(results=results)


@router.post("/batch-get")
async def batch_get(body: BatchGetRequest, access: AccessDep, context: ContextDep) -> BatchGetResponse:
    """Documents by id, whichever collections of the namespace they are in."""
    async with context.database.transaction(snapshot=True) as connection:
        collections = await collection_names(connection, access.namespace_id)
        ids = list(dict.fromkeys(body.document_ids))
        names = await names_of(connection, access.namespace_id, ids, collections)
        found = await named_documents(connection, access.namespace_id, names)
    there = {name[1] for name in found}
    return BatchGetResponse(
        documents=[document_response(found[name], access.internal_id) for name in names if name in found],
        not_found=[one for one in ids if one not in there],
    )


async def _found(connection: Connection, namespace_id: str, document_id: str, *, vectors: bool) -> StoredDocument:
    """A document by id alone. Raises 404, 405 for what is a path of its own, and 409 where several collections
    have one of that id."""
    if document_id in _PATHS:
        raise HTTPException(405)
    collections = await collection_names(connection, namespace_id)
    names = await names_of(connection, namespace_id, [document_id], collections)
    found = list((await named_documents(connection, namespace_id, names, vectors=vectors)).values())
    if not found:
        raise not_found("document", document_id)
    if len(found) > 1:
        within = sorted(one.event.collection_id for one in found)
        raise conflict(
            f"{len(found)} collections have a document {document_id[:200]!r}: name one of them in the path",
            details={"collection_ids": within[:50]},
        )
    return found[0]


@router.get("/{document_id:path}")
async def get_namespace_document(
    document_id: str,
    access: AccessDep,
    context: ContextDep,
    return_presigned_urls: bool = False,
    return_vectors: bool = False,
    return_vector_names: VectorNames = None,
    expand: Annotated[str | None, Query(max_length=4_096)] = None,
) -> DocumentResponse:
    """A document by id, whichever collection of the namespace it is in."""
    more = shown(return_vectors, return_vector_names)
    async with context.database.transaction(snapshot=True) as connection:
        found = await _found(connection, access.namespace_id, document_id, vectors=more.reads_vectors)
        answer = document_response(found, access.internal_id, more)
        if expand:
            collections = await collection_names(connection, access.namespace_id)
            await expanded(connection, access, list(collections), [found], [answer], expand.split(","))
    return answer


async def _changed(
    document_id: str, body: DocumentChange, access: Access, context: Context, answer: Response
) -> DocumentResponse:
    async with context.database.connection() as connection:
        found = await _found(connection, access.namespace_id, document_id, vectors=False)
    return await changed_document(found.event.collection_id, document_id, body, access, context, answer)


@router.patch("/{document_id:path}")
async def patch_namespace_document(
    document_id: str, body: DocumentChange, access: AccessDep, context: ContextDep, answer: Response
) -> DocumentResponse:
    """Change some fields of a document, as in its collection."""
    return await _changed(document_id, body, access, context, answer)


@router.put("/{document_id:path}")
async def update_namespace_document(
    document_id: str, body: DocumentChange, access: AccessDep, context: ContextDep, answer: Response
) -> DocumentResponse:
    """Change a document; what is left out stays, as in PATCH."""
    return await _changed(document_id, body, access, context, answer)
