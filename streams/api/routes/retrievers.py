"""``/v1/retrievers``: definitions (contract 2.2). Executions are the query station's."""

from collections.abc import Sequence
from copy import deepcopy

from fastapi import APIRouter, Request, Response

from schemas.api.base import JsonObject
from schemas.api.document import DeletedResponse
from schemas.api.named import named_by_stages
from schemas.api.pages import ListRequest
from schemas.api.retriever import (
    CloneRetrieverRequest,
    CloneRetrieverResponse,
    CreateRetrieverRequest,
    ListRetrieversRequest,
    ListRetrieversResponse,
    PatchRetrieverRequest,
    PatchRetrieverResponse,
    RetrieverResponse,
)
from schemas.ids import new_id
from streams.api.asking import refuse_circle, refuse_unknown_features
from streams.api.attachments import alerts_of_retriever, check_retriever_change
from streams.api.listing import ListBodyDep, list_page
from streams.api.naming import refuse_used, with_ids
from streams.api.references import delete_needed, follow, with_references
from streams.api.retrievers import clone_request, new_body, patched_body, response
from streams.api.sizes import refuse_wrong_sizes
from streams.api.stages import stored_stages
from streams.api.store import change, require, require_name, save
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import conflict
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_of

router = APIRouter(prefix="/v1/retrievers", tags=["retrievers"], route_class=JsonRoute)


async def _collection_ids(connection: Connection, namespace_id: str, identifiers: Sequence[str]) -> list[str]:
    """Ids of collections given by id or name, each once."""
    found = [(await require(connection, "collection", namespace_id, item)).record.id for item in identifiers]
    return list(dict.fromkeys(found))


async def _with_ids(connection: Connection, namespace_id: str, stages: list[JsonObject]) -> list[JsonObject]:
    """Stages with the collections, retrievers and taxonomies that they name as ids."""
    resolved = deepcopy(stages)
    await with_ids(connection, namespace_id, named_by_stages(resolved))
    return resolved


@router.post("")
async def create_retriever(
    body: CreateRetrieverRequest, access: AccessDep, context: ContextDep, answer: Response
) -> RetrieverResponse:
    """Create a retriever; without collections it searches the whole namespace."""
    async with change(context, answer) as connection:
        return response(await _create(connection, access.namespace_id, body))


@router.post("/{retriever_id}/clone")
async def clone_retriever(
    retriever_id: str, body: CloneRetrieverRequest, access: AccessDep, context: ContextDep, answer: Response
) -> CloneRetrieverResponse:
    """Create a copy of a retriever under another name, with what the request has otherwise."""
    async with change(context, answer) as connection:
        source = await require(connection, "retriever", access.namespace_id, retriever_id)
        stored = await _create(connection, access.namespace_id, clone_request(source.body, body))
    return CloneRetrieverResponse(retriever=response(stored), source_retriever_id=source.record.id)


async def _create(connection: Connection, namespace_id: str, body: CreateRetrieverRequest) -> StoredDefinition:
    named = [*(body.collection_identifiers or ()), *(body.collection_ids or ())]
    await require_name(connection, "retriever", namespace_id, body.retriever_name, "retriever_name")
    collection_ids = await _collection_ids(connection, namespace_id, named)
    retriever_id = new_id("retriever")
    fields = new_body(body, retriever_id, collection_ids)
    fields["stages"] = await _with_ids(connection, namespace_id, fields["stages"])
    await refuse_unknown_features(connection, namespace_id, fields)
    await refuse_wrong_sizes(connection, namespace_id, fields)
    return await save(connection, "retriever", namespace_id, retriever_id, body.retriever_name, fields)


@router.get("/{retriever_id}")
async def get_retriever(retriever_id: str, access: AccessDep, context: ContextDep) -> RetrieverResponse:
    """A retriever by id or name."""
    async with context.database.connection() as connection:
        return response(await require(connection, "retriever", access.namespace_id, retriever_id))


@router.patch("/{retriever_id}")
async def patch_retriever(
    retriever_id: str, body: PatchRetrieverRequest, access: AccessDep, context: ContextDep, answer: Response
) -> PatchRetrieverResponse:
    """Change a retriever; every alert attached on ingest that asks it must still work."""
    return await with_references(
        context, lambda: _patched(retriever_id, body, access.namespace_id, context, answer)
    )


async def _patched(
    retriever_id: str, body: PatchRetrieverRequest, namespace_id: str, context: Context, answer: Response
) -> PatchRetrieverResponse:
    async with change(context, answer) as connection:
        stored = await require(connection, "retriever", namespace_id, retriever_id)
        if body.retriever_name is not None and body.retriever_name != stored.body["retriever_name"]:
            await require_name(connection, "retriever", namespace_id, body.retriever_name, "retriever_name")
        collection_ids = None
        if body.collection_identifiers is not None:
            collection_ids = await _collection_ids(connection, namespace_id, body.collection_identifiers)
        stages = None
        if body.stages is not None:
            stages = await _with_ids(connection, namespace_id, stored_stages(body.stages))
        changed = patched_body(stored.body, body, collection_ids, stages)
        await refuse_wrong_sizes(connection, namespace_id, changed)
        if stages is not None:
            await refuse_circle(connection, stored.record, stages)
        if stages is not None or collection_ids is not None:
            await refuse_unknown_features(connection, namespace_id, changed)
        name = changed["retriever_name"]
        stored = await save(connection, "retriever", namespace_id, stored.record.id, name, changed)
        await check_retriever_change(connection, stored)
        await follow(connection, namespace_id)
    return PatchRetrieverResponse(retriever=response(stored))


@router.delete("/{retriever_id}")
async def delete_retriever(
    retriever_id: str, access: AccessDep, context: ContextDep, answer: Response
) -> DeletedResponse:
    """Delete a retriever with its executions. One that alerts ask, or other definitions, is refused: they would
    fall silent or fail."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "retriever", namespace_id, retriever_id)
        if alerts := await alerts_of_retriever(connection, namespace_id, stored.record.id):
            names = ", ".join(repr(alert.body["name"]) for alert in alerts[:5])
            raise conflict(
                f"The retriever is asked by {len(alerts)} alert(s), among them {names}: delete those first",
                details={"alert_ids": [alert.record.id for alert in alerts[:50]]},
            )
        await refuse_used(connection, "retriever", stored)
        await delete_needed(connection, stored)
        await connection.execute(
            "DELETE FROM retriever_executions WHERE namespace_id = %s AND retriever_id = %s",
            (namespace_id, stored.record.id),
        )
    return DeletedResponse()


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListRetrieversResponse:
    async with context.database.transaction(snapshot=True) as connection:
        wanted = page_of(request, page, body)
        found = await list_page(connection, "retriever", access.namespace_id, wanted, body)
    return ListRetrieversResponse(
        results=[response(item) for item in found.results], total=found.total, pagination=found.pagination
    )


@router.post("/list")
async def list_retrievers(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ListRetrieversRequest | None = None,
) -> ListRetrieversResponse:
    """Retrievers, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_retrievers(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListBodyDep
) -> ListRetrieversResponse:
    """Retrievers, newest first."""
    return await _list(request, access, context, page, body)
