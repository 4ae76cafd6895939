"""``/v1/triggers`` (contract 2.3). History is the query station's."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from schemas.api.trigger import (
    CreateTriggerRequest,
    ListTriggersRequest,
    ListTriggersResponse,
    PatchTriggerRequest,
    TriggerResponse,
)
from streams.api.routes.switches import add_switches
from streams.api.store import change
from streams.api.trigger_actions import check_action, resolve_action, sealed_action
from streams.api.trigger_families import Family
from streams.api.triggers import trigger_response
from streams.runtime.agent import Context
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/triggers", tags=["triggers"], route_class=JsonRoute)
_FAMILY = Family("trigger", TriggerResponse, trigger_response)


@router.post("")
async def create_trigger(
    body: CreateTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> TriggerResponse:
    """Create a trigger."""
    check_action(body.action_type, body.action_config)
    async with change(context, answer) as connection:
        config, about = await resolve_action(connection, access.namespace_id, body.action_type, body.action_config)
        fields = {
            "action_type": body.action_type,
            "action_config": await sealed_action(connection, context, access.namespace_id, config),
            "trigger_type": body.trigger_type,
            "schedule_config": body.schedule_config,
            "name": body.name,
            "description": body.description,
        }
        return await _FAMILY.create(connection, access, fields, about, body.status, context.clock())


@router.patch("/{trigger_id}")
async def patch_trigger(
    trigger_id: str, body: PatchTriggerRequest, access: AccessDep, context: ContextDep, answer: Response
) -> TriggerResponse:
    """Change a trigger; what it does and how it is triggered are fixed."""
    texts = body.model_dump(include={"name", "description"}, exclude_none=True)
    return await _FAMILY.patch(trigger_id, texts, body.schedule_config, body.status, access, context, answer)


add_switches(router, _FAMILY)


async def _list(access: Access, context: Context, body: ListTriggersRequest) -> ListTriggersResponse:
    matches = body.model_dump(include={"action_type", "trigger_type", "status", "resource_id"})
    results, total = await _FAMILY.page(body, matches, access, context)
    return ListTriggersResponse(results=results, total=total, offset=body.offset, limit=body.limit)


@router.post("/list")
async def list_triggers(
    access: AccessDep, context: ContextDep, body: ListTriggersRequest | None = None
) -> ListTriggersResponse:
    """Triggers, newest first."""
    return await _list(access, context, body or ListTriggersRequest())


class _ListQuery(ListTriggersRequest):
    """The same keys as query parameters, where everything is text, beside those of every route."""

    model_config = ConfigDict(strict=False, extra="ignore")


@router.get("")
async def get_triggers(
    access: AccessDep, context: ContextDep, query: Annotated[_ListQuery, Query()]
) -> ListTriggersResponse:
    """Triggers, newest first."""
    return await _list(access, context, query)
