"""``/v1/clusters/triggers`` (contract 2.4). History is the query station's."""

from fastapi import APIRouter, Response

from schemas.api.base import JsonObject
from schemas.api.cluster_trigger import (
    ClusterTriggerResponse,
    CreateClusterTriggerRequest,
    ListClusterTriggersRequest,
    ListClusterTriggersResponse,
    PatchClusterTriggerRequest,
)
from streams.api.clusters import execution_config
from streams.api.routes.switches import add_switches
from streams.api.store import change, require
from streams.api.trigger_families import Family
from streams.api.triggers import cluster_trigger_response
from streams.runtime.database import Connection
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/clusters/triggers", tags=["cluster triggers"], route_class=JsonRoute)
_FAMILY = Family("cluster_trigger", ClusterTriggerResponse, cluster_trigger_response)


async def _action(
    connection: Connection, namespace_id: str, body: CreateClusterTriggerRequest
) -> tuple[str | None, JsonObject]:
    """The cluster's id and what it runs, or the config given, with its collections as ids."""
    if body.cluster_id is not None:
        cluster = await require(connection, "cluster", namespace_id, body.cluster_id)
        return cluster.record.id, execution_config(cluster.body)
    assert body.execution_config is not None
    given = body.execution_config
    found = [
        (await require(connection, "collection", namespace_id, item)).record.id for item in given.collection_ids
    ]
    return None, {"collection_ids": list(dict.fromkeys(found)), "config": given.config.filled()}


@router.post("")
async def create_cluster_trigger(
    body: CreateClusterTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> ClusterTriggerResponse:
    """Create a cluster trigger."""
    async with change(context, answer) as connection:
        cluster_id, execution = await _action(connection, access.namespace_id, body)
        fields = {
            "cluster_id": cluster_id,
            "execution_config": execution,
            "trigger_type": body.trigger_type,
            "schedule_config": body.schedule_config,
            "description": body.description,
        }
        about = execution["collection_ids"]
        return await _FAMILY.create(connection, access, fields, about, body.status, context.clock())


@router.patch("/{trigger_id}")
async def patch_cluster_trigger(
    trigger_id: str, body: PatchClusterTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> ClusterTriggerResponse:
    """Change a cluster trigger; what it runs and how it is triggered are fixed."""
    texts = body.model_dump(include={"description"}, exclude_none=True)
    return await _FAMILY.patch(trigger_id, texts, body.schedule_config, body.status, access, context, answer)


add_switches(router, _FAMILY)


@router.post("/list")
async def list_cluster_triggers(
    access: AccessDep, context: ContextDep, body: ListClusterTriggersRequest | None = None
) -> ListClusterTriggersResponse:
    """Cluster triggers, newest first."""
    wanted = body or ListClusterTriggersRequest()
    matches = wanted.model_dump(include={"cluster_id", "trigger_type", "status"})
    results, total = await _FAMILY.page(wanted, matches, access, context)
    return ListClusterTriggersResponse(results=results, total=total, offset=wanted.offset, limit=wanted.limit)
