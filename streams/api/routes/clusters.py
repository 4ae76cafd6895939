"""``/v1/clusters`` (contract 2.5): definitions with their newest run."""

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from schemas.api.cluster import (
    CanceledRunResponse,
    ClusterResponse,
    CreateClusterRequest,
    ExecuteClusterRequest,
    ListClustersRequest,
    ListClustersResponse,
    PatchClusterRequest,
    PatchClusterResponse,
)
from schemas.api.document import DeletedResponse
from schemas.api.pages import ListRequest
from schemas.api.task import TaskResponse
from schemas.ids import new_id
from streams.api.cluster_runs import add_auto_trigger, newest_runs, open_jobs, queue_run, run_of
from streams.api.clusters import check_enabled, new_body, patch_response, patched_body, response, run_config
from streams.api.listing import ListBodyDep, list_page
from streams.api.store import change, require, require_name, save
from streams.api.trigger_actions import resolve_action
from streams.api.trigger_store import set_status
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, delete_definition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import conflict, not_found, refused
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_of
from streams.runtime.job_end import cancel_job

router = APIRouter(prefix="/v1/clusters", tags=["clusters"], route_class=JsonRoute)


@router.post("")
async def create_cluster(
    body: CreateClusterRequest, access: AccessDep, context: ContextDep, answer: Response
) -> ClusterResponse:
    """Create a cluster; it runs when a trigger fires, or when it is executed."""
    namespace_id = access.namespace_id
    check_enabled(body)
    async with change(context, answer) as connection:
        if body.cluster_name is not None:
            await require_name(connection, "cluster", namespace_id, body.cluster_name, "cluster_name")
        collection_ids, source_ids = await _inputs(connection, namespace_id, body)
        cluster_id = new_id("cluster")
        fields = new_body(body, cluster_id, collection_ids)
        if source_ids:
            fields["source_cluster_ids"] = source_ids
        if body.auto_execute_on_batch:
            fields["auto_trigger_id"] = await add_auto_trigger(
                connection,
                access,
                cluster_id,
                body.auto_execute_min_documents,
                body.auto_execute_cooldown_seconds,
                collection_ids,
                context.clock(),
            )
        stored = await save(connection, "cluster", namespace_id, cluster_id, fields["cluster_name"], fields)
    return response(stored, None)


async def _inputs(
    connection: Connection, namespace_id: str, body: CreateClusterRequest
) -> tuple[list[str], list[str]]:
    """Ids of the collections to cluster and of the source clusters; without collections theirs are taken."""
    sources = [await _source(connection, namespace_id, item) for item in body.source_cluster_ids or ()]
    collections = [
        (await require(connection, "collection", namespace_id, item)).record.id
        for item in body.collection_ids or ()
    ]
    if not collections:
        collections = [item for source in sources for item in source.body["collection_ids"]]
    return list(dict.fromkeys(collections)), list(dict.fromkeys(source.record.id for source in sources))


async def _source(connection: Connection, namespace_id: str, identifier: str) -> StoredDefinition:
    source = await require(connection, "cluster", namespace_id, identifier)
    if source.body["cluster_type"] != "vector":
        raise conflict(f"{identifier} clusters attributes and has no centroids", "body", "source_cluster_ids")
    return source


@router.get("/{cluster_identifier}")
async def get_cluster(cluster_identifier: str, access: AccessDep, context: ContextDep) -> ClusterResponse:
    """A cluster by id or name."""
    async with context.database.connection() as connection:
        stored = await require(connection, "cluster", access.namespace_id, cluster_identifier)
        runs = await newest_runs(connection, [stored.record.id])
    return response(stored, runs.get(stored.record.id))


