"""What the two families of triggers do alike: they differ in what they run and how they are shown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from fastapi import Response
from pydantic import ValidationError

from schemas.api.base import ApiResponse, JsonObject
from schemas.api.pages import WindowedListRequest
from schemas.api.schedule import BackfillRequest, BackfillResponse, fits_another, read_schedule
from schemas.api.task import TaskResponse
from schemas.api.trigger import Status
from schemas.events.trigger import TriggerFamily
from schemas.ids import new_id
from streams.api import trigger_store
from streams.api.backfill import backfill
from streams.api.requested import REASON, fresh_job_id
from streams.api.store import change, require
from streams.api.tasks import task_response
from streams.api.trigger_actions import resolve_action
from streams.api.triggers import TriggerState, new_body
from streams.engines.rules.commands import action, command
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.access import Access
from streams.runtime.http.errors import conflict, refused
from streams.runtime.jobs import queue_job, queue_jobs, tell_triggers

R = TypeVar("R", bound=ApiResponse)


@dataclass(frozen=True, slots=True)
class Family(Generic[R]):
    """One family. Its methods are requests: they raise what a caller reads."""

    name: TriggerFamily
    shape: type[R]
    show: Callable[[StoredDefinition, TriggerState, str, datetime], R]
    """A trigger as it is shown: its definition, its state, the organisation, and now."""

    async def create(
        self,
        connection: Connection,
        access: Access,
        fields: JsonObject,
        collection_ids: list[str],
        status: Status,
        now: datetime,
    ) -> R:
        """Write a trigger: ``fields`` say what it runs and when, ``collection_ids`` what its action is about."""
        namespace_id = access.namespace_id
        schedule, watched = await trigger_store.resolved(
            connection, namespace_id, fields["trigger_type"], fields["schedule_config"], collection_ids
        )
        fields = {**fields, "schedule_config": schedule}
        body = new_body(fields, new_id(self.name), access.caller.key_id, watched)
        stored = await trigger_store.create(connection, self.name, namespace_id, body, status, now)
        return await self._shown(connection, stored, access, now)

    async def get(self, trigger_id: str, access: Access, context: Context) -> R:
        """A trigger by id, also one that was deleted (``status`` disabled)."""
        async with context.database.transaction(snapshot=True) as connection:
            stored = await self._stored(connection, trigger_id, access)
            return await self._shown(connection, stored, access, context.clock())

    async def patch(
        self,
        trigger_id: str,
        texts: JsonObject,
        schedule_config: JsonObject | None,
        status: Status | None,
        access: Access,
        context: Context,
        answer: Response,
    ) -> R:
        """Change a trigger: ``texts`` as given, the whole schedule, its status. What it does and how it is
        triggered are fixed."""
        now = context.clock()
        async with change(context, answer) as connection:
            stored = await self._stored(connection, trigger_id, access)
            changed = {**stored.body, **texts}
            if schedule_config is not None:
                trigger_type = changed["trigger_type"]
                try:
                    schedule = read_schedule(trigger_type, schedule_config)
                except ValidationError as error:
                    if fits_another(trigger_type, schedule_config):
                        message = f"The trigger is and stays of trigger_type {trigger_type!r}: make another one"
                        raise conflict(message, "body", "schedule_config") from error
                    raise refused(error, "body") from error
                _, about = await resolve_action(connection, access.namespace_id, *action(self.name, changed))
                changed["schedule_config"], changed["watched_collection_ids"] = await trigger_store.resolved(
                    connection, access.namespace_id, trigger_type, schedule, about
                )
            if changed != stored.body:
                stored = await trigger_store.reschedule(connection, self.name, stored, changed, now)
            if status is not None:
                await trigger_store.set_status(connection, stored, status, now)
            return await self._shown(connection, stored, access, now)

    async def switch(
        self, trigger_id: str, status: Status, access: Access, context: Context, answer: Response
    ) -> R:
        """Pause, resume or disable a trigger."""
        return await self.patch(trigger_id, {}, None, status, access, context, answer)

    async def execute(self, trigger_id: str, access: Access, context: Context, answer: Response) -> TaskResponse:
        """Run the action now, whatever the schedule says; also while paused."""
        now = context.clock()
        async with change(context, answer) as connection:
            stored, _ = await self._runnable(connection, trigger_id, access)
            order = command(
                trigger_id,
                access.namespace_id,
                self.name,
                stored.body,
                job_id=fresh_job_id(),
                nominal_at=now,
                triggered_at=now,
                reason=REASON,
                fired_by="request",
            )
            await queue_job(connection, order)
        additional = {"trigger_id": trigger_id, "reason": order.reason}
        return task_response(order.job_id, order.action_type, "pending", None, additional, None)

    async def backfill(
        self, trigger_id: str, request: BackfillRequest, access: Access, context: Context, answer: Response
    ) -> BackfillResponse:
        """Run the nominal times of a range once more, whatever the trigger's own fires did; also while paused.
        Asking again queues only what was not asked for before."""
        now = context.clock()
        async with change(context, answer) as connection:
            stored, state = await self._runnable(connection, trigger_id, access)
            orders = backfill(stored, self.name, state.anchor_at, request, now)
            fresh = await queue_jobs(connection, orders)
            await tell_triggers(connection, fresh)
        return BackfillResponse(
            trigger_id=trigger_id,
            start_at=request.start_at,
            end_at=request.end_at,
            total=len(orders),
            queued=len(fresh),
            task_ids=[order.job_id for order in orders],
        )

    async def page(
        self, wanted: WindowedListRequest, matches: JsonObject, access: Access, context: Context
    ) -> tuple[list[R], int]:
        """One window of the family's triggers and the total."""
        now = context.clock()
        async with context.database.transaction(snapshot=True) as connection:
            rows, total = await trigger_store.list_window(
                connection, self.name, access.namespace_id, wanted, matches
            )
        return [self.show(stored, state, access.internal_id, now) for stored, state in rows], total

    async def _stored(self, connection: Connection, trigger_id: str, access: Access) -> StoredDefinition:
        return await require(connection, self.name, access.namespace_id, trigger_id, by_id=True)

    async def _runnable(
        self, connection: Connection, trigger_id: str, access: Access
    ) -> tuple[StoredDefinition, TriggerState]:
        stored = await self._stored(connection, trigger_id, access)
        state = await trigger_store.state_of(connection, trigger_id, lock=True)
        if state.status == "disabled":
            raise conflict("The trigger is disabled; set its status to active or paused first")
        return stored, state

    async def _shown(self, connection: Connection, stored: StoredDefinition, access: Access, now: datetime) -> R:
        state = await trigger_store.state_of(connection, stored.record.id)
        return self.show(stored, state, access.internal_id, now)
