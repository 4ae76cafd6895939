"""Runs of clusters and their groups (contract 2.5, 4.10)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from schemas.api.base import JsonObject
from schemas.api.cluster_run import ClusterExecutionResult, ClusterExecutionsResponse, ClusterGroupsResponse
from schemas.times import format_instant, parse_instant
from streams.query.compose import clusters as compose
from streams.query.compose.rows import ClusterRun
from streams.query.reads import clusters
from streams.query.routes.answer import answer, known
from streams.query.routes.bodies import ClusterRunListRequest
from streams.query.routes.runs import asked_of, refuse_more_than
from streams.retrieval.sifting import Item
from streams.runtime.database import Connection
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, bad_cursor, page_envelope

MOST_SIFTED: Final = 1_000
"""Runs that filters, sorts and search look through at most: each with what it knows of its clusters."""


async def latest(
    cluster_identifier: str, access: AccessDep, context: ContextDep, include_vectors: bool = False
) -> Response:
    """The newest run of a cluster. 404 when there is none."""
    async with context.database.transaction(snapshot=True) as connection:
        run = await _newest(connection, access.namespace_id, cluster_identifier)
        return answer(compose.result(run, include_vectors=include_vectors))


async def one(
    cluster_identifier: str,
    run_id: str,
    access: AccessDep,
    context: ContextDep,
    include_vectors: bool = False,
) -> Response:
    """One run of a cluster."""
    async with context.database.transaction(snapshot=True) as connection:
        cluster = await _cluster(connection, access.namespace_id, cluster_identifier)
        run = await clusters.run(connection, access.namespace_id, cluster, run_id)
        if run is None:
            raise not_found("cluster execution", run_id)
        return answer(compose.result(run, include_vectors=include_vectors))


async def list_runs(
    cluster_identifier: str,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ClusterRunListRequest | None = None,
    include_vectors: bool = False,
) -> Response:
    """Runs of a cluster, newest first unless sorted otherwise."""
    body = body or ClusterRunListRequest()
    if body.status is not None:
        body = body.model_copy(update={"filters": _and_status(body.filters, body.status)})
    asked = asked_of(body, ClusterExecutionResult)
    async with context.database.transaction(snapshot=True) as connection:
        cluster = await _cluster(connection, access.namespace_id, cluster_identifier)
        if asked is not None:
            total = await clusters.count(connection, access.namespace_id, cluster)
            refuse_more_than(MOST_SIFTED, total, "runs")
            every = await clusters.newest(connection, access.namespace_id, cluster, limit=MOST_SIFTED)
            results, following, found = asked.page([_item(run, include_vectors) for run in every], page)
            return _listed(results, page, found, following)
        before = _parse_cursor(page.cursor)
        runs = await clusters.newest(
            connection,
            access.namespace_id,
            cluster,
            limit=page.limit + 1,
            offset=0 if before else page.offset,
            before=before,
        )
        total = await clusters.count(connection, access.namespace_id, cluster)
        shown = runs[: page.limit]
        last = shown[-1] if len(runs) > page.limit else None
        behind = None if last is None else (format_instant(last.created_at), last.run_id)
        return _listed(
            [compose.result(run, include_vectors=include_vectors) for run in shown], page, total, behind
        )


def _and_status(filters: JsonObject | None, status: str) -> JsonObject:
    wanted = {"field": "status", "operator": "eq", "value": status}
    return {"AND": [wanted, *([filters] if filters else [])]}


def _item(run: ClusterRun, include_vectors: bool) -> tuple[Item[dict[str, Any]], Sequence[str]]:
    """A run as lists sift it: searched by its id, its error and what its clusters are called."""
    result = compose.result(run, include_vectors=include_vectors)
    instants = {"created_at": run.created_at}
    if run.completed_at is not None:
        instants["completed_at"] = run.completed_at
    said = [(centroid.get("label"), centroid.get("summary")) for centroid in result["centroids"] or ()]
    texts = [run.run_id, result["error_message"], *(text for pair in said for text in pair)]
    return Item(run.run_id, result, result, instants), [text for text in texts if text]


def _listed(
    results: list[dict[str, Any]], page: PageRequest, total: int, following: tuple[Any, ...] | None
) -> Response:
    return answer({"results": results, "pagination": page_envelope(page, total, following), "total_count": total})


async def groups(cluster_identifier: str, access: AccessDep, context: ContextDep) -> Response:
    """The groups of the newest completed run of a cluster."""
    async with context.database.transaction(snapshot=True) as connection:
        cluster = await _cluster(connection, access.namespace_id, cluster_identifier)
        run = await clusters.newest_completed(connection, access.namespace_id, cluster)
        if run is None:
            raise _never_run(cluster)
        return answer(compose.groups(run))


async def _newest(connection: Connection, namespace_id: str, identifier: str) -> ClusterRun:
    cluster = await _cluster(connection, namespace_id, identifier)
    runs = await clusters.newest(connection, namespace_id, cluster, limit=1)
    if not runs:
        raise _never_run(cluster)
    return runs[0]


async def _cluster(connection: Connection, namespace_id: str, identifier: str) -> str:
    """The id of a cluster, or of the runs of a trigger with a configuration of its own."""
    if await clusters.has_runs(connection, namespace_id, identifier):
        return identifier
    return (await known(connection, "cluster", namespace_id, identifier)).record.id


def _never_run(cluster: str) -> ApiError:
    return ApiError(
        404,
        f"Cluster has not been executed yet: {cluster}",
        details={"resource": "cluster_execution", "id": cluster},
    )


def _parse_cursor(values: tuple[Any, ...] | None) -> tuple[datetime, str] | None:
    match values:
        case None:
            return None
        case (str(moment), str(run_id)) if "\x00" not in run_id:
            try:
                return parse_instant(moment), run_id
            except (ValueError, OverflowError):
                pass
    raise bad_cursor()


def router() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/clusters", tags=["clusters"], route_class=JsonRoute)
    router.get("/{cluster_identifier}/executions", response_model=ClusterExecutionResult)(latest)
    router.post("/{cluster_identifier}/executions/list", response_model=ClusterExecutionsResponse)(list_runs)
    router.get("/{cluster_identifier}/executions/{run_id}", response_model=ClusterExecutionResult)(one)
    router.get("/{cluster_identifier}/groups", response_model=ClusterGroupsResponse)(groups)
    return router
