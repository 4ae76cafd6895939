"""Reading, pausing, resuming, deleting and running a trigger: the same for both families (contract 2.3, 2.4)."""

from typing import TypeVar

from fastapi import APIRouter, Response

from schemas.api.base import ApiResponse
from schemas.api.schedule import BackfillRequest, BackfillResponse
from schemas.api.task import TaskResponse
from streams.api.trigger_families import Family
from streams.runtime.http.access import AccessDep, ContextDep

R = TypeVar("R", bound=ApiResponse)


def add_switches(router: APIRouter, family: Family[R]) -> None:
    """Give a family's router what needs no body of the family's own."""

    @router.get("/{trigger_id}", response_model=family.shape)
    async def get_trigger(trigger_id: str, access: AccessDep, context: ContextDep) -> ApiResponse:
        """A trigger by id, also one that was deleted (``status`` disabled)."""
        return await family.get(trigger_id, access, context)

    @router.delete("/{trigger_id}", status_code=204)
    async def delete_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> Response:
        """Disable a trigger; it stays readable with its history."""
        await family.switch(trigger_id, "disabled", access, context, answer)
        return Response(status_code=204, headers=dict(answer.headers))

    @router.post("/{trigger_id}/pause", response_model=family.shape)
    async def pause_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> ApiResponse:
        """Stop firing."""
        return await family.switch(trigger_id, "paused", access, context, answer)

    @router.post("/{trigger_id}/resume", response_model=family.shape)
    async def resume_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> ApiResponse:
        """Fire again, counted from now."""
        return await family.switch(trigger_id, "active", access, context, answer)

    @router.post("/{trigger_id}/execute")
    async def execute_trigger(
        trigger_id: str, access: AccessDep, context: ContextDep, answer: Response
    ) -> TaskResponse:
        """Run the action now, whatever the schedule says; also while paused."""
        return await family.execute(trigger_id, access, context, answer)

    @router.post("/{trigger_id}/backfill")
    async def backfill_trigger(
        trigger_id: str, body: BackfillRequest, access: AccessDep, context: ContextDep, answer: Response
    ) -> BackfillResponse:
        """Run the nominal times of a past range once more."""
        return await family.backfill(trigger_id, body, access, context, answer)
