"""Whether results fire an alert (contract 4.1 and 4.2)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.execution.verdict import decide, unit_score
from tests.engines.retrieval.stages.rows import any_rows, row

FIRST = row("a", 0.8, price=5, metadata={"rank": 2, "price": 9})


def threshold(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"threshold": {"field": field, "operator": operator, "value": value}}


@pytest.mark.parametrize(
    ("alert", "rows", "total", "reason"),
    [
        ({}, [FIRST], None, "1 result"),
        ({}, [], None, None),
        ({"min_count": 2}, [FIRST], None, None),
        ({"min_count": 2}, [FIRST], 7, "7 results, at least 2 wanted"),
        ({"trigger_on": "no_results"}, [], None, "no results"),
        ({"trigger_on": "no_results"}, [FIRST], None, None),
        ({"trigger_on": "no_results"}, [], 3, None),
        (threshold("score", "gte", 0.8), [FIRST, row("b", 0.1)], None, "2 results; score gte 0.8"),
        (threshold("score", "gt", 0.8), [FIRST], None, None),
        (threshold("score", "gt", 0.1), [row("b", 0.0), FIRST], None, None),
        (threshold("price", "eq", 5), [FIRST], None, "1 result; price eq 5"),
        (threshold("price", "eq", 9), [FIRST], None, None),
        (threshold("rank", "lt", 3), [FIRST], None, "1 result; metadata.rank lt 3"),
        (threshold("metadata.price", "ne", 5), [FIRST], None, "1 result; metadata.price ne 5"),
        (threshold("none", "ne", 5), [FIRST], None, None),
        (threshold("score", "gt", 0.1), [row("b")], None, None),
        (threshold("price", "odd", 5), [FIRST], None, None),
        (threshold("price", "gt", [1]), [FIRST], None, None),
    ],
)
def test_decisions(alert: dict[str, Any], rows: Any, total: int | None, reason: str | None) -> None:
    fired = decide(alert, rows, total)
    assert (None if fired is None else fired.reason) == reason


def test_what_a_fire_carries() -> None:
    fired = decide({}, [FIRST], 12)
    assert fired is not None
    assert (fired.count, fired.score) == (12, 0.8)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(None, 1.0), (0.5, 0.5), (-0.2, 0.0), (1.7, 1.0), (float("nan"), 1.0), (float("inf"), 1.0)],
)
def test_scores_are_in_the_unit_interval(score: float | None, expected: float) -> None:
    assert unit_score(score) == expected


@given(any_rows(), st.sampled_from(["a", "score", "metadata", "tags", "a.b"]), st.sampled_from(["gt", "eq", "ne"]))
def test_any_rows(rows: Any, field: str, operator: str) -> None:
    fired = decide(threshold(field, operator, 1), rows)
    assert fired is None or (rows and 0.0 <= fired.score <= 1.0)
