import statistics
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.execution.verdict import decide
from streams.engines.retrieval.stages.aggregate import Parameters, aggregate
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.validation import read
from tests.engines.retrieval.stages.rows import row


def figures(rows: list[Row], *functions: str, **more: Any) -> dict[str, Any]:
    """One figure of each function over the field ``n``, without groups."""
    asked = [{"function": name, "field": "n", "alias": name, **more} for name in functions]
    (found,) = aggregate(rows, Parameters.model_validate({"aggregations": asked}))
    return found.fields


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_figures_against_the_statistics_module(found: list[float]) -> None:
    rows = [row(str(at), n=item) for at, item in enumerate(found)]
    got = figures(rows, "sum", "avg", "min", "max", "variance", "stddev", "percentile", "count")
    assert got["sum"] == pytest.approx(sum(found), abs=1e-3)
    assert got["avg"] == pytest.approx(statistics.fmean(found))
    assert (got["min"], got["max"], got["count"]) == (min(found), max(found), len(found))
    assert got["variance"] == pytest.approx(statistics.variance(found), rel=1e-6, abs=1e-9)
    assert got["stddev"] == pytest.approx(statistics.stdev(found), rel=1e-6, abs=1e-6)
    assert got["percentile"] == pytest.approx(statistics.median(found))
    quarters = statistics.quantiles(found, n=4, method="inclusive")
    assert figures(rows, "percentile", percentile_value=25)["percentile"] == pytest.approx(quarters[0], abs=1e-6)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=20))
def test_correlation_against_the_statistics_module(pairs: list[tuple[int, int]]) -> None:
    rows = [row(str(at), n=x, m=y) for at, (x, y) in enumerate(pairs)]
    got = figures(rows, "correlation", field_b="m")["correlation"]
    if len({x for x, _ in pairs}) == 1 or len({y for _, y in pairs}) == 1:
        assert got is None
    else:
        assert got == pytest.approx(statistics.correlation(*zip(*pairs, strict=True)), abs=1e-9)


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), max_size=12).filter(lambda found: len(found) > 0))
def test_counts_against_a_counter(found: list[list[str]]) -> None:
    rows = [row(str(at), n=item) for at, item in enumerate(found)]
    counted = Counter(letter for item in found for letter in item)
    got = figures(rows, "frequency", "count_distinct", "collect", "collect_distinct", "co_occurrence", field_b="n")
    assert {entry["value"]: entry["count"] for entry in got["frequency"]} == counted
    assert [entry["count"] for entry in got["frequency"]] == sorted(counted.values(), reverse=True)
    assert got["count_distinct"] == len(counted)
    assert got["collect"] == found
    assert got["collect_distinct"] == list(dict.fromkeys(letter for item in found for letter in item))
    pairs = Counter((a, b) for item in found for a in set(item) for b in set(item))
    assert all(entry["count"] == pairs[entry["value_a"], entry["value_b"]] for entry in got["co_occurrence"])
    assert len(got["co_occurrence"]) == min(10, len(pairs))


def test_first_and_last_go_by_score() -> None:
    rows = [row("a", 0.2, n="a"), row("b", 0.9), row("c", 0.8, n="c"), row("d", n="d")]
    assert figures(rows, "first", "last") == {"first": "c", "last": "d"}
    assert figures([row("a", n=1), row("b", n=2)], "first", "last") == {"first": 1, "last": 2}


def test_whole_numbers_stay_whole_and_other_types_count_for_nothing() -> None:
    rows = [row("a", n=1), row("b", n="2"), row("c", n=True), row("d", n=None), row("e"), row("f", n=3)]
    assert figures(rows, "sum", "avg", "count", "max") == {"sum": 4, "avg": 2.0, "count": 4, "max": 3}
    assert type(figures(rows, "sum")["sum"]) is int
    dates = [row("a", n="2024-05-02"), row("b", n="2024-05-01T00:00:00Z")]
    assert figures(dates, "min", "max", "avg") == {"min": "2024-05-01T00:00:00Z", "max": "2024-05-02", "avg": None}
    nothing = figures([row("a")], "sum", "avg", "min", "stddev", "percentile", "first", "collect", "frequency")
    assert nothing == {
        **dict.fromkeys(("avg", "min", "stddev", "percentile", "first")),
        "sum": 0,
        "collect": [],
        "frequency": [],
    }
    assert figures([row("a", n=5)], "stddev", "variance") == {"stddev": 0.0, "variance": 0.0}


