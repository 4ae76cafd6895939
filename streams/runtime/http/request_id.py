"""A request id on every response and in every log line of the request (contract 1.2)."""

import re
import secrets

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
_USABLE = re.compile(r"[\w.:+/=@-]{1,128}", re.ASCII)


class RequestIds:
    """ASGI middleware: keeps the caller's ``X-Request-ID`` where it is usable, else makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        identifier = given if _USABLE.fullmatch(given) else f"req_{secrets.token_hex(8)}"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = identifier
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=identifier):
            await self._app(scope, receive, answer)
