"""Alert results: the newest of one alert, lists, one by id (contract 2.1, 4.1)."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from schemas.api.alert_execution import AlertExecutionListResponse, AlertExecutionResult, LatestResultResponse
from schemas.events.definition import DefinitionRecord
from schemas.ids import parse_execution_id
from streams.query.compose import alerts as compose
from streams.query.compose.rows import Execution, Unfired
from streams.query.paging import cut, parse_cursor
from streams.query.reads import executions, progress
from streams.query.reads.latest import Latest, latest
from streams.query.routes.answer import answer, known
from streams.query.routes.bodies import BodyPageDep
from streams.query.routes.composing import composed
from streams.query.routes.stream import STREAMED, stream_executions
from streams.runtime.database import Connection
from streams.runtime.http.access import AccessDep, CallerDep, ContextDep, wanted_namespace
from streams.runtime.http.application import one_of
from streams.runtime.http.errors import ApiError, not_found
from streams.runtime.http.json_route import JsonRoute
from streams.runtime.http.pages import PageDep, PageRequest, page_envelope


async def latest_result(
    alert_identifier: str,
    caller: CallerDep,
    wanted: Annotated[str, Depends(wanted_namespace)],
    context: ContextDep,
) -> Response:
    """The newest execution of an alert. 404 when it is unknown or was never checked."""

    async def entered(connection: Connection) -> tuple[Latest, str]:
        found = await latest(connection, wanted, alert_identifier)
        if found is None or not caller.may_enter(found.namespace_id):
            raise not_found("namespace", wanted)
        if found.alert_id is None:
            raise not_found("alert", alert_identifier)
        return found, found.alert_id

    async with context.database.connection() as connection:
        found, alert_id = await entered(connection)
    silent: list[Unfired] = []
    if found.execution is None:
        # Whether it was checked is another question. It may fire between the two: both of one snapshot.
        async with context.database.transaction(snapshot=True) as connection:
            found, alert_id = await entered(connection)
            silent = await progress.unfired(connection, found.namespace_id, alert_id)
    if found.execution is not None:
        result = compose.recorded(found.execution, found.deliveries)
    elif silent:
        result = compose.derived(silent[0])
    else:
        raise ApiError(
            404,
            f"Alert has not been executed yet: {alert_id}",
            details={"resource": "alert_execution", "id": alert_id},
        )
    return answer({**result, "checked_through": compose.checked_through(found.checked)})


async def list_all(
    request: Request, access: AccessDep, context: ContextDep, page: BodyPageDep, base_url: str | None = None
) -> Response:
    """Executions of every alert of the namespace, newest first."""
    silent = one_of(request.app, progress.Silent, progress.Silent)
    async with context.database.transaction(snapshot=True) as connection:
        body = await _listed(connection, access.namespace_id, page, silent)
        following = body["pagination"]["next_cursor"]
        if base_url and following:
            query = urlencode({"limit": page.limit, "cursor": following})
            body["pagination"]["next_page"] = f"{base_url.rstrip('/')}/v1/alerts/executions?{query}"
        return answer(body)


async def list_of_alert(alert_identifier: str, access: AccessDep, context: ContextDep, page: PageDep) -> Response:
    """Executions of one alert, newest first."""
    async with context.database.transaction(snapshot=True) as connection:
        alert = (await known(connection, "alert", access.namespace_id, alert_identifier)).record
        return answer(await _listed(connection, access.namespace_id, page, alert))


async def one(execution_id: str, access: AccessDep, context: ContextDep) -> Response:
    """One execution by id."""
    ref = parse_execution_id(execution_id)
    if ref is None:
        raise not_found("execution", execution_id)
    async with context.database.transaction(snapshot=True) as connection:
        found: list[Execution | Unfired] = []
        if ref.base == compose.UNFIRED_BASE:
            silent = await progress.unfired(connection, access.namespace_id)
            found = [item for item in silent if item.number == ref.alert_number]
        elif (execution := await executions.by_id(connection, access.namespace_id, ref)) is not None:
            found = [execution]
        if not found:
            raise not_found("execution", execution_id)
        (result,) = await composed(connection, access.namespace_id, found)
        return answer(result)


async def _listed(
    connection: Connection, namespace_id: str, request: PageRequest, of: DefinitionRecord | progress.Silent
) -> dict[str, Any]:
    """A page of one alert, or of all of the namespace."""
    after = parse_cursor(request.cursor)
    offset = 0 if after else request.offset
    alert = of if isinstance(of, DefinitionRecord) else None
    alerts = None if alert is None else [alert.number]
    recorded: list[Execution] = []
    full = offset + request.limit + 1
    if after is None or after.recorded:
        recorded = await executions.newest(connection, namespace_id, alerts, full, after=after)
    unfired: list[Unfired] = []
    if isinstance(of, progress.Silent) and len(recorded) == full:
        # They come behind everything that is recorded.
        silent = await of.count(connection, namespace_id)
    else:
        if isinstance(of, progress.Silent):
            unfired = await of.all(connection, namespace_id)
        else:
            unfired = await progress.unfired(connection, namespace_id, of.id)
        silent = len(unfired)
    page, following = cut(recorded, unfired, after, offset, request.limit)
    total = await executions.count(connection, namespace_id, alerts) + silent
    return {
        "results": await composed(connection, namespace_id, page),
        "pagination": page_envelope(request, total, None if following is None else following.cursor()),
        "total_count": total,
    }


def router() -> APIRouter:
    """The routes, literal segments first."""
    router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=JsonRoute)
    router.get("/executions", response_model=AlertExecutionListResponse)(list_all)
    router.get("/executions/stream", response_class=StreamingResponse, responses=STREAMED)(stream_executions)
    router.get("/executions/{execution_id}", response_model=AlertExecutionResult)(one)
    router.get("/{alert_identifier}/results", response_model=LatestResultResponse)(latest_result)
    router.get("/{alert_identifier}/executions", response_model=AlertExecutionListResponse)(list_of_alert)
    return router
