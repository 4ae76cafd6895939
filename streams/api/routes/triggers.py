"""``/v1/triggers`` (contract 2.3). History is the query station's."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from schemas.api.base import first_problem
from schemas.api.schedule import read_schedule
from schemas.api.task import TaskResponse
from schemas.api.trigger import (
    CreateTriggerRequest,
    ListTriggersRequest,
    ListTriggersResponse,
    PatchTriggerRequest,
    TriggerResponse,
)
from schemas.ids import new_id
from streams.api import trigger_store
from streams.api.routes.switches import add_switches
from streams.api.store import change, require
from streams.api.tasks import task_response
from streams.api.triggers import check_action, new_body, trigger_response
from streams.engines.rules.commands import command
from streams.runtime.agent import Context
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import ApiError, invalid
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.jobs import queue_job

router = APIRouter(prefix="/v1/triggers", tags=["triggers"], route_class=JsonRoute)


@router.post("")
async def create_trigger(
    body: CreateTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> TriggerResponse:
    """Create a trigger."""
    check_action(body)
    namespace_id, now = access.namespace_id, context.clock()
    async with change(context, answer) as connection:
        cluster = await require(connection, "cluster", namespace_id, body.action_config["cluster_id"])
        schedule, watched = await trigger_store.resolved(
            connection, namespace_id, body.schedule_config, cluster.body["collection_ids"]
        )
        fields = {
            "action_type": body.action_type,
            "action_config": {**body.action_config, "cluster_id": cluster.record.id},
            "trigger_type": body.trigger_type,
            "schedule_config": schedule,
            "name": body.name,
            "description": body.description,
        }
        trigger = new_body(fields, new_id("trigger"), access.caller.key_id, watched)
        stored = await trigger_store.create(connection, "trigger", namespace_id, trigger, body.status, now)
        state = await trigger_store.state_of(connection, stored.record.id)
    return trigger_response(stored, state, access.internal_id, now)


@router.get("/{trigger_id}")
async def get_trigger(trigger_id: str, access: AccessDep, context: ContextDep) -> TriggerResponse:
    """A trigger by id, also one that was deleted (``status`` disabled)."""
    async with context.database.transaction(snapshot=True) as connection:
        stored = await require(connection, "trigger", access.namespace_id, trigger_id, by_id=True)
        state = await trigger_store.state_of(connection, trigger_id)
    return trigger_response(stored, state, access.internal_id, context.clock())


@router.patch("/{trigger_id}")
async def patch_trigger(
    trigger_id: str, body: PatchTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> TriggerResponse:
    """Change a trigger; what it does and how it is triggered are fixed."""
    namespace_id, now = access.namespace_id, context.clock()
    async with change(context, answer) as connection:
        stored = await require(connection, "trigger", namespace_id, trigger_id, by_id=True)
        changed = {**stored.body}
        if body.name is not None:
            changed["name"] = body.name
        if body.description is not None:
            changed["description"] = body.description
        if body.schedule_config is not None:
            try:
                schedule = read_schedule(changed["trigger_type"], body.schedule_config)
            except ValidationError as error:
                where, message = first_problem(error)
                raise invalid(message, "body", *where) from error
            cluster = await require(connection, "cluster", namespace_id, changed["action_config"]["cluster_id"])
            changed["schedule_config"], changed["watched_collection_ids"] = await trigger_store.resolved(
                connection, namespace_id, schedule, cluster.body["collection_ids"]
            )
        if changed != stored.body:
            stored = await trigger_store.reschedule(connection, "trigger", stored, changed, now)
        if body.status is not None:
            await trigger_store.set_status(connection, stored, body.status, now)
        state = await trigger_store.state_of(connection, trigger_id)
    return trigger_response(stored, state, access.internal_id, now)


add_switches(router, "trigger", TriggerResponse, trigger_response)


@router.post("/{trigger_id}/execute")
async def execute_trigger(
    trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
) -> TaskResponse:
    """Run the action now, whatever the schedule says; also while paused."""
    now = context.clock()
    async with change(context, answer) as connection:
        stored = await require(connection, "trigger", access.namespace_id, trigger_id, by_id=True)
        state = await trigger_store.state_of(connection, trigger_id, lock=True)
        if state.status == "disabled":
            raise ApiError(400, "The trigger is disabled; set its status to active or paused first")
        order = command(
            trigger_id,
            access.namespace_id,
            "trigger",
            stored.body,
            # Asking twice is asking for two runs, so the id is a fresh one.
            job_id=f"job_{secrets.token_hex(12)}",
            nominal_at=now,
            triggered_at=now,
            reason="executed on request",
        )
        await queue_job(connection, order)
    additional = {"trigger_id": trigger_id, "reason": order.reason}
    return task_response(order.job_id, order.action_type, "pending", None, additional, None)


async def _list(access: Access, context: Context, body: ListTriggersRequest) -> ListTriggersResponse:
    now = context.clock()
    matches = body.model_dump(include={"action_type", "trigger_type", "status", "resource_id"})
    async with context.database.transaction(snapshot=True) as connection:
        rows, total = await trigger_store.list_window(connection, "trigger", access.namespace_id, body, matches)
    return ListTriggersResponse(
        results=[trigger_response(stored, state, access.internal_id, now) for stored, state in rows],
        total=total,
        offset=body.offset,
        limit=body.limit,
    )


@router.post("/list")
async def list_triggers(
    access: AccessDep, context: ContextDep, body: ListTriggersRequest | None = None
) -> ListTriggersResponse:
    """Triggers, newest first."""
    return await _list(access, context, body or ListTriggersRequest())


class _ListQuery(ListTriggersRequest):
    """The same keys as query parameters, beside the namespace."""

    namespace: str | None = None


@router.get("")
async def get_triggers(
    access: AccessDep, context: ContextDep, query: Annotated[_ListQuery, Query()]
) -> ListTriggersResponse:
    """Triggers, newest first."""
    return await _list(access, context, query)
