"""Groups by the values of fields."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.act.clustering.attributes import MOST_GROUPS, Grouping, values_of
from streams.act.failures import ActionError


def test_a_document_has_the_values_its_paths_lead_to() -> None:
    document = {"a": {"b": 1}, "a.c": "dotted", "tags": ["x", "y"], "none": None}
    assert values_of(document, ["a.b", "tags"]) == ("1", '["x","y"]')
    assert values_of(document, ["a.c", "none"]) == ('"dotted"', "null")
    assert values_of(document, ["a.b.c", "none", "tags.0"]) is None


PAIRS = st.lists(
    st.tuples(st.sampled_from(["1", "2", '"x"', "null"]), st.sampled_from(["true", "null"])), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.booleans())
def test_groups_are_the_combinations_of_values(pairs: list[tuple[str, str]], hierarchical: bool) -> None:
    grouping = Grouping(["one", "two"])
    numbers = [grouping.number(pair) for pair in pairs]
    groups, places = grouping.groups(hierarchical)
    assert len({group.id for group in groups}) == len(groups)
    where: dict[tuple[str, str], str] = {}
    for pair, number in zip(pairs, numbers, strict=True):
        group = groups[places[number]]
        assert (group.values["one"], group.values["two"]) == tuple(json.loads(value) for value in pair)
        assert where.setdefault(pair, group.id) == group.id
    assert len(set(where.values())) == len(set(pairs))
    parents = {group.id: group for group in groups}
    for group in groups:
        assert (group.parent is None) == (group.level == 1)
        if group.parent is not None:
            assert parents[group.parent].values == {"one": group.values["one"]}
            assert groups.index(parents[group.parent]) < groups.index(group)
    assert {group.level for group in groups} == ({1, 2} if hierarchical else {1})


def test_identifiers_are_no_attributes() -> None:
    grouping = Grouping(["id"])
    for number in range(MOST_GROUPS):
        grouping.number((str(number),))
    with pytest.raises(ActionError, match="id have more than 10,000 combinations"):
        grouping.number(("one more",))
