"""What a request body may be before anybody reads it: JSON, not too deep. How large, the middleware decides."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from schemas.strict_json import problem_in
from streams.runtime.http.errors import invalid

M = TypeVar("M", bound=BaseModel)


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


@dataclass(frozen=True, slots=True)
class BodyOfGet(Generic[M]):
    """A dependency: the body that some callers send with a GET (contract 1.1); without one, what ``shape`` is by
    default. On a :class:`JsonRoute`, whose requests decode strictly. The document knows it by its type."""

    shape: type[M]

    async def __call__(self, request: Request) -> M:
        """Read it. Raises 422 for what it may not be."""
        if not (await request.body()).strip():
            return self.shape()
        given = await request.json()
        try:
            return self.shape() if given is None else self.shape.model_validate(given)
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
