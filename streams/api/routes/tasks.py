"""``/v1/tasks`` (contract 2.10): only the key counts."""

from fastapi import APIRouter

from schemas.api.document import DeletedResponse
from schemas.api.task import TaskResponse
from streams.api.tasks import task_response
from streams.runtime.database import Connection
from streams.runtime.http.access import Caller, CallerDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.job_end import cancel_job

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.get("/{task_id}")
async def get_task(task_id: str, caller: CallerDep, context: ContextDep) -> TaskResponse:
    """A task by id; one of a namespace the key does not reach answers like one that is not there."""
    async with context.database.connection() as connection:
        task = await _task(connection, caller, task_id)
    if task is None:
        raise not_found("task", task_id)
    return task


@router.delete("/{task_id}")
async def cancel_task(task_id: str, caller: CallerDep, context: ContextDep) -> DeletedResponse:
    """Cancel a task. Idempotent: one that has ended, or is not there, is left alone, and the message says so.
    What a canceled task wrote in steps stays; it writes nothing more."""
    async with context.database.transaction() as connection:
        task = await _task(connection, caller, task_id)
        if task is None:
            return DeletedResponse(message="Nothing to cancel: there is no such task")
        if await cancel_job(connection, task_id, context.clock(), "canceled on request"):
            return DeletedResponse(message="Task canceled")
    return DeletedResponse(message=f"Nothing to cancel: the task had ended as {task.status}")


async def _task(connection: Connection, caller: Caller, task_id: str) -> TaskResponse | None:
    row = await (
        await connection.execute(
            "SELECT namespace_id, trigger_id, action_type, status, error, outcome, command->>'reason', progress,"
            " progress_message FROM jobs WHERE job_id = %s",
            (task_id,),
        )
    ).fetchone()
    if row is None or not caller.may_enter(row[0]):
        return None
    namespace_id, trigger_id, action_type, status, error, outcome, reason, progress, message = row
    additional = {"namespace_id": namespace_id, "progress": progress}
    optional = (("trigger_id", trigger_id), ("reason", reason), ("progress_message", message))
    additional |= {key: value for key, value in optional if value}
    return task_response(task_id, action_type, status, error, additional, outcome)
