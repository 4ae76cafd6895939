"""Pausing, resuming and deleting a trigger: the same for both families (contract 2.3, 2.4)."""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Response

from schemas.api.base import ApiResponse
from schemas.api.trigger import Status
from schemas.events.trigger import TriggerFamily
from streams.api import trigger_store
from streams.api.store import VERSION_HEADER, change, require
from streams.api.triggers import TriggerState
from streams.runtime.agent import Context
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.access import Access, AccessDep, ContextDep

Show = Callable[[StoredDefinition, TriggerState, str, datetime], ApiResponse]
"""A trigger as it is shown: its definition, its state, the organisation, and now."""


def add_switches(router: APIRouter, family: TriggerFamily, shape: type[ApiResponse], show: Show) -> None:
    """Give a family's router its three switches."""

    async def switch(
        trigger_id: str, status: Status, access: Access, context: Context, answer: Response
    ) -> ApiResponse:
        now = context.clock()
        async with change(context, answer) as connection:
            stored = await require(connection, family, access.namespace_id, trigger_id, by_id=True)
            await trigger_store.set_status(connection, stored, status, now)
            state = await trigger_store.state_of(connection, trigger_id)
        return show(stored, state, access.internal_id, now)

    @router.delete("/{trigger_id}", status_code=204)
    async def delete_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> Response:
        """Disable a trigger; it stays readable with its history."""
        await switch(trigger_id, "disabled", access, context, answer)
        return Response(status_code=204, headers={VERSION_HEADER: answer.headers[VERSION_HEADER]})

    @router.post("/{trigger_id}/pause", response_model=shape)
    async def pause_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> ApiResponse:
        """Stop firing."""
        return await switch(trigger_id, "paused", access, context, answer)

    @router.post("/{trigger_id}/resume", response_model=shape)
    async def resume_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> ApiResponse:
        """Fire again, counted from now."""
        return await switch(trigger_id, "active", access, context, answer)
