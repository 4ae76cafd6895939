"""``/v1/collections`` (contract 2.8)."""

from typing import Annotated, Final

import psycopg
import structlog
from fastapi import APIRouter, Depends, Request, Response

from schemas.api.collection import (
    CloneCollectionRequest,
    CloneCollectionResponse,
    CollectionResponse,
    CreateCollectionRequest,
    ListCollectionsRequest,
    ListCollectionsResponse,
    PatchCollectionRequest,
)
from schemas.api.collection_run import TriggerCollectionRequest, TriggerCollectionResponse
from schemas.api.document import DeletedResponse
from schemas.api.pages import ListRequest
from schemas.ids import new_id
from streams.api.attachments import attach
from streams.api.automation import Automation
from streams.api.collection_runs import queue_collection_run
from streams.api.collections import check_enabled, clone_request, new_body, patched_body, response
from streams.api.counts import document_counts
from streams.api.listing import list_page
from streams.api.naming import refuse_used
from streams.api.references import follow, refuse_looked_up, with_references
from streams.api.store import change, require, require_name, save
from streams.runtime.agent import Context
from streams.runtime.clearing import clear
from streams.runtime.definitions import delete_definition
from streams.runtime.erasure import WHOLE, Erased, note_erased
from streams.runtime.feeds import drain
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import conflict, not_found
from streams.runtime.http.json_route import BodyOfGet, JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_of

log = structlog.get_logger(__name__)

_CLEARED_SECONDS: Final = 3.0
"""How long a request deletes rows of what it deleted."""

router = APIRouter(prefix="/v1/collections", tags=["collections"], route_class=JsonRoute)


@router.post("")
async def create_collection(
    body: CreateCollectionRequest, access: AccessDep, context: ContextDep, answer: Response
) -> CollectionResponse:
    """Create a collection."""
    check_enabled(body)
    return await with_references(context, lambda: _created(body, access, context, answer))


@router.post("/{collection_identifier}/clone")
async def clone_collection(
    collection_identifier: str,
    body: CloneCollectionRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> CloneCollectionResponse:
    """Create a copy of a collection under another name, with what the request has otherwise. Alerts are attached
    to the copy as well and its schedule is its own; its documents do not come along."""

    async def cloned() -> CloneCollectionResponse:
        async with context.database.connection() as connection:
            source = await require(connection, "collection", access.namespace_id, collection_identifier)
        request = clone_request(source.body, body)
        check_enabled(request)
        copy = await _created(request, access, context, answer)
        return CloneCollectionResponse(collection=copy, source_collection_id=source.record.id)

    return await with_references(context, cloned)


async def _created(
    body: CreateCollectionRequest, access: Access, context: Context, answer: Response
) -> CollectionResponse:
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        await require_name(connection, "collection", namespace_id, body.collection_name, "collection_name")
        collection_id = new_id("collection")
        fields = new_body(body, collection_id)
        if body.alert_applications:
            fields["alert_applications"] = await attach(connection, namespace_id, fields, body.alert_applications)
        if body.cluster_applications:
            raise conflict(
                "A new collection is in no cluster yet: create the cluster, then PATCH the collection",
                *("body", "cluster_applications"),
            )
        # The trigger of a schedule names the collection, so that is there first.
        stored = await save(connection, "collection", namespace_id, collection_id, body.collection_name, fields)
        if body.schedule is not None:
            fields |= await Automation(connection, access, fields, context.clock()).scheduled(body.schedule)
            stored = await save(
                connection, "collection", namespace_id, collection_id, body.collection_name, fields
            )
        await follow(connection, namespace_id)
    return response(stored, 0)


@router.post("/{collection_identifier}/trigger", status_code=202)
async def trigger_collection(
    collection_identifier: str,
    access: AccessDep,
    context: ContextDep,
    body: TriggerCollectionRequest | None = None,
) -> TriggerCollectionResponse:
    """Write the stored documents of what feeds a collection through the stream into it; of one that nothing feeds,
    its own once more."""
    request = body or TriggerCollectionRequest()
    async with context.database.transaction() as connection:
        collection = await require(connection, "collection", access.namespace_id, collection_identifier)
        if not collection.body["enabled"]:
            raise conflict("The collection is disabled")
        return await queue_collection_run(
            connection, access.namespace_id, collection.record.id, request, context.clock()
        )


@router.get("/{collection_identifier}")
async def get_collection(collection_identifier: str, access: AccessDep, context: ContextDep) -> CollectionResponse:
    """A collection by id or name."""
    async with context.database.connection() as connection:
        stored = await require(connection, "collection", access.namespace_id, collection_identifier)
        counts = await document_counts(connection, access.namespace_id, [stored.record.id])
    return response(stored, counts[stored.record.id])


@router.patch("/{collection_identifier}")
async def patch_collection(
    collection_identifier: str,
    body: PatchCollectionRequest,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
) -> CollectionResponse:
    """Change a collection; ``alert_applications`` replaces every attachment."""
    check_enabled(body)
    return await with_references(context, lambda: _patched(collection_identifier, body, access, context, answer))


async def _patched(
    collection_identifier: str,
    body: PatchCollectionRequest,
    access: Access,
    context: Context,
    answer: Response,
) -> CollectionResponse:
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "collection", namespace_id, collection_identifier)
        collection_id = stored.record.id
        if body.collection_name is not None and body.collection_name != stored.body["collection_name"]:
            await require_name(connection, "collection", namespace_id, body.collection_name, "collection_name")
        applications = None
        if body.alert_applications is not None:
            applications = await attach(connection, namespace_id, stored.body, body.alert_applications)
        changed = patched_body(stored.body, body, applications)
        automation = Automation(connection, access, stored.body, context.clock())
        if "schedule" in body.model_fields_set:
            changed |= await automation.scheduled(body.schedule)
        if body.cluster_applications is not None:
            changed |= await automation.clustered(body.cluster_applications)
        name = changed["collection_name"]
        stored = await save(connection, "collection", namespace_id, collection_id, name, changed)
        await follow(connection, namespace_id)
        counts = await document_counts(connection, namespace_id, [collection_id])
    return response(stored, counts[collection_id])


