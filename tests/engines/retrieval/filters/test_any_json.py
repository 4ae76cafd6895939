"""No document makes a filter raise, and what is negated is the opposite."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engines.retrieval.filters.nodes import conditions as conditions_of
from streams.engines.retrieval.filters.nodes import describe
from streams.engines.retrieval.filters.parse import matches, parse_filter
from tests.engines.retrieval.filters.strategies import FIELDS, documents, filters

# Lone surrogates and numbers that are none too: JSON readers differ in what they let through.
_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
_ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _ANY_TEXT, st.just(10**500)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(_ANY_TEXT, st.sampled_from(["x", "y", "0", "lat", "lon"])), inner, max_size=4),
    ),
    max_leaves=12,
)
_HOSTILE = st.dictionaries(st.one_of(st.sampled_from([*FIELDS, "payload", "metadata"]), _ANY_TEXT), _ANY_JSON)


@settings(max_examples=200)
@given(filters(), st.one_of(_HOSTILE, documents()))
def test_no_document_raises(raw: dict[str, Any], document: dict[str, Any]) -> None:
    filter_ = parse_filter(raw)
    assert matches(filter_, document) is not matches(parse_filter({"NOT": [raw]}), document)


@settings(max_examples=300)
@given(filters())
def test_filters_are_values(raw: dict[str, Any]) -> None:
    filter_ = parse_filter(raw)
    assert filter_ == parse_filter(raw)
    assert hash(filter_) == hash(parse_filter(raw))
    assert describe(filter_.root)
    for condition in conditions_of(filter_.root):
        assert not condition.test([]) or condition.operator == "is_null"
