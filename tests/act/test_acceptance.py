"""What a run of a retriever must keep to."""

from typing import Any

import pytest

from streams.act.acceptance import breaches, pass_ratio, slow_stages
from streams.engines.retrieval.stages.stage import Row


def rows(*judged: Any) -> list[Row]:
    return [Row(f"d{at}", "col", {"judge": {"ok": value}}, None) for at, value in enumerate(judged)]


def statistics(total: float = 10.0, **stages: float) -> dict[str, Any]:
    return {"total_time_ms": total, "stages": {name: {"duration_ms": took} for name, took in stages.items()}}


EARLIER = {"a": [10.0, 11.0, 9.0, 10.0, 10.0], "b": [1.0] * 5, "few": [1.0] * 4}


@pytest.mark.parametrize(
    ("acceptance", "words"),
    [
        ({}, []),
        ({"max_total_time_ms": 9}, ["it took 10 ms, at most 9 ms were accepted"]),
        ({"max_total_time_ms": 10}, []),
        ({"min_results": 3}, ["it found 2 results, at least 3 were wanted"]),
        ({"min_results": 2}, []),
        (
            {"judge_field": "judge.ok", "min_pass_ratio": 0.6},
            ["0.5 of the results pass by judge.ok, at least 0.6 had to"],
        ),
        ({"judge_field": "judge.ok", "min_pass_ratio": 0.5}, []),
        ({"min_pass_ratio": 1.0}, []),
        (
            {"max_stage_latency_breaches": 0},
            ["slow stages: 1, at most 0 were accepted (a took 40 ms, usually 10 ms)"],
        ),
        ({"max_stage_latency_breaches": 1}, []),
        (
            {"min_results": 9, "max_total_time_ms": 1},
            ["it took 10 ms, at most 1 ms were accepted", "it found 2 results, at least 9 were wanted"],
        ),
    ],
)
def test_breaches_in_words(acceptance: dict[str, Any], words: list[str]) -> None:
    assert breaches(acceptance, rows(True, False), statistics(a=40.0, b=2.0), EARLIER) == words


@pytest.mark.parametrize(
    ("stages", "slow"),
    [
        ({"a": 20.0}, 0),  # not more than twice
        ({"a": 20.1}, 1),
        ({"b": 9.0}, 0),  # nine times, but not noticeably longer
        ({"b": 11.1}, 1),
        ({"few": 900.0, "new": 900.0}, 0),  # nobody knows how long it takes
    ],
)
def test_a_stage_is_slow_against_its_own_past(stages: dict[str, float], slow: int) -> None:
    assert len(slow_stages(statistics(**stages)["stages"], EARLIER)) == slow


@pytest.mark.parametrize(
    ("judged", "ratio"),
    [
        ((), 0.0),
        ((True, "Passed", " yes ", 0.1, 1), 1.0),
        ((False, "no", "", 0, -1, None, [], {}), 0.0),
        ((True, None), 0.5),
    ],
)
def test_what_passes(judged: tuple[Any, ...], ratio: float) -> None:
    assert pass_ratio(rows(*judged), "judge.ok") == ratio
