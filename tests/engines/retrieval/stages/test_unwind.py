from typing import Any

import pytest
from hypothesis import given

from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.unwind import Parameters, unwound
from tests.engines.retrieval.stages.rows import any_rows, row


def fields(one: Row, **parameters: Any) -> list[dict[str, Any]]:
    return [made.fields for made in unwound(one, Parameters.model_validate(parameters))]


def test_one_row_per_element_with_its_position() -> None:
    tagged = row("a", 0.5, [1.0], m={"tags": ["x", None, ["y"]]}, n=1)
    assert fields(tagged, field="m.tags", include_array_index="m.at") == [
        {"m": {"tags": "x", "at": 0}, "n": 1},
        {"m": {"tags": None, "at": 1}, "n": 1},
        {"m": {"tags": ["y"], "at": 2}, "n": 1},
    ]
    whole = unwound(tagged, Parameters(field="m.tags", output_field="tag"))
    assert [one.fields["tag"] for one in whole] == ["x", None, ["y"]]
    assert all(one.fields["m"] == tagged.fields["m"] for one in whole)
    assert {(one.document_id, one.score, tuple(one.features)) for one in whole} == {("a", 0.5, ("words",))}


@pytest.mark.parametrize("nothing", [{}, {"tags": None}, {"tags": []}])
def test_null_and_empty(nothing: dict[str, Any]) -> None:
    assert fields(row(**nothing), field="tags") == []
    assert fields(row(**nothing), field="tags", preserve_null_and_empty=True) == [nothing]


def test_what_is_no_list_stays() -> None:
    assert fields(row(tags="x"), field="tags", include_array_index="at") == [{"tags": "x"}]


def test_through_a_list_of_objects() -> None:
    people = [{"name": "Ada"}, {"name": "Grace"}, {"age": 3}]
    found = fields(row(people=people), field="people.name", output_field="name")
    assert found == [{"people": people, "name": "Ada"}, {"people": people, "name": "Grace"}]


@given(any_rows())
def test_taking_apart_and_collecting_gives_the_list(rows: list[Row]) -> None:
    for one in rows:
        made = unwound(one, Parameters(field="tags", preserve_null_and_empty=True))
        tags = one.fields.get("tags")
        if isinstance(tags, list) and tags:
            assert [each.fields["tags"] for each in made] == tags
        elif "tags" in one.fields:
            assert made == [one]
