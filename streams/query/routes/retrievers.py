"""Retriever executions, recorded or composed from the alert execution that ran them (contract 2.2, 4.6)."""

from fastapi import APIRouter
from starlette.responses import Response

from schemas.ids import parse_execution_id
from streams.query.compose import retrievers as compose
from streams.query.reads import executions, retrievers
from streams.query.routes.answer import answer, known, refuse
from streams.query.routes.bodies import ListRequest
from streams.runtime.http.access import AccessDep, ContextDep
from streams.runtime.http.errors import not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep


async def detail(retriever_id: str, execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """One execution of a retriever, with its documents and statistics."""
    async with context.database.transaction(snapshot=True) as connection:
        retriever = await known(connection, "retriever", access.namespace_id, retriever_id)
        identifier = retriever.record.id
        run = await retrievers.run(connection, access.namespace_id, identifier, execution_id)
        if run is not None:
            return await answer(connection, compose.stored_detail(run))
        ref = parse_execution_id(execution_id)
        found = None if ref is None else await executions.by_id(connection, access.namespace_id, ref)
        if found is None or found.retriever_id != identifier:
            raise not_found("execution", execution_id)
        return await answer(connection, compose.percolated_detail(found, retriever.body))


async def list_executions(
    retriever_id: str, access: AccessDep, context: ContextDep, page: PageDep, body: ListRequest | None = None
) -> Response:
    """Executions of a retriever, newest first: recorded runs, and those of the alerts that run it now."""
    asked = body or ListRequest()
    refuse(filters=asked.filters, sort=asked.sort, sorts=asked.sorts, search=asked.search, cursor=page.cursor)
    needed = page.offset + page.limit
    async with context.database.transaction(snapshot=True) as connection:
        identifier = (await known(connection, "retriever", access.namespace_id, retriever_id)).record.id
        runs, total = await retrievers.newest(connection, access.namespace_id, identifier, asked.status, needed)
        # An alert execution is written when it has completed.
        alerts = []
        if asked.status in (None, "completed"):
            alerts = await retrievers.alerts_of(connection, access.namespace_id, identifier)
        hits = await executions.newest(connection, access.namespace_id, alerts, needed) if alerts else []
        total += await executions.count(connection, access.namespace_id, alerts)
        results = compose.newest_first(runs, hits, page.offset, page.limit)
        pagination = {
            "total": total,
            "limit": page.limit,
            "offset": page.offset,
            "has_next": page.offset + len(results) < total,
        }
        return await answer(connection, {"results": results, "pagination": pagination})


def router() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/retrievers", tags=["retrievers"], route_class=JsonRoute)
    router.post("/{retriever_id}/executions/list")(list_executions)
    router.get("/{retriever_id}/executions/{execution_id}")(detail)
    return router
