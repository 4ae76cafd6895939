from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.group_by import Parameters, group
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import any_rows, row

ROWS = [
    row("a", 0.2, c="x"),
    row("b", 0.9, c="y"),
    row("c", 0.8, c="x"),
    row("d", None, c="x"),
    row("e", 0.1),
    row("f", 0.95),
]


def grouped(**parameters: Any) -> list[Row]:
    return group(ROWS, Parameters.model_validate({"group_by_field": "c", **parameters}))


def test_all_gives_a_row_per_group_best_first() -> None:
    found = [
        (one.fields["key"], one.fields["count"], [inner["document_id"] for inner in one.fields["documents"]])
        for one in grouped(max_per_group=2)
    ]
    assert found == [("x", 3, ["c", "a"]), ("y", 1, ["b"]), (None, 2, ["f", "e"])]
    assert [one.document_id for one in grouped()] == ["c", "b", "f"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"output_mode": "first"}, "c b f"),
        ({"output_mode": "flatten", "docs_per_group": 2}, "c a b f e"),
        ({"output_mode": "first", "sort_groups_by": "score"}, "f b c"),
        ({"output_mode": "first", "sort_groups_by": "count", "max_groups": 2}, "c f"),
        ({"output_mode": "first", "sort_groups_by": "key"}, "c b f"),
    ],
)
def test_output_modes(parameters: dict[str, Any], expected: str) -> None:
    assert [one.document_id for one in grouped(**parameters)] == expected.split()


@given(any_rows(), st.sampled_from(["a", "tags", "metadata.a"]))
def test_every_row_is_in_one_group(rows: list[Row], field: str) -> None:
    parameters = Parameters.model_validate({"field": field, "max_per_group": 1000})
    found = group(rows, parameters)
    inner = [document["document_id"] for one in found for document in one.fields["documents"]]
    assert sorted(inner) == sorted(one.document_id for one in rows)
    flat = group(rows, Parameters.model_validate({"field": field, "output_mode": "flatten"}))
    assert [one.document_id for one in flat] == inner
