"""Retriever executions, recorded or composed from the alert execution that ran them (contract 2.2, 4.6)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from schemas.api.retriever_execution import (
    AdhocExecutionDetail,
    ExecutionDetail,
    ExecutionProfileResponse,
    ExecutionStatusResponse,
    ExecutionSummary,
    ListAdhocExecutionsResponse,
    ListExecutionsResponse,
)
from schemas.ids import parse_execution_id
from schemas.times import format_instant, parse_instant
from streams.query.compose import retrievers as compose
from streams.query.compose.rows import Execution
from streams.query.paging import After, parse_cursor
from streams.query.reads import executions, retrievers
from streams.query.routes.answer import answer, known
from streams.query.routes.bodies import AdhocListRequest, ExecutionListRequest
from streams.query.routes.runs import asked_of, refuse_more_than
from streams.retrieval.sifting import Item
from streams.runtime.database import Connection
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, bad_cursor, encode_cursor

MOST_SIFTED: Final = 10_000
"""Executions that filters, sorts and search look through at most."""


async def detail(retriever_id: str, execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """One execution of a retriever, with its documents and statistics."""
    async with context.database.transaction(snapshot=True) as connection:
        return answer(await _detail(connection, access, retriever_id, execution_id))


async def status(retriever_id: str, execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """How far an execution of a retriever is; every one that is recorded has ended."""
    async with context.database.transaction(snapshot=True) as connection:
        found = await _detail(connection, access, retriever_id, execution_id)
        return answer(compose.status(found))


async def profile(retriever_id: str, execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """What an execution of a retriever cost, stage by stage."""
    async with context.database.transaction(snapshot=True) as connection:
        found = await _detail(connection, access, retriever_id, execution_id)
        return answer(compose.profile(found))


async def _detail(connection: Connection, access: Access, retriever_id: str, execution_id: str) -> dict[str, Any]:
    """An execution, recorded or composed. Raises 404."""
    retriever = await known(connection, "retriever", access.namespace_id, retriever_id)
    identifier = retriever.record.id
    run = await retrievers.run(connection, access.namespace_id, identifier, execution_id)
    if run is not None:
        return compose.stored_detail(run)
    ref = parse_execution_id(execution_id)
    found = None if ref is None else await executions.by_id(connection, access.namespace_id, ref)
    if found is None or found.retriever_id != identifier:
        raise not_found("execution", execution_id)
    return compose.percolated_detail(found, retriever.body)


async def adhoc_detail(execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """One execution of a retriever that was never stored."""
    async with context.database.transaction(snapshot=True) as connection:
        run = await retrievers.run(connection, access.namespace_id, retrievers.ADHOC, execution_id)
        if run is None:
            raise not_found("execution", execution_id)
        return answer({**compose.stored_detail(run), **compose.adhoc_summary(run)})


async def list_adhoc(
    access: AccessDep, context: ContextDep, page: PageDep, body: AdhocListRequest | None = None
) -> Response:
    """Executions of retrievers that were never stored, newest first."""
    asked = body or AdhocListRequest()
    _, after = _behind(page.cursor)
    wanted = retrievers.Listed(
        access.namespace_id, retrievers.ADHOC, asked.status, asked.start_time, asked.end_time
    )
    async with context.database.transaction(snapshot=True) as connection:
        total = await wanted.count(connection)
        if asked.count_only:
            return answer({"results": [], "total": total, "pagination": None})
        offset = 0 if page.cursor else page.offset
        keys = await wanted.newest(connection, page.limit + 1, offset, after=after)
        shown = keys[: page.limit]
        runs = await retrievers.summaries(connection, shown)
        results = [compose.adhoc_summary(runs[key]) for key in shown]
        return answer({**_page(results, total, page, _cursor(shown, len(keys) > page.limit)), "total": total})


async def list_executions(
    retriever_id: str,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ExecutionListRequest | None = None,
) -> Response:
    """Executions of a retriever, newest first unless sorted otherwise: recorded runs, and those of the alerts that
    run it now."""
    body = body or ExecutionListRequest()
    asked = asked_of(body, ExecutionSummary)
    async with context.database.transaction(snapshot=True) as connection:
        identifier = (await known(connection, "retriever", access.namespace_id, retriever_id)).record.id
        wanted = retrievers.Listed(access.namespace_id, identifier, body.status)
        # An alert execution is written when it has completed.
        alerts: list[int] = []
        if body.status in (None, "completed"):
            alerts = await retrievers.alerts_of(connection, access.namespace_id, identifier)
        total = await wanted.count(connection)
        total += await executions.count(connection, access.namespace_id, alerts)
        if asked is None:
            return answer(await _newest(connection, wanted, alerts, page, total))
        refuse_more_than(MOST_SIFTED, total, "executions")
        runs = await wanted.every(connection)
        hits = await executions.newest(connection, access.namespace_id, alerts, total + 1) if alerts else []
        items = [_item(compose.stored_summary(run), run.created_at, run.completed_at) for run in runs]
        items += [_item(compose.percolated_summary(hit), hit.executed_at, hit.executed_at) for hit in hits]
        results, following, found = asked.page(items, page)
        return answer(_page(results, found, page, following))


async def _newest(
    connection: Connection, wanted: retrievers.Listed, alerts: Sequence[int], page: PageRequest, total: int
) -> dict[str, Any]:
    """A page of all, newest first."""
    hits_after, runs_after = _behind(page.cursor)
    offset = 0 if page.cursor else page.offset
    needed = offset + page.limit + 1
    keys = await wanted.newest(connection, needed, after=runs_after)
    hits: list[Execution] = []
    if alerts:
        hits = await executions.newest(connection, wanted.namespace_id, alerts, needed, after=hits_after)
    found = compose.newest_first(keys, hits, offset, page.limit + 1)
    shown = found[: page.limit]
    runs = await retrievers.summaries(connection, [item for item in shown if isinstance(item, retrievers.Key)])
    results = [
        compose.stored_summary(runs[item])
        if isinstance(item, retrievers.Key)
        else compose.percolated_summary(item)
        for item in shown
    ]
    return _page(results, total, page, _cursor(shown, len(found) > page.limit))


def _item(
    summary: dict[str, Any], created_at: datetime, completed_at: datetime
) -> tuple[Item[dict[str, Any]], Sequence[str]]:
    """An execution as lists sift it: searched by its id."""
    identifier = summary["execution_id"]
    instants = {"created_at": created_at, "completed_at": completed_at}
    return Item(identifier, summary, summary, instants), [identifier]


def _page(
    results: list[dict[str, Any]], total: int, page: PageRequest, following: tuple[Any, ...] | None
) -> dict[str, Any]:
    """Style C, and where the next page begins."""
    pagination = {
        "total": total,
        "limit": page.limit,
        "offset": page.offset,
        "has_next": following is not None,
        "next_cursor": None if following is None else encode_cursor(following),
    }
    return {"results": results, "pagination": pagination}


def _cursor(shown: Sequence[retrievers.Key | Execution], more: bool) -> tuple[Any, ...] | None:
    """Where a page ends, if more comes behind it."""
    if not more or not shown:
        return None
    last = shown[-1]
    if isinstance(last, retrievers.Key):
        return (format_instant(last.created_at), last.execution_id)
    return After(last.number, last.appended_at, last.base).cursor()


def _behind(cursor: tuple[Any, ...] | None) -> tuple[After | None, retrievers.Key | datetime | None]:
    """Where executions of alerts and recorded runs go on behind a page; of one instant the runs come last.
    Raises 404."""
    match cursor:
        case (str(moment), str(execution_id)) if "\x00" not in execution_id:
            try:
                key = retrievers.Key(parse_instant(moment), execution_id)
            except (ValueError, OverflowError):
                raise bad_cursor() from None
            return After(0, key.created_at, b""), key
    after = parse_cursor(cursor)
    if after is not None and not after.recorded:
        raise bad_cursor()
    return after, None if after is None else after.appended_at


def router() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/retrievers", tags=["retrievers"], route_class=JsonRoute)
    router.post("/executions/list", response_model=ListAdhocExecutionsResponse)(list_adhoc)
    router.get("/executions/{execution_id}", response_model=AdhocExecutionDetail)(adhoc_detail)
    router.post("/{retriever_id}/executions/list", response_model=ListExecutionsResponse)(list_executions)
    router.get("/{retriever_id}/executions/{execution_id}", response_model=ExecutionDetail)(detail)
    router.get("/{retriever_id}/executions/{execution_id}/status", response_model=ExecutionStatusResponse)(status)
    router.get("/{retriever_id}/executions/{execution_id}/profile", response_model=ExecutionProfileResponse)(
        profile
    )
    return router
