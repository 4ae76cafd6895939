"""The document is whole, and names what is missing from a route; that it is true, every other test sees
(``tests/api/answers.py``)."""

import re
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from pkgutil import iter_modules
from typing import Any

import jsonschema_rs
import mixpeek.api
import pytest

from streams.runtime.http.openapi.operations import operations as every_operation
from streams.runtime.http.openapi.sdk_names import CLASSES
from tests.api.answers import described, service

SERIALIZED = re.compile(r"def _(\w+)_serialize\(.*?method='(\w+)',\s*resource_path='([^']+)'", re.DOTALL)


def operations() -> list[tuple[str, dict[str, Any]]]:
    """Every operation, by method and path."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in described()["paths"].items()
        for method, operation in item.items()
    ]


OPERATIONS = operations()


@pytest.mark.parametrize(("route", "operation"), OPERATIONS, ids=[route for route, _ in OPERATIONS])
def test_a_route_is_described(route: str, operation: dict[str, Any]) -> None:
    assert operation["summary"], f"{route}: the function that answers needs a docstring"
    answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    assert answers, f"{route} has no answer that is a success"
    for status, answer in answers.items():
        if status == "204":
            assert "content" not in answer
            continue
        for media, content in answer["content"].items():
            schema = content.get("schema") or content.get("itemSchema")
            assert schema, f"{route}: {status} {media} has no schema; give the route a response_model"
            if media == "application/json":
                assert _models(schema), f"{route}: {status} is not a model of schemas/api, but {schema}"
    assert {"500"} <= operation["responses"].keys()
    if operation["security"]:
        assert {"400", "401", "403", "503", "504"} <= operation["responses"].keys()
    for parameter in operation.get("parameters", ()):
        (schema,) = [
            one["schema"] for one in (parameter, *parameter.get("content", {}).values()) if "schema" in one
        ]
        assert schema.keys() & {"type", "enum", "anyOf", "$ref", "const"}, f"{route}: {parameter}"
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]["application/json"]["schema"], route


def _models(schema: dict[str, Any]) -> bool:
    """Whether an answer is a model, or a list of a model."""
    if schema.get("type") == "array":
        return _models(schema["items"])
    return "$ref" in schema or all(map(_models, schema.get("anyOf", [{}])))


def test_names_are_unique() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert sorted(set(names)) == sorted(names)


def test_operations_have_the_sdk_s_names() -> None:
    known: dict[str, set[tuple[str, str]]] = {}
    for module in iter_modules(mixpeek.api.__path__):
        source = getsource(import_module(f"mixpeek.api.{module.name}"))
        tag = module.name.removesuffix("_api").replace("_", "")
        for name, method, path in SERIALIZED.findall(source):
            known.setdefault(f"{method} {_anonymous(path)}", set()).add((tag, name))
    for route, operation in OPERATIONS:
        names = known.get(_anonymous(route))
        if names is not None:
            assert (operation["tags"][0].lower(), operation["operationId"]) in names, route
    for tag, routes in CLASSES.items():
        for route, name in routes.items():
            assert (tag.lower(), name) in known[route]


def _anonymous(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def references(part: Any) -> Iterator[str]:
    """Where the references of a part lead. Schemas that are told as an example have references of their own."""
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for name, inner in part.items():
            if name not in ("example", "examples"):
                yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(described()))
    assert found
    for reference in found:
        part: Any = described()
        for name in reference.removeprefix("#/").split("/"):
            part = part[name.replace("~1", "/")]
        assert part


def test_identifiers_of_a_path_are_its_parameters() -> None:
    for route, operation in OPERATIONS:
        named = re.findall(r"\{([^}]*)\}", route)
        assert named == [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"], route


def test_paths_that_differ_only_in_a_name_are_one() -> None:
    paths = list(map(_anonymous, described()["paths"]))
    assert len(set(paths)) == len(paths)


def test_schemas_are_schemas() -> None:
    components = {"components": {"schemas": described()["components"]["schemas"]}}
    for name in described()["components"]["schemas"]:
        jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **components})


def test_errors_have_the_envelope_and_an_example() -> None:
    for name, response in described()["components"]["responses"].items():
        content = response["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorResponse"}
        schema = {**content["schema"], "components": described()["components"]}
        jsonschema_rs.validator_for(schema).validate(content["example"])
        assert str(content["example"]["status"])[0] in "45", name


def test_requests_and_answers_have_examples() -> None:
    """The walk of ``tests/flow/test_examples.py`` sends them."""
    missing = [
        (route, place)
        for route, operation in OPERATIONS
        for place, holder in (
            ("body", operation.get("requestBody", {})),
            *((status, answer) for status, answer in operation["responses"].items() if status.startswith("2")),
        )
        for content in holder.get("content", {}).values()
        if "example" not in content
    ]
    assert missing == [], "add an example to examples.json, in its place in the walk"


@pytest.mark.parametrize("part", ["request", "answer"])
def test_examples_are_valid(part: str) -> None:
    """That they work, ``tests/flow/test_examples.py`` sees."""
    for route, operation in OPERATIONS:
        if part == "request":
            holders = [operation.get("requestBody", {})]
        else:
            holders = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for holder in holders:
            content = holder.get("content", {}).get("application/json", {})
            if "example" in content:
                schema = {"allOf": [content["schema"]], "components": described()["components"]}
                problems = [
                    error.message for error in jsonschema_rs.validator_for(schema).iter_errors(content["example"])
                ]
                assert problems == [], route


def test_a_get_reads_every_field_of_the_body_it_is_said_to_have() -> None:
    schemas = described()["components"]["schemas"]
    reading = [one for one in every_operation(service()) if one.get_body is not None]
    assert reading
    for one in reading:
        assert one.get_body is not None
        body = described()["paths"][one.path]["get"]["requestBody"]["content"]["application/json"]["schema"]
        (name,) = (found.rpartition("/")[2] for found in references(body))
        read = {field.alias or key for key, field in one.get_body.model_fields.items()}
        assert schemas[name]["properties"].keys() <= read, one.path
