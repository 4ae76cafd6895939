"""The document: FastAPI's, with names, security, headers, errors and examples put in by rule.

Routes declare their parameters, bodies and answers; everything else follows from what they depend on, so that a
new route is described completely without a word about it. ``tests/api/test_openapi.py`` names one that is not.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from schemas.api.error import ErrorDetail, ErrorResponse
from streams.runtime.http import headers
from streams.runtime.http.cookies import PLAIN
from streams.runtime.http.openapi import errors
from streams.runtime.http.openapi.examples import add_examples, read_examples
from streams.runtime.http.openapi.links import add_links
from streams.runtime.http.openapi.operations import Operation, key, operations
from streams.runtime.http.openapi.shapes import CONTENT, put_references, storable

PATH: Final = "/openapi.json"
SECURITY: Final = "ApiKey"
SESSION: Final = "Session"
_TEXT: Final = r"^[^\x00]*$"
"""PostgreSQL has no NUL in any text."""
_FASTAPIS_OWN: Final = ("HTTPValidationError", "ValidationError")
_HEADERS: Final[Mapping[str, Any]] = {
    "X-Request-ID": {
        "description": "The caller's own, where it is usable, else one that was made. It is in the server's log.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        "example": "req_5f1c0a9b2d3e4f60",
    },
    headers.DEFINITIONS_VERSION: {
        "description": "The version of the definitions that this change made: `<epoch>:<n>`.",
        "schema": {"type": "string"},
        "example": "1d6f9e0e-2f4b-4a52-9a3f-0b8a3c9a7f11:42",
    },
    headers.WRITE_TOKEN: {
        "description": "Names what was written: send it as `X-Min-Position` to read it back.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "How much the key may ask: `q` requests in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"key";q=200;w=2',
    },
    "RateLimit": {
        "description": "How much the key has left: `r` requests, all back after `t` seconds.",
        "schema": {"type": "string"},
        "example": '"key";r=199;t=1',
    },
    headers.APPLIED_AT: {
        "description": "Every result recorded before this instant was in the view that was read.",
        "schema": {"type": "string", "format": "date-time"},
        "example": "2026-03-02T12:30:00Z",
    },
    errors.RETRY_AFTER: {
        "description": "Seconds to wait before the request is sent again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": "2",
    },
}
_NAMESPACE: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "name": "X-Namespace",
        "in": "header",
        "required": False,
        "description": "Name or id of the namespace to work in; the server's default namespace without it.",
        "schema": {"type": "string", "maxLength": 1024},
    },
    {
        "name": "namespace",
        "in": "query",
        "required": False,
        "description": "The same, where a header cannot be sent; the header wins.",
        "schema": {"type": "string", "pattern": _TEXT},
    },
)


def install_openapi(app: FastAPI, shapes: Callable[[], Mapping[str, Any]]) -> None:
    """Serve the document of ``app`` at ``/openapi.json``, to everybody: it tells what the service is, not what is
    in it. ``shapes`` are those that models name (:mod:`streams.runtime.http.openapi.shapes`)."""

    @cache
    def encoded() -> bytes:
        return orjson.dumps(document(app, shapes()))

    @app.get(PATH, include_in_schema=False)
    async def openapi() -> Response:
        return Response(encoded(), media_type="application/json")


def document(app: FastAPI, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI document of an application."""
    found: dict[str, Any] = get_openapi(
        title=app.title,
        version=version("tidewatch"),
        description=(
            "Standing alerts, drift triggers and actions over a stream of documents. The wire contract of the"
            " Mixpeek SDK: tags are its classes, operation ids its methods."
        ),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
        servers=[{"url": "/"}],
    )
    found["paths"] = _merged(found["paths"])
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for model in (ErrorDetail, ErrorResponse):
        schemas[model.__name__] = _schema(model)
    # They are changed below, and belong to those that name them.
    schemas |= deepcopy(dict(shapes))
    put_references(found)
    storable(found)
    components["headers"] = {name: dict(header) for name, header in _HEADERS.items()}
    components["responses"] = errors.responses(_headers("X-Request-ID"))
    components["securitySchemes"] = {
        SECURITY: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of this server (`tidewatch keys create`): `Authorization: Bearer sk_…`.",
        },
        SESSION: {
            "type": "apiKey",
            "in": "cookie",
            "name": PLAIN,
            "description": "A browser's session (`POST /v1/session`).",
        },
    }
    every = operations(app)
    by_key = {
        key(method.upper(), path): described
        for path, item in found["paths"].items()
        for method, described in item.items()
    }
    for operation in every:
        described = by_key[key(operation.method, operation.path)]
        _complete(described, operation)
        if operation.get_body is not None:
            described["requestBody"] = _body_of_get(found, operation.path, operation.get_body)
    found["tags"] = [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in every)]
    add_links(found)
    add_examples(found, read_examples())
    return found


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    written = model.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    written.pop("$defs", None)
    return written