@router.delete("/{collection_identifier}")
async def delete_collection(
    collection_identifier: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete a collection with its documents, counts and sketches. One that alerts look things up in is refused:
    they would fall silent; so is one that taxonomies match documents against. It is gone when this answers; of a
    large one the rows go later, by and by."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "collection", namespace_id, collection_identifier)
        await refuse_looked_up(connection, namespace_id, stored)
        await refuse_used(connection, "collection", stored)
        await delete_definition(connection, "collection", namespace_id, stored.record.id)
        await Automation(connection, access, stored.body, context.clock()).ended()
        await follow(connection, namespace_id)
        await drain(connection, namespace_id, stored.record.id)
        await note_erased(connection, [Erased(namespace_id, WHOLE, stored.record.id, context.clock())])
    try:
        await clear(context.database, namespace_id, stored.record.id, _CLEARED_SECONDS)
    except psycopg.Error as error:
        # The collection is gone; the sweep deletes what is left.
        log.warning("collection_not_cleared", collection=stored.record.id, error=repr(error))
    return DeletedResponse()


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListCollectionsResponse:
    namespace_id = access.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "collection", namespace_id, page_of(request, page, body), body)
        counts = await document_counts(connection, namespace_id, [item.record.id for item in found.results])
    return ListCollectionsResponse(
        results=[response(item, counts[item.record.id]) for item in found.results],
        pagination=found.pagination,
        total_count=found.total,
    )


@router.post("/list")
async def list_collections(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ListCollectionsRequest | None = None,
) -> ListCollectionsResponse:
    """Collections, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_collections(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: Annotated[ListCollectionsRequest, Depends(BodyOfGet(ListCollectionsRequest))],
    search: str | None = None,
    namespace_id: str | None = None,
) -> ListCollectionsResponse:
    """Collections, newest first; ``namespace_id``, if given, must be the request's namespace."""
    if namespace_id is not None and namespace_id != access.namespace_id:
        raise not_found("namespace", namespace_id)
    asked = body if search is None else body.model_copy(update={"search": search})
    return await _list(request, access, context, page, asked)
