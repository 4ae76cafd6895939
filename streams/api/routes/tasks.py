"""``/v1/tasks`` (contract 2.10): only the key counts."""

from fastapi import APIRouter

from schemas.api.task import TaskResponse
from streams.api.tasks import task_response
from streams.runtime.http.access import CallerDep, ContextDep
from streams.runtime.http.errors import not_found

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


@router.get("/{task_id}")
async def get_task(task_id: str, caller: CallerDep, context: ContextDep) -> TaskResponse:
    """A task by id; one of a namespace the key does not reach answers like one that is not there."""
    async with context.database.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT namespace_id, trigger_id, action_type, status, error, outcome, command->>'reason'"
                " FROM jobs WHERE job_id = %s",
                (task_id,),
            )
        ).fetchone()
    if row is None or not caller.may_enter(row[0]):
        raise not_found("task", task_id)
    namespace_id, trigger_id, action_type, status, error, outcome, reason = row
    additional = {"namespace_id": namespace_id}
    additional |= {key: value for key, value in (("trigger_id", trigger_id), ("reason", reason)) if value}
    return task_response(task_id, action_type, status, error, additional, outcome)
