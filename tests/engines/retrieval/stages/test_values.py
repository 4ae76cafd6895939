import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import identity, number, order, plain, put, value, values
from tests.engines.retrieval.stages.rows import FIELDS, JSON, KEYS, row

PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)


@given(FIELDS, PATHS, JSON)
def test_what_is_put_is_read_and_nothing_shared_changes(fields: dict[str, Any], path: str, found: Any) -> None:
    before = copy.deepcopy(fields)
    given_row = row()
    given_row.fields = fields
    written = put(given_row, path, found)
    assert fields == before
    if path == "score":
        assert written.score == number(found)
    else:
        assert values(written, path) == [found]
        assert value(written, path) is found


def test_put_writes_where_value_reads() -> None:
    kept = Row("d", "news", {"payload": {"tags": [1, 2]}, "a.b": 1})
    assert put(kept, "tags", 1).fields == {"payload": {"tags": 1}, "a.b": 1}
    assert put(kept, "a.b", 2).fields == {"payload": {"tags": [1, 2]}, "a.b": 2}
    assert put(kept, "payload.tags.1", 9).fields["payload"] == {"tags": [1, 9]}
    assert put(row(scores=3), "scores.mmr", 1).fields == {"scores": {"mmr": 1}}
    assert put(row("d"), "document_id", "other").document_id == "d"


@given(JSON, JSON)
def test_identity_is_json_equality(left: Any, right: Any) -> None:
    assert identity(left) == identity(copy.deepcopy(left))
    assert (identity(left) == identity(right)) == _equal(left, right)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def test_a_hostile_depth_does_not_exhaust_the_stack() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    identity(deep)


def test_order_across_types() -> None:
    mixed = [{"x": 1}, "b", "2024-05-01T00:00:01Z", "2024-05-01", 3, 2.5, True, False]
    expected = [False, True, 2.5, 3, "2024-05-01", "2024-05-01T00:00:01Z", "b", {"x": 1}]
    assert sorted(mixed, key=lambda item: order(item) or (9, 0)) == expected
    assert order(None) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [(1, 1), (2**63, float(2**63)), (10**400, None), (float("inf"), None), (float("nan"), None), (None, None)],
)
def test_plain_is_what_json_holds(found: Any, expected: Any) -> None:
    assert plain(found) == expected
