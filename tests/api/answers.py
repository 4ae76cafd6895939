"""Answers held against the document: an answer that it does not allow is an error of the test."""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import httpx
import jsonschema_rs
import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from streams.api.shapes import shapes
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.http.openapi.document import document
from streams.runtime.http.openapi.operations import key
from streams.settings import Settings


@cache
def service() -> FastAPI:
    """The whole application, of which no route is asked: it takes neither a database nor a broker."""
    return build_http(cast(Context, SimpleNamespace(settings=Settings())))


@cache
def described() -> dict[str, Any]:
    """Its document, as it is served."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(document(service(), shapes())))
    return found


@cache
def answers() -> "Answers":
    """What it allows; made once in a run."""
    return Answers(service(), described())


class Answers:
    """The answers that the document of an application allows."""

    def __init__(self, app: FastAPI, described: Mapping[str, Any]) -> None:
        self._components = {
            **described["components"],
            "schemas": closed(described["components"]["schemas"]),
        }
        self._operations = {
            key(method.upper(), path): operation
            for path, item in described["paths"].items()
            for method, operation in item.items()
        }
        self._routes = [
            (str(route.path_format), route.path_regex, route.methods or ())
            for route in iter_route_contexts(app.routes)
            if isinstance(route.original_route, APIRoute)
        ]
        self._validators: dict[tuple[str, int], jsonschema_rs.Validator] = {}

    def problems(self, request: httpx.Request, response: httpx.Response) -> list[str]:
        """What the document says otherwise."""
        path = httpx.URL(request.url).path
        found = next(
            (
                pattern
                for pattern, regex, methods in self._routes
                if request.method in methods and regex.match(path) is not None
            ),
            None,
        )
        operation = None if found is None else self._operations.get(key(request.method, found))
        if operation is None:
            return []
        status = response.status_code
        if str(status) not in operation["responses"]:
            return [f"{status} is not documented"]
        answer = operation["responses"][str(status)]
        if "$ref" in answer:
            answer = self._components["responses"][answer["$ref"].rpartition("/")[2]]
        kind = response.headers.get("content-type", "").partition(";")[0]
        content: Mapping[str, Any] = answer.get("content", {})
        if not content:
            return [] if not response.content else [f"{status} has a body"]
        if kind not in content:
            return [f"{status}: {kind} is not documented"]
        if kind != "application/json":
            return []
        place = (operation["operationId"], status)
        if place not in self._validators:
            schema = {"allOf": [content[kind]["schema"]], "components": self._components}
            self._validators[place] = jsonschema_rs.validator_for(schema)
        errors = self._validators[place].iter_errors(response.json())
        return [f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}" for error in errors]


def closed(schemas: Any) -> Any:
    """The same schemas, which a field that they do not name does not fulfil, unless they say that it may be."""
    if isinstance(schemas, list):
        return [closed(item) for item in schemas]
    if not isinstance(schemas, dict):
        return schemas
    inner = {name: closed(item) for name, item in schemas.items()}
    if inner.get("type") == "object" and "properties" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


async def check(response: httpx.Response) -> None:
    """An event hook of a client: every answer is what the document says."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return
    await response.aread()
    problems = answers().problems(response.request, response)
    assert problems == [], f"{response.request.method} {response.request.url.path}: {problems[:5]}"
