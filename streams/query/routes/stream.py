"""New executions as server-sent events (docs/alerts.md): an extension of the contract.

Every event is one execution, its id where the stream stands behind it. A stream that begins with the id of the
last event received (``Last-Event-ID``, which browsers send by themselves) goes on behind it: nothing is lost,
nothing comes twice. It holds no more than one page in memory: it reads on when its client has taken that.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Final

import orjson
from fastapi import Header, Query, Request
from starlette.responses import Response

from schemas.api.alert_execution import AlertExecutionResult
from schemas.topics import ALERT_RESULTS
from streams.query.compose.alerts import recorded
from streams.query.following import EVENT_ID, Stands, at_ends, parse_event_id
from streams.query.reads.brought import Following, ends, following
from streams.query.routes.answer import known
from streams.query.waking import Waking, waking
from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition
from streams.runtime.http.access import Access, AccessDep, ContextDep, caller_of
from streams.runtime.http.errors import ApiError
from streams.runtime.http.event_stream import event_stream, streamed

PAGE: Final = 200
HEARTBEAT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 1.0
"""How long a stream waits for a notification, which may get lost with the connection that listens."""
MAX_ALERTS: Final = 100
_RETRY: Final = b"retry: 1000\n"

AlertIds = Annotated[
    list[str] | None, Query(max_length=MAX_ALERTS, description="Only executions of these alerts: ids or names")
]
LastEventId = Annotated[
    str | None,
    Header(
        max_length=8_192,
        description="The id of the last event received",
        # What is none is a 400: the pattern only describes it.
        json_schema_extra={"pattern": EVENT_ID},
    ),
]
Timeout = Annotated[
    int | None,
    Query(
        ge=0,
        le=86_400,
        description="Seconds after which the stream ends, once everything is sent that is there; 0: at once",
    ),
]
STREAMED: Final = streamed(
    AlertExecutionResult,
    'id: 0:1412,1:1398\n\nevent: execution\nid: 0:1412,1:1398:31\ndata: {"execution_id":"exec_1f0c"}\n\n',
)
"""For the route."""


async def stream_executions(
    request: Request,
    access: AccessDep,
    context: ContextDep,
    alert_id: AlertIds = None,
    timeout_seconds: Timeout = None,
    last_event_id: LastEventId = None,
) -> Response:
    """New executions of the namespace as they reach the view, as server-sent events. With `Last-Event-ID` the
    stream goes on behind that event. Without `timeout_seconds` it does not end before the caller goes away."""
    alerts: list[int] | None = None
    async with context.database.connection() as connection:
        if alert_id:
            alerts = [
                (await known(connection, "alert", access.namespace_id, one)).record.number for one in alert_id
            ]
        if last_event_id is None:
            now = await ends(connection, context.broker.topic(ALERT_RESULTS))
            stands = at_ends(now)
        else:
            stands = _parsed(last_event_id)
    follower = _Follower(request, context, access, alerts, stands, timeout_seconds)
    return event_stream(follower.events(waking(request.app, context.settings.database)))


def _parsed(text: str) -> Stands:
    try:
        return parse_event_id(text)
    except ValueError as error:
        raise ApiError(400, f"Last-Event-ID is not one this server gave out: {error}") from error


class _Follower:
    """One stream."""

    def __init__(
        self,
        request: Request,
        context: Context,
        access: Access,
        alerts: list[int] | None,
        stands: Stands,
        timeout: float | None,
    ) -> None:
        self._request = request
        self._context = context
        self._access = access
        self._alerts = alerts
        self._stands = stands
        self._topic = context.broker.topic(ALERT_RESULTS)
        self._ends_at = math.inf if timeout is None else time.monotonic() + timeout

    async def events(self, waking: Waking) -> AsyncIterator[bytes]:
        """What is sent."""
        with waking.stream() as wake:
            yield _RETRY + self._standing()
            beat = time.monotonic()
            while not waking.ending:
                wake.clear()
                found = await self._next()
                if found.page:
                    # Together: each piece of its own is a turn of the server, and of whoever reads it.
                    yield b"".join(self._events(found))
                self._stands = found.stands
                if time.monotonic() - beat > HEARTBEAT_SECONDS:
                    if not await self._still_allowed():
                        return
                    # Also says how far the stream has come where nothing was for it.
                    yield b": alive\n" + self._standing()
                    beat = time.monotonic()
                if not found.behind:
                    left = self._ends_at - time.monotonic()
                    if left <= 0:
                        return
                    await _wait(wake, min(POLL_SECONDS, left))

    def _events(self, found: Following) -> Iterator[bytes]:
        for item, execution, deliveries in found.page:
            self._stands = self._stands.behind(item)
            yield _event(self._stands.event_id(), recorded(execution, deliveries))

    async def _next(self) -> Following:
        async with self._context.database.connection() as connection:
            where = self._topic, self._access.namespace_id
            return await following(connection, *where, self._alerts, self._stands, PAGE)

    async def _still_allowed(self) -> bool:
        caller = self._access.caller
        now = await caller_of(self._request, caller.secret_digest, caller.expires_at)
        async with self._context.database.connection() as connection:
            namespace = await find_definition(connection, "namespace", "", self._access.namespace_id)
        return (
            namespace is not None
            and now is not None
            and now.may_enter(self._access.namespace_id)
            and "read" in now.scopes
            and (caller.expires_at is None or caller.expires_at > self._context.clock())
        )

    def _standing(self) -> bytes:
        return b"id: %b\n\n" % self._stands.event_id().encode()


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


def _event(event_id: str, result: dict[str, Any]) -> bytes:
    return b"event: execution\nid: %b\ndata: %b\n\n" % (event_id.encode(), orjson.dumps(result))
