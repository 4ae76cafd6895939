"""The filter language as JSON Schema agrees with what the engine reads."""

import json
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.api.filters import FILTER, PATH, REGEX, VALUES, WORDS, filter_shapes
from schemas.api.schedule import METRICS
from streams.engines.drift.metrics import METRICS as DRIFT_METRICS
from streams.engines.retrieval.filters.operators import NAMES
from streams.engines.retrieval.filters.parse import parse_filter
from streams.engines.retrieval.filters.paths import parse_path
from streams.engines.retrieval.filters.patterns import Pattern
from streams.engines.retrieval.filters.tokens import tokens
from streams.runtime.http.openapi.shapes import put_references
from tests.engines.retrieval.filters.strategies import filters

READ_BEYOND = ("regex", "geo_polygon")
"""Of these the schema says a part."""


def validator() -> jsonschema_rs.Validator:
    document: dict[str, Any] = {
        "$ref": f"#/components/schemas/{FILTER}",
        "components": {"schemas": deepcopy(filter_shapes())},
    }
    put_references(document)
    return jsonschema_rs.validator_for(document)


VALID = validator()


@given(filters(*(name for name in NAMES if name not in READ_BEYOND)))
def test_what_is_read_is_allowed(raw: dict[str, Any]) -> None:
    assume(r"\u0000" not in json.dumps(raw))  # no request may hold it
    assert VALID.is_valid(raw), [error.message for error in VALID.iter_errors(raw)]


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "a",
        {"field": "a"},
        {"field": "", "value": 1},
        {"field": "a", "operator": "like", "value": 1},
        {"field": "a", "operator": "eq", "value": {"b": 1}},
        {"field": "a", "operator": "in", "value": 1},
        {"field": "a", "operator": "gt", "value": True},
        {"field": "a", "operator": "regex", "value": "("},
        {"field": "a", "operator": "regex", "value": "*"},
        {"field": "a", "operator": "words", "value": " ,"},
        {"field": "a", "value": 1, "more": 1},
        {"AND": [None]},
        {"AND": 1},
        {"and": []},
        {"$or": []},
        {"a": {"b": 1}},
        {"a": {}},
        {".".join("a" * 40): 1},
        {"case_sensitive": 1},
        {"field": "a", "operator": "geo_radius", "value": {"center": {"lat": 91, "lon": 0}, "radius": 1}},
    ],
)
def test_what_is_refused_is_not_allowed(raw: Any) -> None:
    with pytest.raises(ValueError, match="filter"):
        parse_filter(raw)
    assert not VALID.is_valid(raw)


def test_every_operator_has_its_values() -> None:
    assert set(VALUES) == set(NAMES)


@given(st.from_regex(REGEX["pattern"], fullmatch=True))
def test_patterns_that_are_allowed_compile(text: str) -> None:
    if len(text) <= 200:
        Pattern(text, case_sensitive=True)


@pytest.mark.parametrize(
    "text", ["storm", "^storms?$", r"\bebola\b", "(?i)flu|cold", "[a-f0-9]{8}", r"(foo|bar)+\d{2,}", r"a\.b"]
)
def test_usual_patterns_are_allowed(text: str) -> None:
    assert jsonschema_rs.is_valid(REGEX, text)


@given(st.from_regex(WORDS["pattern"]))
def test_texts_that_are_allowed_hold_a_word(text: str) -> None:
    assert tokens(text)


@given(st.from_regex(PATH["pattern"], fullmatch=True))
def test_paths_that_are_allowed_are_read(text: str) -> None:
    parse_path(text)


def test_metrics_are_those_of_drift() -> None:
    for kind, names in METRICS.items():
        assert set(names) == {name for name, metric in DRIFT_METRICS.items() if kind in metric.kinds}
