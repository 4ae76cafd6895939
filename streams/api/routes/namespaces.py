"""``/v1/namespaces`` (contract 2.7): only the key counts, a namespace header is ignored."""

import secrets
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from psycopg.types.json import Jsonb

from schemas.api.namespace import (
    CreateNamespaceRequest,
    ListNamespacesResponse,
    NamespaceResponse,
    PatchNamespaceRequest,
)
from schemas.api.pages import ListRequest
from schemas.api.task import TaskResponse
from schemas.events.definition import Kind
from schemas.ids import new_id
from streams.api.counts import namespace_counts
from streams.api.listing import list_page, page_of
from streams.api.namespaces import new_body, patched_body, response
from streams.api.store import change, require, require_name, save
from streams.api.tasks import task_response
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, delete_definition, list_definitions
from streams.runtime.feeds import retract
from streams.runtime.http.access import Caller, CallerDep, ContextDep
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest
from streams.runtime.job_end import cancel_job

router = APIRouter(prefix="/v1/namespaces", tags=["namespaces"], route_class=JsonRoute)

_CONTENT: tuple[Kind, ...] = (
    "trigger",
    "cluster_trigger",
    "alert",
    "cluster",
    "taxonomy",
    "retriever",
    "collection",
)
_OWNED = (
    "documents",
    "document_vectors",
    "collection_counters",
    "drift_sketches",
    "drift_seeds",
    "trigger_state",
    "secrets",
    "alert_notify_state",
    "alert_sweeps",
    "alert_windows",
    "alert_window_buckets",
    "alert_window_begun",
    "alert_window_positions",
    "alert_executions",
    "alert_execution_counts",
    "retriever_executions",
    "cluster_runs",
)
"""Tables whose rows go with their namespace."""


async def _entered(connection: Connection, caller: Caller, identifier: str) -> StoredDefinition:
    """A namespace the key reaches; another answers like one that is not there."""
    stored = await require(connection, "namespace", "", identifier)
    if not caller.may_enter(stored.record.id):
        raise not_found("namespace", identifier)
    return stored


def _unrestricted(caller: Caller) -> None:
    if caller.namespace_ids is not None:
        raise ApiError(403, "This key is restricted to its namespaces and cannot create or delete any")


async def _shown(connection: Connection, found: Sequence[StoredDefinition]) -> list[NamespaceResponse]:
    counts = await namespace_counts(connection, [item.record.id for item in found])
    return [response(item, *counts[item.record.id]) for item in found]


@router.post("")
async def create_namespace(
    body: CreateNamespaceRequest, caller: CallerDep, context: ContextDep, answer: Response
) -> NamespaceResponse:
    """Create a namespace."""
    _unrestricted(caller)
    async with change(context, answer) as connection:
        await require_name(connection, "namespace", "", body.namespace_name, "namespace_name")
        namespace_id = body.namespace_id or new_id("namespace")
        used = await connection.execute(
            "SELECT 1 FROM definitions WHERE kind = 'namespace' AND id = %s", (namespace_id,)
        )
        if await used.fetchone() is not None:
            raise ApiError(409, f"The namespace id {namespace_id!r} is or was in use")
        fields = new_body(body, namespace_id)
        stored = await save(connection, "namespace", "", namespace_id, body.namespace_name, fields)
    return response(stored, 0, 0)


@router.get("/{namespace_identifier}")
async def get_namespace(namespace_identifier: str, caller: CallerDep, context: ContextDep) -> NamespaceResponse:
    """A namespace by id or name."""
    async with context.database.connection() as connection:
        stored = await _entered(connection, caller, namespace_identifier)
        return (await _shown(connection, [stored]))[0]


async def _patch(
    identifier: str, body: PatchNamespaceRequest, caller: Caller, context: Context, answer: Response
) -> NamespaceResponse:
    async with change(context, answer) as connection:
        stored = await _entered(connection, caller, identifier)
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
    is always the one of requests that name none. Done when this answers; the task says so."""
    _unrestricted(caller)
    async with change(context, answer) as connection:
        stored = await _entered(connection, caller, namespace_identifier)
        namespace_id = stored.record.id
        if context.settings.namespace in (namespace_id, stored.body["namespace_name"]):
            raise ApiError(400, "This is the namespace of requests that name none; it cannot be deleted")
        if not force and await list_definitions(connection, "collection", namespace_id):
            raise ApiError(400, "The namespace holds collections; send ?force=true to delete them with it")
        # All jobs before their triggers, as act takes them; a running action writes nothing more from here on.
        open_jobs = await connection.execute(
            "SELECT job_id FROM jobs WHERE namespace_id = %s AND status IN ('pending', 'processing') ORDER BY 1"
            " FOR UPDATE",
            (namespace_id,),
        )
        for (job_id,) in await open_jobs.fetchall():
            await cancel_job(connection, job_id, context.clock(), "its namespace was deleted")
        await retract(connection, namespace_id)
        for kind in _CONTENT:
            for item in await list_definitions(connection, kind, namespace_id):
                await delete_definition(connection, kind, namespace_id, item.record.id)
        for table in _OWNED:
            await connection.execute(f"DELETE FROM {table} WHERE namespace_id = %s".encode(), (namespace_id,))
        await delete_definition(connection, "namespace", "", namespace_id)
        task_id = f"task_{secrets.token_hex(12)}"
        now = context.clock()
        await connection.execute(
            "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
            " triggered_at, status, started_at, finished_at)"
            " VALUES (%s, '', %s, 'namespace', 'namespace_delete', %s, %s, %s, 'completed', %s, %s)",
            (task_id, namespace_id, Jsonb({}), now, now, now, now),
        )
    return task_response(task_id, "namespace_delete", "completed", None, {"namespace_id": namespace_id}, None)


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
    request: Request, caller: CallerDep, context: ContextDep, page: PageDep, body: ListRequest | None = None
) -> ListNamespacesResponse:
    """The namespaces the key reaches, newest first."""
    return await _list(request, caller, context, page, body or ListRequest())


@router.get("")
async def get_namespaces(
    request: Request, caller: CallerDep, context: ContextDep, page: PageDep, search: str | None = None
) -> ListNamespacesResponse:
    """The namespaces the key reaches, newest first."""
    return await _list(request, caller, context, page, ListRequest(search=search))
