"""What stands before every route: a valid key, limits, a time to be done in, and headers that browsers heed.

A route that forgot its dependency is still not open: only the paths in :data:`OPEN` answer without a key.
"""

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.runtime import metrics
from streams.runtime.http.access import authenticate
from streams.runtime.http.errors import ApiError, envelope, error_response, timed_out
from streams.runtime.http.event_stream import MEDIA_TYPE
from streams.runtime.http.headers import APPLIED_AT, DEFINITIONS_VERSION, WRITE_TOKEN
from streams.runtime.http.limits import Limits, Refusal, Usage

OPEN: Final = frozenset(
    {
        "/v1/health",
        "/v1/health/liveness",
        "/v1/health/beat",
        "/v1/retrievers/stages",
        "/openapi.json",
    }
)
"""Paths that need no key: nothing a tenant owns is behind them."""
UNLIMITED: Final = frozenset({"/v1/health/deep", "/metrics"})
"""Paths that need a key and are asked by machines at a rhythm of their own."""
_EXTRA: Final = "tidewatch_headers"
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_DATA: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""For answers that are no pages: whatever a document holds, a browser runs nothing of it and keeps none."""
EXPOSED: Final = (
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-ID",
    WRITE_TOKEN,
    APPLIED_AT,
    DEFINITIONS_VERSION,
)
"""Headers that pages of allowed origins may read."""
_STRICT_TRANSPORT: Final = "max-age=31536000"


def answer_header(request: Request, name: str, value: str) -> None:
    """Put a header on the answer of a request, whatever the answer will be."""
    extra = request.scope.setdefault("state", {}).setdefault(_EXTRA, {})
    extra[name] = value


class Guard:
    """ASGI middleware. ``seconds`` is what a request may take until its answer begins; an event stream that has
    begun goes on as long as it will."""

    def __init__(
        self, app: ASGIApp, limits: Limits, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._usage = Usage(limits)
        self._seconds = seconds
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        exchange = _Exchange(scope, receive, send)
        try:
            async with asyncio.timeout(self._seconds) as exchange.deadline:
                await self._admitted(scope, exchange)
        except Exception as error:
            # Whatever went wrong before the answer began is answered; later nobody could be told.
            if exchange.started:
                raise
            late = exchange.deadline is not None and exchange.deadline.expired()
            exchange.deadline = None
            await self._answer(exchange, self._told(error, exchange, late=late))

    async def _admitted(self, scope: Scope, exchange: "_Exchange") -> None:
        path = scope["path"]
        if path in OPEN:
            await self._app(scope, exchange.receive, exchange.send)
            return
        request = Request(scope)
        caller = await authenticate(request)
        if path in UNLIMITED:
            await self._app(scope, exchange.receive, exchange.send)
            return
        stream = MEDIA_TYPE in Headers(scope=scope).get("accept", "")
        refusal = self._usage.enter(caller.key_id, self._monotonic(), stream=stream)
        for name, value in self._usage.headers(caller.key_id, self._monotonic()).items():
            answer_header(request, name, value)
        if refusal is not None:
            metrics.HTTP_REFUSED.labels("429").inc()
            await self._answer(exchange, envelope(_too_many(refusal, scope)))
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._usage.leave(caller.key_id, stream=stream)

    def _told(self, error: Exception, exchange: "_Exchange", *, late: bool) -> Response:
        if late and isinstance(error, TimeoutError):
            metrics.HTTP_REFUSED.labels("time").inc()
            if exchange.reading:
                return envelope(ApiError(408, f"The request did not arrive within {self._seconds:g} seconds"))
            return envelope(
                timed_out(f"The request took longer than {self._seconds:g} seconds and was given up; ask for less")
            )
        return error_response(exchange.scope["path"], error)

    async def _answer(self, exchange: "_Exchange", response: Response) -> None:
        await response(exchange.scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer, watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._complete = False
        self.deadline: asyncio.Timeout | None = None
        self.started = False
        """Whether the answer has begun."""
        self.reading = False
        """Whether the body is waited for."""

    async def receive(self) -> Message:
        self.reading = not self._complete
        message = await self._receive()
        self.reading = False
        self._complete = self._complete or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self.deadline is not None:
                self.deadline.reschedule(None)
            _set_headers(self.scope, message)
        await self._send(message)


def _set_headers(scope: Scope, message: MutableMapping[str, Any]) -> None:
    headers = MutableHeaders(scope=message)
    extra: dict[str, str] = scope["state"].get(_EXTRA, {})
    for name, value in extra.items():
        headers[name] = value
    page = headers.get("content-type", "").startswith("text/html")
    for name, value in (_SECURITY if page else {**_SECURITY, **_DATA}).items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", _STRICT_TRANSPORT)


def _too_many(refusal: Refusal, scope: Scope) -> ApiError:
    # Whole seconds, and never a moment too early.
    wait = max(1, -int(-refusal.retry_after_seconds // 1))
    details = {
        "api_name": f"{scope['method']} {scope['path'][:200]}",
        "retryable": True,
        "retry_after_seconds": wait,
    }
    return ApiError(429, refusal.reason, details=details, headers={"Retry-After": str(wait)})
