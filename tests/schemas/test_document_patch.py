"""Changes of documents: what they mean, and that they travel."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.events.document_patch import DocumentPatch, parse_patch
from schemas.times import parse_instant

NOON = parse_instant("2024-05-01T12:00:00Z")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "a.b", "text", "asset_id", "metadata", "metadata.x", "."]) | st.text(max_size=4)
FIELDS = st.dictionaries(NAMES, JSON, max_size=5)


def event(payload: Any = None, **fields: Any) -> DocumentEvent:
    return DocumentEvent("document.upserted", "ns", "col", "d", NOON, payload=payload, **fields)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"metadata": {"x": 1, "y": 2}}, {"metadata": {"y": None, "z": 3}}, {"metadata": {"x": 1, "z": 3}}),
        ({"metadata": {"x": None}}, {"metadata": {"y": 1}}, {"metadata": {"x": None, "y": 1}}),
        ({"metadata": {"x": {"deep": 1}}}, {"metadata": {"x": {"other": 2}}}, {"metadata": {"x": {"other": 2}}}),
        ({"metadata": "odd"}, {"metadata": {"y": 1}}, {"metadata": {"y": 1}}),
        ({}, {"metadata": {"y": None}}, {"metadata": {}}),
        ({"metadata": {"x": 1}}, {"metadata": None}, {}),
        ({"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"y": 1}}),
        ({"a": {"x": 1, "y": 2}}, {"a.x": 3}, {"a": {"x": 3, "y": 2}}),
        ({"a": {"x": 1}}, {"a.x": None}, {"a": {}}),
        ({}, {"a.b.c": 1}, {"a": {"b": {"c": 1}}}),
        ({}, {"a.b": None}, {}),
        ({"a.x": 1, "a": {"x": 2}}, {"a.x": 3}, {"a.x": 3, "a": {"x": 2}}),
        ({"a": 1}, {"a.x": 2}, {"a": 1, "a.x": 2}),
        ([1], {"b": 2}, {"payload": [1], "b": 2}),
        (None, {"b": 2}, {"b": 2}),
    ],
)
def test_what_a_change_makes_of_a_payload(before: Any, change: dict[str, Any], after: Any) -> None:
    held = event(before)
    assert DocumentPatch(change).apply(held).payload == after
    assert held.payload == before


def test_the_event_s_own_fields() -> None:
    held = event({}, text="t", asset_id="a", features={"v": np.ones(2, np.float32)})
    change = DocumentPatch(
        {"text": "u", "asset_id": None}, parse_instant("2020-01-01"), {"w": np.zeros(1, np.float32)}
    )
    after = change.apply(held)
    assert (after.text, after.asset_id, after.payload) == ("u", None, {})
    assert (after.occurred_at.year, sorted(after.features)) == (2020, ["v", "w"])
    # Where the payload has a field of that name, it is that one which is seen.
    assert DocumentPatch({"text": "u"}).apply(event({"text": "t"})).payload == {"text": "u"}
    odd = DocumentPatch({"text": 3}).apply(held)
    assert (odd.text, odd.payload) == (None, {"text": 3})
    assert DocumentPatch().empty
    assert not change.empty


@given(FIELDS, st.none() | JSON | FIELDS, FIELDS)
def test_a_change_travels_and_is_the_same_done_twice(
    fields: dict[str, Any], before: Any, later: dict[str, Any]
) -> None:
    patch = parse_patch(DocumentPatch(fields, NOON, {"v": np.ones(3, np.float32)}).encode())
    held = event(before, text="t")
    once = patch.apply(held)
    again = patch.apply(once)
    assert (again.payload, again.text, again.asset_id) == (once.payload, once.text, once.asset_id)
    # What it does not name stays as another change has it.
    other = {name: value for name, value in later.items() if not {name, *name.split(".")} & _parts(fields)}
    there = DocumentPatch(other).apply(once)
    here = patch.apply(DocumentPatch(other).apply(held))
    assert there.root() == here.root()


def _parts(fields: dict[str, Any]) -> set[str]:
    return {part for name in fields for part in (name, *name.split("."))} | {"payload"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"fields":[]}', '{"fields":{},"occurred_at":"x"}', '{"fields":{},"features":1}']
)
def test_what_is_no_change(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_patch(text)
