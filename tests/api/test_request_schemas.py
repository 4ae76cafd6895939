"""What the document allows in a request, the service reads: bodies drawn from the schemas of the document pass the
models and every check that needs no database. (That what it does not allow is refused, ``tests/fuzz`` sees.)"""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import HealthCheck, given, settings
from pydantic import TypeAdapter, ValidationError
from schemathesis.generation.jsonschema.builder import build
from schemathesis.specs.openapi.formats import format_lengths_for, get_default_format_strategies

from schemas.api.base import CONFLICT, JsonObject
from schemas.api.cluster_trigger import ClusteringConfig
from schemas.api.filters import filter_shapes
from schemas.api.retriever import input_fields
from schemas.strict_json import problem_in
from streams.api.retrievers import checked_schema
from streams.api.stages import check_runnable, stored_stages
from streams.api.triggers import next_time
from streams.retrieval.sifting import read_filter
from streams.runtime.http.errors import ApiError
from tests.api.answers import described, service
from tests.api.conftest import NOW
from tests.api.test_openapi import references

FORMATS = get_default_format_strategies()


def bodies() -> Iterator[tuple[str, str, TypeAdapter[Any]]]:
    """Method, path and type of every body, each type once."""
    seen: set[str] = set()
    for route in iter_route_contexts(service().routes):
        original = route.original_route
        if not isinstance(original, APIRoute) or original.body_field is None or not route.include_in_schema:
            continue
        annotation: Any = original.body_field.field_info.annotation
        if str(annotation) not in seen:
            seen.add(str(annotation))
            for method in route.methods or ():
                yield method, str(route.path_format), TypeAdapter[Any](annotation)


def schema_of(operation: JsonObject) -> JsonObject:
    """The schema of an operation's body, with the schemas that it names."""
    schema: JsonObject = operation["requestBody"]["content"]["application/json"]["schema"]
    schemas = described()["components"]["schemas"]
    reached: set[str] = set()
    waiting = [schema]
    while waiting:
        for reference in references(waiting.pop()):
            name = reference.rpartition("/")[2]
            if name not in reached:
                reached.add(name)
                waiting.append(schemas[name])
    return {"allOf": [schema], "components": {"schemas": {name: schemas[name] for name in sorted(reached)}}}


BODIES = {f"{method} {path}": (method, path, adapter) for method, path, adapter in bodies()}


def problem_of(adapter: TypeAdapter[Any], sent: JsonObject) -> str | None:
    """Why a body is refused for what a schema could have said."""
    try:
        check(adapter.validate_python(sent))
    except ValidationError as error:
        return None if all(item["type"] == CONFLICT for item in error.errors()) else str(error)
    except ApiError as error:
        return None if error.status in (403, 404, 409) else error.message
    return None


def check(body: Any) -> None:
    """What routes check of a body before they ask the database."""
    stages = getattr(body, "stages", None)
    fields = input_fields(body.input_schema or None) if hasattr(body, "stages") else None
    checked_schema(fields)
    if stages:
        read: JsonObject = {"stages": stored_stages(stages), "input_schema": fields}
        check_runnable({"collection_identifiers": None, "budget_limits": None, **read})
    if filters := getattr(body, "filters", None):
        read_filter(filters)
    if hasattr(body, "trigger_type") and getattr(body, "schedule_config", None):
        next_time("trig_1", body.trigger_type, body.schedule_config, NOW, created=True)


@pytest.mark.parametrize("route", BODIES)
def test_what_the_document_allows_is_read(route: str) -> None:
    method, path, adapter = BODIES[route]
    drawn = build(
        schema_of(described()["paths"][path][method.lower()]),
        draft=jsonschema_rs.Draft202012,
        formats=FORMATS,
        format_lengths=format_lengths_for(FORMATS),
    )

    @settings(
        max_examples=3, database=None, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None
    )
    @given(drawn)
    def run(body: Any) -> None:
        sent = orjson.loads(json.dumps(body))
        assert problem_in(sent) is None
        assert problem_of(adapter, sent) is None

    run()


def test_making_the_document_changes_no_shape() -> None:
    assert described()
    assert "$ref" not in json.dumps(filter_shapes())


@pytest.mark.parametrize(("algorithm", "needed"), [("kmeans", "n_clusters"), ("hdbscan", "min_cluster_size")])
def test_a_parameter_without_which_an_algorithm_is_not_run_is_not_null(algorithm: str, needed: str) -> None:
    schema = ClusteringConfig.model_json_schema()
    for value in (None, 5):
        config = {"algorithm": algorithm, needed: value}
        assert jsonschema_rs.is_valid(schema, config) is (value is not None)
        assert (problem_of(TypeAdapter(ClusteringConfig), config) is None) is (value is not None)


@pytest.mark.parametrize("fields", [{"occurred_at": [{"\0": 1}]}, {"occurred_at": ["\0"]}, {"x": {"y": [["\0"]]}}])
def test_no_text_of_a_document_holds_a_nul_however_deep(fields: JsonObject) -> None:
    path = "/v1/collections/{collection_identifier}/documents"
    schema = schema_of(described()["paths"][path]["post"])
    assert not jsonschema_rs.is_valid(schema, fields)
    assert jsonschema_rs.is_valid(schema, orjson.loads(orjson.dumps(fields).replace(rb"\u0000", b"0")))