@router.patch("/{cluster_identifier}")
async def patch_cluster(
    cluster_identifier: str, body: PatchClusterRequest, access: AccessDep, context: ContextDep, answer: Response
) -> PatchClusterResponse:
    """Change a cluster; the next run uses it."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "cluster", namespace_id, cluster_identifier)
        if body.cluster_name is not None and body.cluster_name != stored.body["cluster_name"]:
            await require_name(connection, "cluster", namespace_id, body.cluster_name, "cluster_name")
        if body.source_cluster_ids is not None:
            sources = [await _source(connection, namespace_id, item) for item in body.source_cluster_ids]
            body.source_cluster_ids = list(dict.fromkeys(source.record.id for source in sources))
        try:
            changed = patched_body(stored.body, body)
        except ValidationError as error:
            raise refused(error, "body") from error
        cluster_id = stored.record.id
        stored = await save(connection, "cluster", namespace_id, cluster_id, changed["cluster_name"], changed)
        runs = await newest_runs(connection, [cluster_id])
    return patch_response(stored, runs.get(cluster_id))


@router.delete("/{cluster_id}")
async def delete_cluster(
    cluster_id: str,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
    cascade_output_collections: bool = False,
) -> DeletedResponse:
    """Delete a cluster, its runs and the trigger it made for itself. Runs that wait or go on are canceled. No
    collections are made for its results, so there is nothing to cascade to."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "cluster", namespace_id, cluster_id)
        await delete_definition(connection, "cluster", namespace_id, stored.record.id)
        # Jobs before their trigger, as act takes them.
        for job_id in await open_jobs(connection, stored.record.id):
            await cancel_job(connection, job_id, context.clock(), "its cluster was deleted")
        if (trigger_id := stored.body.get("auto_trigger_id")) is not None:
            trigger = await require(connection, "trigger", namespace_id, trigger_id, by_id=True)
            await set_status(connection, trigger, "disabled", context.clock())
        await connection.execute(
            "DELETE FROM cluster_runs WHERE namespace_id = %s AND cluster_id = %s",
            (namespace_id, stored.record.id),
        )
    return DeletedResponse()


@router.post("/{cluster_id}/execute")
async def execute_cluster(
    cluster_id: str,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
    body: ExecuteClusterRequest | None = None,
) -> TaskResponse:
    """Run a cluster now. The task, and the execution it names, tell how far it is and what came of it."""
    async with change(context, answer) as connection:
        stored = await require(connection, "cluster", access.namespace_id, cluster_id)
        config = run_config(body or ExecuteClusterRequest(), stored)
        config, _ = await resolve_action(connection, access.namespace_id, "cluster", config)
        return await queue_run(connection, access.namespace_id, stored.record.id, config, context.clock())


@router.post("/{cluster_id}/executions/{run_id}/cancel")
async def cancel_execution(
    cluster_id: str, run_id: str, access: AccessDep, context: ContextDep
) -> CanceledRunResponse:
    """Cancel a run that waits or goes on. Idempotent: one that has ended is left as it is, and told so."""
    async with context.database.transaction() as connection:
        stored = await require(connection, "cluster", access.namespace_id, cluster_id)
        if (found := await run_of(connection, stored.record.id, run_id)) is None:
            raise not_found("cluster execution", run_id)
        job_id, status = found
        canceled = await cancel_job(connection, job_id, context.clock(), "canceled on request")
    return CanceledRunResponse(
        run_id=run_id,
        cluster_id=stored.record.id,
        task_id=job_id,
        status="canceled" if canceled else status,
        canceled=canceled,
    )


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListClustersResponse:
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "cluster", access.namespace_id, page_of(request, page, body), body)
        runs = await newest_runs(connection, [item.record.id for item in found.results])
    return ListClustersResponse(
        results=[response(item, runs.get(item.record.id)) for item in found.results],
        pagination=found.pagination,
        total_count=found.total,
    )


@router.post("/list")
async def list_clusters(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ListClustersRequest | None = None,
) -> ListClustersResponse:
    """Clusters, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_clusters(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListBodyDep
) -> ListClustersResponse:
    """Clusters, newest first."""
    return await _list(request, access, context, page, body)
