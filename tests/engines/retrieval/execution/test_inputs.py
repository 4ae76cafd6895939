"""Inputs against their schema (contract 4.5)."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.errors import InputError
from streams.engines.retrieval.execution.inputs import bind, check_schema

GOOD: dict[str, list[Any]] = {
    "string": ["", "x"],
    "text": ["x"],
    "number": [1, 1.5, -0.0],
    "float": [1, 1.5],
    "integer": [1, 2.0],
    "boolean": [True, False],
    "object": [{}, {"a": 1}],
    "array": [[], [1, "x"]],
    "date": ["2024-01-01"],
    "datetime": ["2024-01-01", "2024-01-01T10:00:00Z"],
    "image": ["https://a/b.png", {"url": "u"}],
    "document_reference": ["d", {"document_id": "d"}],
}
BAD: dict[str, list[Any]] = {
    "string": [1, True, [], {}],
    "text": [1],
    "number": ["1", True, [], float("nan"), float("inf")],
    "integer": [1.5, "1", True],
    "boolean": [1, "true"],
    "object": [[], "x"],
    "array": [{}, "x"],
    "date": ["yesterday", 3, "2024-13-01"],
    "datetime": ["10:00"],
    "pdf": [3, []],
    "document_reference": [3],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in GOOD.items() for value in values])
def test_values_of_a_type(kind: str, value: Any) -> None:
    assert bind({"x": {"type": kind}}, {"x": value}) == {"x": value}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in BAD.items() for value in values])
def test_values_of_another_type(kind: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        bind({"x": {"type": kind}}, {"x": value})
    assert caught.value.problems[0][0] == "x"
    with pytest.raises(InputError):
        check_schema({"x": {"type": kind, "default": value}})


def test_everything_missing_is_named_at_once() -> None:
    schema = {
        "a": {"type": "string", "required": True},
        "b": {"type": "array", "required": True},
        "c": {"type": "text"},
    }
    with pytest.raises(InputError) as caught:
        bind(schema, {"a": None})
    assert [name for name, _ in caught.value.problems] == ["a", "b"]


def test_defaults_enums_and_what_is_not_declared() -> None:
    schema = {"a": {"type": "integer", "default": 3}, "b": {"type": "string", "enum": ["x", "y"]}}
    assert bind(schema, {"a": None, "more": 1}) == {"a": 3, "more": 1}
    assert bind(schema, {"b": "y"}) == {"a": 3, "b": "y"}
    with pytest.raises(InputError, match="one of x, y"):
        bind(schema, {"b": "z"})
    assert bind(None, {"a": 1}) == {"a": 1}


def test_items_and_properties_are_looked_at() -> None:
    schema = {
        "v": {"type": "array", "items": {"type": "number"}},
        "o": {"type": "object", "properties": {"n": {"type": "integer", "required": True}}},
    }
    assert bind(schema, {"v": [1, 2.5], "o": {"n": 1}})["v"] == [1, 2.5]
    for given_value, place in (({"v": [1, "x"]}, "v[1]"), ({"o": {}}, "o.n"), ({"o": {"n": 0.5}}, "o.n")):
        with pytest.raises(InputError) as caught:
            bind(schema, given_value)
        assert caught.value.problems[0][0] == place


def test_the_wrapped_form() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["a"],
    }
    assert bind(schema, {"a": "x"}) == {"a": "x"}
    with pytest.raises(InputError, match="input a: it is required"):
        bind(schema, {"b": "x"})


@pytest.mark.parametrize("default", ["{{INPUT.b}}", ["{{INPUT.a}}"], {"type": "dynamic", "field": "inputs.a"}])
def test_a_default_that_depends_on_inputs_is_refused(default: Any) -> None:
    with pytest.raises(InputError, match="cannot hold a template"):
        check_schema(
            {"a": {"type": "string", "default": default}, "b": {"type": "string", "default": "{{INPUT.a}}"}}
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3)
)
def test_any_schema_and_inputs(schema: dict[str, Any], inputs: dict[str, Any]) -> None:
    with suppress(InputError):
        assert set(inputs) <= set(bind(schema, inputs))
    with suppress(InputError):
        check_schema(schema)
