"""``/v1/tasks`` (contract 2.10): only the key counts."""

from fastapi import APIRouter, Request

from schemas.api.document import DeletedResponse
from schemas.api.task import ListTasksRequest, ListTasksResponse, TaskResponse
from streams.api.task_lists import read_tasks, task_page
from streams.runtime.database import Connection
from streams.runtime.http.access import Caller, CallerDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, page_of
from streams.runtime.job_end import cancel_job

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=JsonRoute)


@router.post("/list")
async def list_tasks(
    request: Request, caller: CallerDep, context: ContextDep, page: PageDep, body: ListTasksRequest | None = None
) -> ListTasksResponse:
    """Tasks of every namespace the key reaches, newest first."""
    asked = body or ListTasksRequest()
    async with context.database.transaction(snapshot=True) as connection:
        return await task_page(connection, caller, page_of(request, page, asked), asked)


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
    rows = await read_tasks(connection, "job_id = %(id)s", {"id": task_id})
    return next((row.task for row in rows if caller.may_enter(row.namespace_id)), None)
