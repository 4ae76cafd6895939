"""What a request body may be before anybody reads it: JSON, not too deep. How large, the middleware decides."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from schemas.strict_json import problem_in
from streams.runtime.http.errors import invalid

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])


class _JsonRequest(Request):
    """A request whose body is decoded once, strictly."""

    async def json(self) -> Any:
        if not hasattr(self, "_decoded"):
            try:
                self._decoded = orjson.loads(await self.body())
            except orjson.JSONDecodeError as error:
                raise invalid(f"The body is not JSON: {error}", "body", kind="json_invalid") from error
            if (problem := problem_in(self._decoded)) is not None:
                raise invalid(f"The body cannot be read: {problem}", "body")
        return self._decoded


BODIES_OF_GETS: Final[dict[object, type[BaseModel]]] = {}
"""By dependency the body that it reads of a GET (contract 1.1)."""


def reads_body(shape: type[BaseModel]) -> Callable[[F], F]:
    """Mark a dependency that reads such a body where one arrives: the document says so."""

    def marked(dependency: F) -> F:
        BODIES_OF_GETS[dependency] = shape
        return dependency

    return marked


async def body_of_get(request: Request, shape: type[M]) -> M:
    """The body that some callers send with a GET (contract 1.1); without one, what ``shape`` is by default. On a
    :class:`JsonRoute`, whose requests decode strictly."""
    if not (await request.body()).strip():
        return shape()
    given = await request.json()
    try:
        return shape() if given is None else shape.model_validate(given)
    except ValidationError as error:
        problems = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(problems) from error


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
