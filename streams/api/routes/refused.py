"""Endpoints that are refused, with the reason why. They come before all others: some are words where an
identifier could stand."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import count

from fastapi import APIRouter, Request, Response

from streams.api.refused import AREAS, ENDPOINTS
from streams.runtime.http.access import authenticate
from streams.runtime.http.errors import ApiError

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _refusing(reason: str) -> Callable[[Request], Awaitable[Response]]:
    async def refuse(request: Request) -> Response:
        await authenticate(request)
        raise ApiError(403, f"Not available on this server: {reason}", type="NotEnabledError")

    return refuse


def _named(template: str) -> Iterator[str]:
    """The parts of a path with a name for each of its ``{}``."""
    numbers = count(1)
    first, *rest = template.split("{}")
    yield first
    for part in rest:
        yield f"{{name_{next(numbers)}}}{part}"


def _router() -> APIRouter:
    """A plain route for each endpoint and two for each area: they have no models and are in no document."""
    router = APIRouter()
    for endpoint, reason in ENDPOINTS.items():
        method, _, template = endpoint.partition(" ")
        router.add_route("".join(_named(template)), _refusing(reason), [method], include_in_schema=False)
    for area, reason in AREAS.items():
        refuse = _refusing(reason)
        path = "".join(_named(area))
        for beneath in (path, f"{path}/{{rest:path}}"):
            router.add_route(beneath, refuse, list(_METHODS), include_in_schema=False)
    return router


router = _router()
