from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages import sort_attribute, sort_relevance
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import any_rows, row


def ids(rows: list[Row]) -> list[str]:
    return [one.document_id for one in rows]


def by(rows: list[Row], **parameters: Any) -> list[str]:
    return ids(sort_attribute.sort(rows, sort_attribute.Parameters.model_validate(parameters)))


@given(
    st.lists(st.one_of(st.none(), st.integers(-3, 3)), max_size=12),
    st.sampled_from(["asc", "desc"]),
    st.booleans(),
)
def test_sort_attribute_is_pythons_stable_sort(found: list[int | None], direction: str, nulls_last: bool) -> None:
    rows = [row(str(at), n=item) for at, item in enumerate(found)]
    present = [one for one in rows if one.fields["n"] is not None]
    missing = [one for one in rows if one.fields["n"] is None]
    present.sort(key=lambda one: one.fields["n"], reverse=direction == "desc")
    expected = present + missing if nulls_last or direction == "desc" else missing + present
    assert by(rows, field="n", direction=direction, nulls_last=nulls_last) == ids(expected)


def test_dates_are_compared_as_instants_and_booleans_false_first() -> None:
    rows = [
        row("late", at="2024-05-01T12:00:00+02:00"),
        row("noon", at="2024-05-01T12:00:00Z"),
        row("midnight", at="2024-05-01"),
        row("never"),
    ]
    assert by(rows, field="at") == ["noon", "late", "midnight", "never"]
    assert by(rows, field="at", direction="asc", nulls_last=False) == ["never", "midnight", "late", "noon"]
    assert by(rows, sort_field="at", order="desc", null_handling="first")[0] == "never"
    assert by([row("t", b=True), row("f", b=False)], field="b", direction="asc") == ["f", "t"]


@pytest.mark.parametrize("missing", ["bottom", "top", "preserve"])
def test_sort_relevance_places_what_has_no_score(missing: str) -> None:
    rows = [row("a", 0.1), row("x"), row("b", 0.3), row("y", None, rank=1), row("c", 0.3)]
    parameters = sort_relevance.Parameters.model_validate({"missing_score": missing})
    expected = {"bottom": "b c a x y", "top": "x y b c a", "preserve": "b x c y a"}
    assert ids(sort_relevance.sort(rows, parameters)) == expected[missing].split()


def test_sort_relevance_by_another_field_ascending_and_normalised() -> None:
    rows = [row("a", rank=3), row("b", rank="7"), row("c", rank=1)]
    parameters = sort_relevance.Parameters.model_validate(
        {"score_field": "rank", "order": "asc", "normalize": True}
    )
    found = sort_relevance.sort(rows, parameters)
    assert [(one.document_id, one.fields["rank"]) for one in found] == [("c", 0.0), ("a", 1.0), ("b", "7")]


@given(any_rows(), st.sampled_from(["a", "metadata.a", "tags", "score"]), st.sampled_from(["asc", "desc"]))
def test_sorting_keeps_every_row_and_is_idempotent(rows: list[Row], field: str, direction: str) -> None:
    once = sort_attribute.sort(
        rows, sort_attribute.Parameters.model_validate({"field": field, "direction": direction})
    )
    assert sorted(ids(once)) == sorted(ids(rows))
    again = sort_attribute.sort(
        once, sort_attribute.Parameters.model_validate({"field": field, "direction": direction})
    )
    assert ids(again) == ids(once)


def test_the_dead_parameter_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="put a feature_search with the feature before it"):
        sort_relevance.Parameters.model_validate({"feature_address": "mixpeek://a@v1/b"})
    assert sort_relevance.Parameters.model_validate({"feature_address": "null"}).score_field == "score"
