"""What a route is, as far as the document depends on it: read from the route itself, so that no route says it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel

from streams.runtime.http.access import administer, authenticate, authorize, enter_namespace, wanted_namespace
from streams.runtime.http.freshness import fresh_documents, fresh_results
from streams.runtime.http.guard import UNLIMITED
from streams.runtime.http.json_route import BodyOfGet
from streams.runtime.http.openapi.sdk_names import CLASSES

_IDENTIFIER: Final = re.compile(r"\{[^}]*\}")
_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    route: (tag, name) for tag, routes in CLASSES.items() for route, name in routes.items()
}
"""By method and path the tag and the ``operationId``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    """As the document has it."""
    name: str
    """``operationId``."""
    tag: str
    needs_key: bool
    in_namespace: bool
    """It works in the namespace that the request names."""
    has_body: bool
    get_body: type[BaseModel] | None
    """What it reads of a body although it is a GET."""
    changes_definitions: bool
    """It answers with the version of the definitions that it made."""
    reads_results: bool
    """It answers from the view of results, and tells how old that is."""
    waits: bool
    """It may be told to wait for a write."""
    changes: bool
    """It may be refused because of how things stand: a name in use, something that others need."""
    is_limited: bool
    """The key may ask it too often."""


def key(method: str, path: str) -> str:
    """A route whatever its identifiers are called."""
    return f"{method} {_IDENTIFIER.sub('{}', path)}"


def operations(app: FastAPI) -> list[Operation]:
    """Every operation that the document shows, in the order of the routes."""
    routes = [
        (method, route)
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and route.include_in_schema
        for method in sorted(route.methods or ())
    ]
    own = [route.name for method, route in routes if key(method, str(route.path_format)) not in _NAMES]
    return [_operation(method, route, own.count(route.name) > 1) for method, route in routes]


def _operation(method: str, route: RouteContext, ambiguous: bool) -> Operation:
    path = str(route.path_format)
    tag, name = _NAMES.get(key(method, path)) or _own_name(path, str(route.name), ambiguous)
    called = set(_calls(route.dependant))
    get_body = next((call.shape for call in called if isinstance(call, BodyOfGet)), None)
    return Operation(
        method=method,
        path=path,
        name=name,
        tag=tag,
        needs_key=not called.isdisjoint((authenticate, authorize, administer)),
        in_namespace=not called.isdisjoint((enter_namespace, wanted_namespace)),
        has_body=route.body_field is not None,
        get_body=get_body,
        changes_definitions=method != "GET" and route.dependant.response_param_name is not None,
        reads_results=fresh_results in called,
        waits=not called.isdisjoint((fresh_documents, fresh_results)),
        changes=_changes(method, path, route.body_field is not None or get_body is not None),
        is_limited=path not in UNLIMITED,
    )


def _changes(method: str, path: str, has_body: bool) -> bool:
    if method == "GET":
        # A document by its id alone may be several; of many things some questions are not answered.
        return has_body or path.startswith("/v1/documents/") or path.endswith("/documents")
    return has_body or method == "DELETE" or path.endswith(("/execute", "/cancel"))


def _own_name(path: str, function: str, ambiguous: bool) -> tuple[str, str]:
    """Tag and name of an operation that the SDK has not: the tag of its nearest neighbour; the function's name,
    with the resource where another function is called the same."""
    parts = _IDENTIFIER.sub("{}", path).split("/")
    for length in range(len(parts), 2, -1):
        prefix = "/".join(parts[:length])
        for route, (tag, _) in _NAMES.items():
            known = route.partition(" ")[2]
            if known == prefix or known.startswith(f"{prefix}/"):
                return tag, _told_apart(function, parts, ambiguous)
    return parts[2].capitalize(), _told_apart(function, parts, ambiguous)


def _told_apart(function: str, parts: list[str], ambiguous: bool) -> str:
    return f"{function}_{'_'.join(part for part in parts[2:4] if part != '{}')}" if ambiguous else function


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)
