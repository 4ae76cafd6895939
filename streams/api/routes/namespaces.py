"""``/v1/namespaces`` (contract 2.7): only the key counts, a namespace header is ignored."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from schemas.api.base import JsonObject
from schemas.api.namespace import (
    CreateNamespaceRequest,
    CreateStandaloneRequest,
    ListNamespacesRequest,
    ListNamespacesResponse,
    NamespaceResponse,
    PatchNamespaceRequest,
    StandaloneResponse,
)
from schemas.api.pages import ListRequest
from schemas.api.task import TaskResponse
from schemas.ids import new_id
from streams.api.counts import namespace_counts
from streams.api.listing import list_page
from streams.api.namespace_ends import ACTION, end_namespace
from streams.api.namespaces import new_body, patched_body, response
from streams.api.store import change, require, require_name, save
from streams.api.tasks import task_response
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, list_definitions
from streams.runtime.http.access import Caller, CallerDep, ContextDep
from streams.runtime.http.errors import ApiError, conflict, not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_of

router = APIRouter(prefix="/v1/namespaces", tags=["namespaces"], route_class=JsonRoute)
_STANDALONE = ("description", "vector_configs", "payload_indexes")


async def entered(connection: Connection, caller: Caller, identifier: str) -> StoredDefinition:
    """A namespace the key reaches; another answers like one that is not there."""
    stored = await require(connection, "namespace", "", identifier)
    if not caller.may_enter(stored.record.id):
        raise not_found("namespace", identifier)
    return stored


async def _shown(connection: Connection, found: Sequence[StoredDefinition]) -> list[NamespaceResponse]:
    counts = await namespace_counts(connection, [item.record.id for item in found])
    return [response(item, *counts[item.record.id]) for item in found]


@router.post("")
async def create_namespace(
    body: CreateNamespaceRequest, caller: CallerDep, context: ContextDep, answer: Response
) -> NamespaceResponse:
    """Create a namespace."""
    namespace_id = body.namespace_id or new_id("namespace")
    stored = await _create(namespace_id, body.namespace_name, new_body(body), caller, context, answer)
    return response(stored, 0, 0)


async def _create(
    namespace_id: str, name: str, fields: JsonObject, caller: Caller, context: Context, answer: Response
) -> StoredDefinition:
    caller.require_server()
    async with change(context, answer) as connection:
        await require_name(connection, "namespace", "", name, "namespace_name")
        used = await connection.execute(
            "SELECT 1 FROM definitions WHERE kind = 'namespace' AND (id = %s OR (id = %s AND deleted_at IS NULL)"
            " OR (name = %s AND deleted_at IS NULL))",
            (namespace_id, name, namespace_id),
        )
        if await used.fetchone() is not None:
            raise ApiError(409, f"The namespace id {namespace_id!r} is or was in use", type="AlreadyExistsError")
        body = {"namespace_id": namespace_id, "namespace_name": name, **fields}
        return await save(connection, "namespace", "", namespace_id, name, body)


@router.post("/standalone")
async def create_standalone_namespace(
    body: CreateStandaloneRequest, caller: CallerDep, context: ContextDep, answer: Response
) -> StandaloneResponse:
    """Create a namespace for vectors of the caller's own."""
    namespace_id = body.namespace_id or new_id("namespace")
    name = body.namespace_name or namespace_id[:64]
    given = body.filled()
    fields = {key: given[key] for key in _STANDALONE if key in given}
    stored = await _create(namespace_id, name, {**fields, "mode": "standalone"}, caller, context, answer)
    return StandaloneResponse(
        namespace_id=namespace_id, namespace_name=name, vector_configs=stored.body.get("vector_configs")
    )


@router.get("/{namespace_identifier}")
async def get_namespace(namespace_identifier: str, caller: CallerDep, context: ContextDep) -> NamespaceResponse:
    """A namespace by id or name."""
    async with context.database.connection() as connection:
        stored = await entered(connection, caller, namespace_identifier)
        return (await _shown(connection, [stored]))[0]


async def _patch(
    identifier: str, body: PatchNamespaceRequest, caller: Caller, context: Context, answer: Response
) -> NamespaceResponse:
    async with change(context, answer) as connection:
        stored = await entered(connection, caller, identifier)
        changed = patched_body(stored.body, body)
        name = changed["namespace_name"]
        if name != stored.body["namespace_name"]:
            await require_name(connection, "namespace", "", name, "namespace_name")
        stored = await save(connection, "namespace", "", stored.record.id, name, changed)
        return (await _shown(connection, [stored]))[0]


@router.patch("/{namespace_identifier}")
async def patch_namespace(
    namespace_identifier: str,
    body: PatchNamespaceRequest,
    caller: CallerDep,
    context: ContextDep,
    answer: Response,
) -> NamespaceResponse:
    """Change a namespace."""
    return await _patch(namespace_identifier, body, caller, context, answer)


@router.put("/{namespace_identifier}")
async def update_namespace(
    namespace_identifier: str,
    body: PatchNamespaceRequest,
    caller: CallerDep,
    context: ContextDep,
    answer: Response,
) -> NamespaceResponse:
    """Change a namespace; what is left out stays, as in PATCH."""
    return await _patch(namespace_identifier, body, caller, context, answer)


@router.delete("/{namespace_identifier}")
async def delete_namespace(
    namespace_identifier: str, caller: CallerDep, context: ContextDep, answer: Response, force: bool = False
) -> TaskResponse:
    """Delete a namespace with everything in it. Without ``force`` one that holds collections is refused, and so
    is always the one of requests that name none. Nobody enters it once this answers; what it held is deleted by
    the task."""
    caller.require_server()
    async with change(context, answer) as connection:
        stored = await entered(connection, caller, namespace_identifier)
        namespace_id = stored.record.id
        if context.settings.namespace in (namespace_id, stored.body["namespace_name"]):
            raise conflict("This is the namespace of requests that name none; it cannot be deleted")
        if not force and await list_definitions(connection, "collection", namespace_id):
            raise conflict("The namespace holds collections; send ?force=true to delete them with it")
        task_id = await end_namespace(connection, stored, context.clock())
    return task_response(task_id, ACTION, "pending", None, {"namespace_id": namespace_id}, None)


async def _list(
    request: Request, caller: Caller, context: Context, page: PageRequest, body: ListRequest
) -> ListNamespacesResponse:
    async with context.database.transaction(snapshot=True) as connection:
        wanted = page_of(request, page, body)
        found = await list_page(connection, "namespace", "", wanted, body, ids=caller.namespace_ids)
        results = await _shown(connection, found.results)
    return ListNamespacesResponse(results=results, pagination=found.pagination, total_count=found.total)


@router.post("/list")
async def list_namespaces(
    request: Request,
    caller: CallerDep,
    context: ContextDep,
    page: PageDep,
    body: ListNamespacesRequest | None = None,
) -> ListNamespacesResponse:
    """The namespaces the key reaches, newest first."""
    return await _list(request, caller, context, page, body or ListRequest())


@router.get("")
async def get_namespaces(
    request: Request, caller: CallerDep, context: ContextDep, page: PageDep, search: str | None = None
) -> ListNamespacesResponse:
    """The namespaces the key reaches, newest first."""
    return await _list(request, caller, context, page, ListRequest(search=search))
