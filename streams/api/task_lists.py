"""Tasks listed: newest first by an index, and by any of their fields as far as memory is meant to go
(contract 2.10)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from schemas.api.pages import Pagination, Sort
from schemas.api.task import ListTasksRequest, ListTasksResponse, TaskResponse
from schemas.times import format_instant, parse_instant
from streams.api.listing import like
from streams.api.tasks import STATUSES, TASK_TYPES, task_response
from streams.retrieval.sifting import Item, Sifted, read_filter
from streams.runtime.database import Connection
from streams.runtime.http.access import Caller
from streams.runtime.http.bounds import counted, refuse_many
from streams.runtime.http.errors import conflict, invalid
from streams.runtime.http.pages import PageRequest, bad_cursor, page_envelope
from streams.runtime.list_counts import listed

MOST_IN_MEMORY: Final = 10_000
"""Tasks that filters and other orders than by time are about at most; more are to be narrowed first."""
_COLUMNS: Final = (
    "job_id, namespace_id, trigger_id, action_type, status, error, outcome, command->>'reason', progress,"
    " progress_message, triggered_at"
)
_SORTABLE: Final = frozenset((*TaskResponse.model_fields, "created_at"))


class TaskRow(NamedTuple):
    """A job as the columns above reads it."""

    job_id: str
    namespace_id: str
    trigger_id: str
    action_type: str
    status: str
    error: str | None
    outcome: dict[str, Any] | None
    reason: str | None
    progress: float
    progress_message: str
    triggered_at: datetime

    @property
    def task(self) -> TaskResponse:
        """The job as a task."""
        about = {"namespace_id": self.namespace_id, "progress": self.progress}
        optional = {
            "trigger_id": self.trigger_id,
            "reason": self.reason,
            "progress_message": self.progress_message,
        }
        about |= {key: value for key, value in optional.items() if value}
        about["created_at"] = format_instant(self.triggered_at)
        return task_response(self.job_id, self.action_type, self.status, self.error, about, self.outcome)


async def task_page(
    connection: Connection, caller: Caller, page: PageRequest, asked: ListTasksRequest
) -> ListTasksResponse:
    """One page of the tasks of the namespaces the key reaches."""
    where, values = _condition(caller, asked)
    total = await listed(
        connection, "task", caller.namespace_ids, status=values.get("status"), action_type=values.get("actions")
    )
    if asked.search:
        refuse_many(total, "search by text")
        total = await counted(connection, f"FROM jobs WHERE {where}", values, "search")
    sorts = [*([asked.sort] if asked.sort else []), *(asked.sorts or [])]
    if asked.filters or sorts:
        return await _sifted(connection, page, asked, sorts, where, values, total)
    if page.cursor is not None:
        where += " AND (triggered_at, job_id) < (%(at)s, %(id)s)"
        values |= _after(page.cursor)
    values |= {"limit": page.limit + 1, "offset": 0 if page.cursor is not None else page.offset}
    rows = await read_tasks(
        connection, f"{where} ORDER BY triggered_at DESC, job_id DESC LIMIT %(limit)s OFFSET %(offset)s", values
    )
    shown = rows[: page.limit]
    more = (format_instant(shown[-1].triggered_at), shown[-1].job_id) if len(rows) > page.limit else None
    return _answer([row.task for row in shown], page, total, more)


def _condition(caller: Caller, asked: ListTasksRequest) -> tuple[str, dict[str, Any]]:
    where, values = "true", dict[str, Any]()
    if caller.namespace_ids is not None:
        where, values["namespaces"] = "namespace_id = ANY(%(namespaces)s)", list(caller.namespace_ids)
    if asked.status is not None:
        where += " AND status = ANY(%(status)s)"
        values["status"] = [word for word, status in STATUSES.items() if status == asked.status]
    if asked.task_type is not None:
        where += " AND action_type = ANY(%(actions)s)"
        values["actions"] = [name for name, kind in TASK_TYPES.items() if kind == asked.task_type.lower()]
    if asked.search:
        if "\x00" in asked.search:
            raise invalid("Text must not contain a NUL character", "body", "search")
        where += " AND (job_id ILIKE %(search)s OR status ILIKE %(search)s OR action_type = ANY(%(named)s))"
        text = asked.search.strip("*").lower()
        values |= {
            "search": like(asked.search),
            "named": [name for name, kind in TASK_TYPES.items() if text in kind],
        }
    return where, values


def _after(cursor: tuple[Any, ...]) -> Mapping[str, Any]:
    match cursor:
        case (str(moment), str(job_id)) if "\x00" not in job_id:
            try:
                return {"at": parse_instant(moment), "id": job_id}
            except (ValueError, OverflowError):
                pass
    raise bad_cursor()


async def _sifted(
    connection: Connection,
    page: PageRequest,
    asked: ListTasksRequest,
    sorts: Sequence[Sort],
    where: str,
    values: Mapping[str, Any],
    total: int,
) -> ListTasksResponse:
    for sort in sorts:
        if sort.field.partition(".")[0] not in _SORTABLE:
            raise invalid(f"tasks have no field {sort.field[:100]!r} to sort by", "body", "sort", "field")
    if total > MOST_IN_MEMORY:
        message = f"filters and sort are for at most {MOST_IN_MEMORY:,} tasks and these are {total:,}"
        raise conflict(f"{message}: narrow them by status or task_type")
    wanted = read_filter(asked.filters, case_sensitive=asked.case_sensitive) if asked.filters else None
    sifted = Sifted(wanted, sorts or [Sort(field="created_at", direction="desc")])
    items = []
    for row in await read_tasks(connection, where, values):
        root = {**row.task.model_dump(mode="json"), "created_at": format_instant(row.triggered_at)}
        items.append(Item(row.job_id, root, row, {"created_at": row.triggered_at}))
    shown, more, found = sifted.page(items, page)
    return _answer([row.task for row in shown], page, found, more)


async def read_tasks(connection: Connection, where: str, values: Mapping[str, Any]) -> list[TaskRow]:
    """The jobs for which a condition holds."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {where}".encode(), values)
    return [TaskRow(*row) for row in await cursor.fetchall()]


def _answer(
    results: list[TaskResponse], page: PageRequest, total: int, more: tuple[Any, ...] | None
) -> ListTasksResponse:
    return ListTasksResponse(
        results=results, pagination=Pagination(**page_envelope(page, total, more)), total_count=total
    )
