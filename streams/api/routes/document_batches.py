"""``/v1/collections/{collection}/documents/batch`` and ``/bulk`` (contract 2.9): many documents in one request."""

from fastapi import APIRouter, Response

from schemas.api.base import JsonObject
from schemas.api.document import (
    BatchDeleteRequest,
    BatchDeleteResponse,
    BatchUpdateRequest,
    BatchUpdateResponse,
    BulkUpdateRequest,
    BulkUpdateResponse,
)
from streams.api.document_batches import MAX_AT_ONCE, Asked, change_fitting, delete_each, update_each
from streams.api.document_writing import writable
from streams.runtime.database import Connection
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(
    prefix="/v1/collections/{collection_identifier}/documents", tags=["documents"], route_class=JsonRoute
)
_QUEUED = "The documents that fit are many: they are being changed by a task"


async def _asked(
    connection: Connection, access: Access, context: ContextDep, identifier: str, *, deleting: bool = False
) -> Asked:
    collection = await writable(connection, access.namespace_id, identifier, deleting=deleting)
    return Asked(access.namespace_id, collection, context.clock())


@router.post("/batch")
async def batch_update(
    collection_identifier: str,
    body: BatchUpdateRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> BatchUpdateResponse:
    """Change documents: each of ``updates`` for itself, or all that fit ``filters`` alike."""
    async with context.database.transaction() as connection:
        asked = await _asked(connection, access, context, collection_identifier)
        if body.updates is None:
            done = await change_fitting(connection, asked, body.filters, body.update_data, answer)
            if isinstance(done, str):
                return BatchUpdateResponse(
                    updated_count=0, results=[], task_id=done, status="PENDING", message=_QUEUED
                )
            return BatchUpdateResponse(updated_count=done, results=[])
        results = await update_each(connection, asked, body.updates, answer)
    updated = sum(result.success for result in results)
    return BatchUpdateResponse(updated_count=updated, failed_count=len(results) - updated, results=results)


@router.delete("/batch")
async def batch_delete(
    collection_identifier: str,
    body: BatchDeleteRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> BatchDeleteResponse:
    """Delete documents: those named, or all that fit ``filters``."""
    async with context.database.transaction() as connection:
        asked = await _asked(connection, access, context, collection_identifier, deleting=True)
        if body.document_ids is None:
            limits = {"max_rows_inline": MAX_AT_ONCE}
            done = await change_fitting(connection, asked, body.filters, None, answer)
            if isinstance(done, str):
                return BatchDeleteResponse(
                    deleted_count=None,
                    results=[],
                    task_id=done,
                    status="PENDING",
                    limits=limits,
                    message=_QUEUED,
                )
            return BatchDeleteResponse(deleted_count=done, results=[], limits=limits)
        results = await delete_each(connection, asked, body.document_ids, answer)
    deleted = sum(result.success for result in results)
    return BatchDeleteResponse(deleted_count=deleted, failed_count=len(results) - deleted, results=results)


@router.patch("/bulk")
async def bulk_update(
    collection_identifier: str,
    body: BulkUpdateRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> BulkUpdateResponse:
    """Change all documents that fit ``filters``, without filters all of the collection; many by a task."""
    update: JsonObject = body.update_data
    async with context.database.transaction() as connection:
        asked = await _asked(connection, access, context, collection_identifier)
        done = await change_fitting(connection, asked, body.filters, update, answer)
    if isinstance(done, str):
        return BulkUpdateResponse(updated_count=None, task_id=done, status="PENDING", message=_QUEUED)
    return BulkUpdateResponse(updated_count=done, message="Bulk update completed")