def _body_of_get(found: Mapping[str, Any], path: str, model: type[BaseModel]) -> dict[str, Any]:
    """The body that a GET may have: that of the ``POST …/list`` beside it, or ``model``."""
    beside = found["paths"].get(f"{path}/list", {}).get("post", {}).get("requestBody")
    if beside is None:
        found["components"]["schemas"][model.__name__] = _schema(model)
        schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    else:
        schema = beside["content"]["application/json"]["schema"]
    # `null` is what clients send that always send a body.
    either = {"anyOf": [schema, {"type": "null"}]}
    return {"required": False, "content": {"application/json": {"schema": either, "example": {"limit": 10}}}}


def _merged(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Paths that differ only in what an identifier is called are one path: the first name it has."""
    merged: dict[str, Any] = {}
    first: dict[str, str] = {}
    for path, item in paths.items():
        shape = key("", path)
        into = first.setdefault(shape, path)
        renamed = dict(zip(_identifiers(path), _identifiers(into), strict=True))
        for described in item.values():
            for parameter in described.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["name"] = renamed[parameter["name"]]
        merged.setdefault(into, {}).update(item)
    return merged


def _identifiers(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _complete(described: dict[str, Any], operation: Operation) -> None:
    described["operationId"] = operation.name
    described["tags"] = [operation.tag]
    described["summary"] = described.get("description", "").partition(".")[0].replace("\n", " ")
    described["security"] = [{SECURITY: []}, {SESSION: []}] if operation.needs_key else []
    parameters = described.setdefault("parameters", [])
    declared = {(parameter["in"], parameter["name"].lower()) for parameter in parameters}
    if operation.in_namespace:
        parameters += [dict(one) for one in _NAMESPACE if (one["in"], one["name"].lower()) not in declared]
    for parameter in parameters:
        schema = _written(parameter["schema"])
        if CONTENT in schema:
            del parameter["schema"]
            parameter["content"] = {"application/json": {"schema": schema[CONTENT]}}
        else:
            parameter["schema"] = schema
    if not parameters:
        del described["parameters"]
    shown = ["X-Request-ID"]
    if operation.needs_key and operation.is_limited:
        shown += ["RateLimit-Policy", "RateLimit"]
    if operation.changes_definitions:
        shown += [headers.DEFINITIONS_VERSION, headers.WRITE_TOKEN]
    if operation.reads_results:
        shown.append(headers.APPLIED_AT)
    answers = {status: answer for status, answer in described["responses"].items() if status.startswith("2")}
    for answer in answers.values():
        answer["headers"] = {**answer.get("headers", {}), **_headers(*shown)}
        answer["description"] = "Done" if answer["description"] == "Successful Response" else answer["description"]
    described["responses"] = {
        **answers,
        **{str(status): errors.reference(status) for status in statuses(operation, bool(parameters))},
    }


def _written(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: outside a body nothing is ``null``, and no text holds a NUL."""
    either = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(either) == 1:
        schema = {**either[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    if schema.get("type") == "string" and not {"pattern", "enum", "const", "format"} & schema.keys():
        schema["pattern"] = _TEXT
    if "items" in schema:
        schema["items"] = _written(schema["items"])
    return schema


def statuses(operation: Operation, has_parameters: bool) -> list[int]:
    """The errors that an operation may answer with."""
    found = {500}
    has_body = operation.has_body or operation.get_body is not None
    if operation.needs_key:
        found |= {400, 401, 403, 503, 504}
        if operation.is_limited:
            found.add(429)
    if operation.waits:
        found |= {400, 401, 404, 503}
    if operation.in_namespace or "{" in operation.path:
        found.add(404)
    if has_parameters or has_body:
        found.add(422)
    if has_body:
        found |= {408, 413}
    if operation.changes:
        found.add(409)
    return sorted(found)
