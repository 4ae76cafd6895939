"""Retriever executions, recorded or composed from the alert execution that ran them (contract 2.2, 4.6)."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from schemas.api.retriever_execution import (
    AdhocExecutionDetail,
    ExecutionDetail,
    ExecutionProfileResponse,
    ExecutionStatusResponse,
    ListAdhocExecutionsResponse,
    ListExecutionsResponse,
)
from schemas.ids import parse_execution_id
from streams.query.compose import retrievers as compose
from streams.query.reads import executions, retrievers
from streams.query.routes.answer import answer, known, refuse
from streams.query.routes.bodies import AdhocListRequest, ExecutionListRequest
from streams.runtime.database import Connection
from streams.runtime.http.access import Access, AccessDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest


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
    refuse(cursor=page.cursor)
    async with context.database.transaction(snapshot=True) as connection:
        keys, total = await retrievers.newest(
            connection,
            access.namespace_id,
            retrievers.ADHOC,
            asked.status,
            page.limit,
            page.offset,
            since=asked.start_time,
            until=asked.end_time,
        )
        if asked.count_only:
            return answer({"results": [], "total": total, "pagination": None})
        runs = await retrievers.runs(connection, keys)
        results = [compose.adhoc_summary(runs[key]) for key in keys]
        return answer({**_page(results, total, page), "total": total})


def _page(results: list[dict[str, Any]], total: int, page: PageRequest) -> dict[str, Any]:
    """Style C."""
    pagination = {
        "total": total,
        "limit": page.limit,
        "offset": page.offset,
        "has_next": page.offset + len(results) < total,
    }
    return {"results": results, "pagination": pagination}


async def list_executions(
    retriever_id: str,
    access: AccessDep,
    context: ContextDep,
    page: PageDep,
    body: ExecutionListRequest | None = None,
) -> Response:
    """Executions of a retriever, newest first: recorded runs, and those of the alerts that run it now."""
    asked = body or ExecutionListRequest()
    refuse(filters=asked.filters, sort=asked.sort, sorts=asked.sorts, search=asked.search, cursor=page.cursor)
    needed = page.offset + page.limit
    async with context.database.transaction(snapshot=True) as connection:
        identifier = (await known(connection, "retriever", access.namespace_id, retriever_id)).record.id
        keys, total = await retrievers.newest(connection, access.namespace_id, identifier, asked.status, needed)
        # An alert execution is written when it has completed.
        alerts: list[int] = []
        if asked.status in (None, "completed"):
            alerts = await retrievers.alerts_of(connection, access.namespace_id, identifier)
        hits = await executions.newest(connection, access.namespace_id, alerts, needed) if alerts else []
        total += await executions.count(connection, access.namespace_id, alerts)
        shown = compose.newest_first(keys, hits, page.offset, page.limit)
        runs = await retrievers.runs(connection, [item for item in shown if isinstance(item, retrievers.Key)])
        results = [
            compose.stored_summary(runs[item])
            if isinstance(item, retrievers.Key)
            else compose.percolated_summary(item)
            for item in shown
        ]
        return answer(_page(results, total, page))


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
