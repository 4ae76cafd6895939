"""What routes depend on is found in the event loop."""

import inspect
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from tests.api.answers import service


def test_no_dependency_is_run_in_a_thread() -> None:
    """FastAPI runs what is no coroutine in a thread, for which the request waits."""
    found = [
        (route.path_format, call)
        for route in iter_route_contexts(service().routes)
        if isinstance(dependant := getattr(route, "dependant", None), Dependant)
        for call in calls(dependant)
    ]
    assert len(found) > 100
    assert [one for one in found if not in_the_loop(one[1])] == []


def calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)


def in_the_loop(call: object) -> bool:
    return any(
        found(one)
        for one in (call, getattr(type(call), "__call__", None))  # noqa: B004
        for found in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    )