def test_figures_that_leave_the_range_of_numbers_are_null() -> None:
    rows = [row("a", n=1e308), row("b", n=1e308), row("c", n=-1e308)]
    got = figures([*rows[:2]], "sum", "avg", "variance", "stddev")
    assert got == {"sum": None, "avg": None, "variance": None, "stddev": None}
    assert figures([row("a", n=2**63 - 1), row("b", n=1)], "sum")["sum"] == float(2**63)


def test_groups_in_order_sorted_and_limited() -> None:
    rows = [row(str(at), at / 10, metadata={"c": "xyx"[at % 3], "n": at}) for at in range(7)] + [row("none")]
    asked: dict[str, Any] = {
        "aggregations": [
            {"function": "count", "alias": "total"},
            {"type": "cardinality", "field": "metadata.n", "name": "n"},
        ],
        "group_by": [{"field": "metadata.c"}],
    }
    found = [one.fields for one in aggregate(rows, Parameters.model_validate(asked))]
    assert found == [
        {"c": "x", "total": 5, "n": 5},
        {"c": "y", "total": 2, "n": 2},
        {"c": None, "total": 1, "n": 0},
    ]
    for group_by in ("metadata.c", ["metadata.c"]):
        more = {**asked, "group_by": group_by, "sort_by": "total", "sort_order": "asc", "limit": 2}
        found = [one.fields for one in aggregate(rows, Parameters.model_validate(more))]
        assert [one["total"] for one in found] == [1, 2]
    whole = aggregate(rows, Parameters.model_validate({**asked, "include_documents": True}))
    assert [one["document_id"] for one in whole[1].fields["documents"]] == ["1", "4"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "aggregations is required"),
        ({"aggregations": []}, "aggregations: "),
        ({"aggregations": [{"function": "sum", "alias": "s"}]}, r"aggregations\[0\].field: sum needs field"),
        ({"aggregations": [{"function": "median", "field": "n", "alias": "s"}]}, r"aggregations\[0\].function"),
        (
            {"aggregations": [{"function": "correlation", "field": "n", "alias": "s"}]},
            r"aggregations\[0\].field_b: correlation needs",
        ),
        (
            {"aggregations": [{"function": "count", "alias": "s"}] * 2},
            r"aggregations\[1\].alias: the alias 's' is taken",
        ),
        (
            {"aggregations": [{"function": "count", "alias": "s"}], "sort_by": "t"},
            "sort_by names no alias",
        ),
        ({"aggregations": [{"function": "count", "alias": "s"}], "limit": 0}, "limit: "),
        ({"aggregations": [{"function": "count", "alias": "c"}], "group_by": "a.c"}, "is taken"),
    ],
)
def test_bad_parameters_are_refused_with_their_place(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(Parameters, bad)


def test_of_no_documents_there_are_figures_but_no_groups() -> None:
    """As in SQL; so an alert's threshold can ask for a count of 0."""
    asked: dict[str, Any] = {
        "aggregations": [
            {"function": "count", "alias": "n"},
            {"function": "avg", "field": "a", "alias": "mean"},
        ],
        "include_documents": True,
    }
    (found,) = aggregate([], Parameters.model_validate(asked))
    assert found.fields == {"n": 0, "mean": None, "documents": []}
    assert decide({"threshold": {"field": "n", "operator": "eq", "value": 0}}, [found]) is not None
    assert decide({"threshold": {"field": "n", "operator": "gt", "value": 0}}, [found]) is None
    assert aggregate([], Parameters.model_validate({**asked, "group_by": ["b"]})) == []
