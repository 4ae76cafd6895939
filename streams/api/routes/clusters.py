"""``/v1/clusters`` (contract 2.5): definitions with their newest run."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from psycopg.rows import class_row
from pydantic import ValidationError

from schemas.api.base import first_problem
from schemas.api.cluster import (
    ClusterResponse,
    CreateClusterRequest,
    ListClustersResponse,
    PatchClusterRequest,
    PatchClusterResponse,
)
from schemas.api.document import DeletedResponse
from schemas.api.pages import ListRequest
from schemas.ids import new_id
from streams.api.clusters import LastRun, check_enabled, new_body, patch_response, patched_body, response
from streams.api.listing import list_page, page_of
from streams.api.store import change, require, require_name, save
from streams.runtime.database import Connection
from streams.runtime.definitions import delete_definition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import invalid
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest

router = APIRouter(prefix="/v1/clusters", tags=["clusters"], route_class=JsonRoute)


async def _runs(connection: Connection, cluster_ids: Sequence[str]) -> dict[str, LastRun]:
    """The newest run of each cluster that ever ran."""
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SELECT DISTINCT ON (cluster_id) cluster_id, run_id FROM cluster_runs WHERE cluster_id = ANY(%s)"
            " ORDER BY cluster_id, created_at DESC",
            (list(cluster_ids),),
        )
        newest = {run_id: cluster_id for cluster_id, run_id in await cursor.fetchall()}
    async with connection.cursor(row_factory=class_row(LastRun)) as rows:
        await rows.execute(
            "SELECT run_id, job_id, status, num_clusters, num_points, created_at FROM cluster_runs"
            " WHERE run_id = ANY(%s)",
            (list(newest),),
        )
        return {newest[run.run_id]: run for run in await rows.fetchall()}


@router.post("")
async def create_cluster(
    body: CreateClusterRequest, access: AccessDep, context: ContextDep, answer: Response
) -> ClusterResponse:
    """Create a cluster; it runs when a trigger fires."""
    namespace_id = access.namespace_id
    check_enabled(body)
    async with change(context, answer) as connection:
        if body.cluster_name is not None:
            await require_name(connection, "cluster", namespace_id, body.cluster_name, "cluster_name")
        found = [
            (await require(connection, "collection", namespace_id, item)).record.id
            for item in body.collection_ids or ()
        ]
        cluster_id = new_id("cluster")
        fields = new_body(body, cluster_id, list(dict.fromkeys(found)))
        stored = await save(connection, "cluster", namespace_id, cluster_id, fields["cluster_name"], fields)
    return response(stored, None)


@router.get("/{cluster_identifier}")
async def get_cluster(cluster_identifier: str, access: AccessDep, context: ContextDep) -> ClusterResponse:
    """A cluster by id or name."""
    async with context.database.connection() as connection:
        stored = await require(connection, "cluster", access.namespace_id, cluster_identifier)
        runs = await _runs(connection, [stored.record.id])
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
        try:
            changed = patched_body(stored.body, body)
        except ValidationError as error:
            where, message = first_problem(error)
            raise invalid(message, "body", *where) from error
        cluster_id = stored.record.id
        stored = await save(connection, "cluster", namespace_id, cluster_id, changed["cluster_name"], changed)
        runs = await _runs(connection, [cluster_id])
    return patch_response(stored, runs.get(cluster_id))


@router.delete("/{cluster_id}")
async def delete_cluster(
    cluster_id: str,
    access: AccessDep,
    context: ContextDep,
    answer: Response,
    cascade_output_collections: bool = False,
) -> DeletedResponse:
    """Delete a cluster and its runs. Output collections are never made, so there is nothing to cascade to."""
    namespace_id = access.namespace_id
    async with change(context, answer) as connection:
        stored = await require(connection, "cluster", namespace_id, cluster_id)
        await delete_definition(connection, "cluster", namespace_id, stored.record.id)
        await connection.execute(
            "DELETE FROM cluster_runs WHERE namespace_id = %s AND cluster_id = %s",
            (namespace_id, stored.record.id),
        )
    return DeletedResponse()


async def _list(
    request: Request, access: AccessDep, context: ContextDep, page: PageRequest, body: ListRequest
) -> ListClustersResponse:
    async with context.database.transaction(snapshot=True) as connection:
        found = await list_page(connection, "cluster", access.namespace_id, page_of(request, page, body), body)
        runs = await _runs(connection, [item.record.id for item in found.results])
    return ListClustersResponse(
        results=[response(item, runs.get(item.record.id)) for item in found.results],
        pagination=found.pagination,
        total_count=found.total,
    )


@router.post("/list")
async def list_clusters(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, body: ListRequest | None = None
) -> ListClustersResponse:
    """Clusters, newest first."""
    return await _list(request, access, context, page, body or ListRequest())


@router.get("")
async def get_clusters(
    request: Request, access: AccessDep, context: ContextDep, page: PageDep, search: str | None = None
) -> ListClustersResponse:
    """Clusters, newest first."""
    return await _list(request, access, context, page, ListRequest(search=search))
