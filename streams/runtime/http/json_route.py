"""What a request body may be before anybody reads it: JSON, not too deep. How large, the middleware decides."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from streams.runtime.http.errors import invalid

MAX_DEPTH = 64


def check_json(value: Any) -> str | None:
    """Why a decoded body cannot be stored: nested too deep, or text with a NUL character. ``None`` when fine."""
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if any("\x00" in key for key in item):
                    return "Text must not contain a NUL character"
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
            elif isinstance(item, str) and "\x00" in item:
                return "Text must not contain a NUL character"
        if not deeper:
            return None
        level = deeper
    return f"The body is nested deeper than {MAX_DEPTH} levels"


class _JsonRequest(Request):
    """A request whose body is decoded once, strictly."""

    async def json(self) -> Any:
        if not hasattr(self, "_decoded"):
            try:
                self._decoded = orjson.loads(await self.body())
            except orjson.JSONDecodeError as error:
                raise invalid(f"The body is not JSON: {error}", "body", kind="json_invalid") from error
            if (problem := check_json(self._decoded)) is not None:
                raise invalid(problem, "body")
        return self._decoded


class JsonRoute(APIRoute):
    """A route that reads its body by the rules above, so that every error of it has the envelope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request whose body was read and checked."""
        handler = super().get_route_handler()

        async def read_then_handle(request: Request) -> Response:
            checked = _JsonRequest(request.scope, request.receive)
            if self.body_field is not None and await checked.body():
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != "application/json" and not kind.endswith("+json"):
                    raise invalid("Send the body with Content-Type: application/json", "header", "content-type")
                await checked.json()
            return await handler(checked)

        return read_then_handle
