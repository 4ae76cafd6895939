"""``/v1/clusters/triggers`` (contract 2.4). History is the query station's."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import ValidationError

from schemas.api.base import JsonObject, first_problem
from schemas.api.cluster_trigger import (
    ClusterTriggerResponse,
    CreateClusterTriggerRequest,
    ListClusterTriggersRequest,
    ListClusterTriggersResponse,
    PatchClusterTriggerRequest,
)
from schemas.api.schedule import read_schedule
from schemas.ids import new_id
from streams.api import trigger_store
from streams.api.clusters import execution_config
from streams.api.routes.switches import add_switches
from streams.api.store import change, require
from streams.api.triggers import TriggerState, cluster_trigger_response, new_body
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import invalid
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/clusters/triggers", tags=["cluster triggers"], route_class=JsonRoute)


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
    namespace_id, now = access.namespace_id, context.clock()
    async with change(context, answer) as connection:
        cluster_id, execution = await _action(connection, namespace_id, body)
        schedule, watched = await trigger_store.resolved(
            connection, namespace_id, body.schedule_config, execution["collection_ids"]
        )
        fields = {
            "cluster_id": cluster_id,
            "execution_config": execution,
            "trigger_type": body.trigger_type,
            "schedule_config": schedule,
            "description": body.description,
        }
        trigger = new_body(fields, new_id("cluster_trigger"), access.caller.key_id, watched)
        stored = await trigger_store.create(connection, "cluster_trigger", namespace_id, trigger, body.status, now)
        state = await trigger_store.state_of(connection, stored.record.id)
    return cluster_trigger_response(stored, state, access.internal_id)


@router.get("/{trigger_id}")
async def get_cluster_trigger(trigger_id: str, access: AccessDep, context: ContextDep) -> ClusterTriggerResponse:
    """A cluster trigger by id, also one that was deleted (``status`` disabled)."""
    async with context.database.transaction(snapshot=True) as connection:
        stored = await require(connection, "cluster_trigger", access.namespace_id, trigger_id, by_id=True)
        state = await trigger_store.state_of(connection, trigger_id)
    return cluster_trigger_response(stored, state, access.internal_id)


@router.patch("/{trigger_id}")
async def patch_cluster_trigger(
    trigger_id: str, body: PatchClusterTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> ClusterTriggerResponse:
    """Change a cluster trigger; what it runs and how it is triggered are fixed."""
    namespace_id, now = access.namespace_id, context.clock()
    async with change(context, answer) as connection:
        stored = await require(connection, "cluster_trigger", namespace_id, trigger_id, by_id=True)
        changed = {**stored.body}
        if body.description is not None:
            changed["description"] = body.description
        if body.schedule_config is not None:
            try:
                schedule = read_schedule(changed["trigger_type"], body.schedule_config)
            except ValidationError as error:
                where, message = first_problem(error)
                raise invalid(message, "body", *where) from error
            changed["schedule_config"], changed["watched_collection_ids"] = await trigger_store.resolved(
                connection, namespace_id, schedule, changed["execution_config"]["collection_ids"]
            )
        if changed != stored.body:
            stored = await trigger_store.reschedule(connection, "cluster_trigger", stored, changed, now)
        if body.status is not None:
            await trigger_store.set_status(connection, stored, body.status, now)
        state = await trigger_store.state_of(connection, trigger_id)
    return cluster_trigger_response(stored, state, access.internal_id)


def _show(stored: StoredDefinition, state: TriggerState, internal_id: str, _: datetime) -> ClusterTriggerResponse:
    return cluster_trigger_response(stored, state, internal_id)


add_switches(router, "cluster_trigger", ClusterTriggerResponse, _show)


@router.post("/list")
async def list_cluster_triggers(
    access: AccessDep, context: ContextDep, body: ListClusterTriggersRequest | None = None
) -> ListClusterTriggersResponse:
    """Cluster triggers, newest first."""
    wanted = body or ListClusterTriggersRequest()
    matches = wanted.model_dump(include={"cluster_id", "trigger_type", "status"})
    async with context.database.transaction(snapshot=True) as connection:
        rows, total = await trigger_store.list_window(
            connection, "cluster_trigger", access.namespace_id, wanted, matches
        )
    return ListClusterTriggersResponse(
        results=[cluster_trigger_response(stored, state, access.internal_id) for stored, state in rows],
        total=total,
        offset=wanted.offset,
        limit=wanted.limit,
    )
