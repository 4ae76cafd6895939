"""Trigger histories of both families (contract 2.3, 2.4)."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from schemas.api.trigger_history import ClusterTriggerHistoryResponse, TriggerHistoryResponse
from streams.query.compose import triggers as compose
from streams.query.reads import triggers
from streams.query.routes.answer import answer, known
from streams.query.routes.bodies import HistoryRequest, Status
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute


async def cluster_history(
    trigger_id: str, access: AccessDep, context: ContextDep, body: HistoryRequest | None = None
) -> Response:
    """Executions of a cluster trigger, newest first; ``total`` counts after the status filter."""
    asked = body or HistoryRequest(offset=0, limit=50)
    async with context.database.transaction(snapshot=True) as connection:
        identifier = (await known(connection, "cluster_trigger", access.namespace_id, trigger_id)).record.id
        runs, total = await triggers.history(
            connection,
            access.namespace_id,
            identifier,
            "cluster_trigger",
            status=asked.status_filter,
            offset=asked.offset,
            limit=asked.limit,
        )
        return answer(
            {
                "trigger_id": identifier,
                "executions": [compose.cluster_item(run) for run in runs],
                "total": total,
                "offset": asked.offset,
                "limit": asked.limit,
            },
        )


async def history(
    trigger_id: str,
    access: AccessDep,
    context: ContextDep,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    status_filter: Annotated[Status | None, Query()] = None,
) -> Response:
    """Executions of a trigger, newest first; ``total`` counts after the status filter."""
    async with context.database.transaction(snapshot=True) as connection:
        identifier = (await known(connection, "trigger", access.namespace_id, trigger_id)).record.id
        runs, total = await triggers.history(
            connection,
            access.namespace_id,
            identifier,
            "trigger",
            status=status_filter,
            offset=offset,
            limit=limit,
        )
        return answer(
            {
                "trigger_id": identifier,
                "executions": [compose.item(run) for run in runs],
                "total": total,
                "offset": offset,
                "limit": limit,
            },
        )


def router() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["triggers"], route_class=JsonRoute)
    router.post("/clusters/triggers/{trigger_id}/history", response_model=ClusterTriggerHistoryResponse)(
        cluster_history
    )
    router.get("/triggers/{trigger_id}/history", response_model=TriggerHistoryResponse)(history)
    return router
