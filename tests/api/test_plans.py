"""How a retriever would run, by how its stages ran."""

from typing import Any

import mixpeek as official

from streams.api.plans import plan

mixpeek: Any = official
BODY = {
    "retriever_name": "r",
    "stages": [
        {"stage_name": "near", "stage_type": "filter", "config": {"stage_id": "feature_search", "parameters": {}}},
        {"stage_name": "cut", "stage_type": "reduce", "config": {"stage_id": "limit", "parameters": {"limit": 5}}},
    ],
}


def stat(given: int, left: int, milliseconds: float) -> dict[str, Any]:
    return {"input_count": given, "output_count": left, "duration_ms": milliseconds}


def test_stages_that_ran_are_told_as_they_were_measured() -> None:
    runs = [
        {"near": stat(100, 40, 8.0), "cut": stat(40, 5, 1.0)},
        {"near": stat(100, 20, 12.0), "cut": stat(20, 5, 1.0)},
    ]
    shown = plan("ret_1", BODY, 200, runs)
    near, cut = shown.execution_plan
    assert (near.estimated_input, near.estimated_output, near.estimated_duration_ms) == (100, 30, 10.0)
    assert (cut.estimated_input, cut.estimated_output) == (30, 5)
    assert shown.estimated_cost["total_duration_ms"] == 11.0
    assert shown.bottleneck_stages == ["near"]
    assert mixpeek.ExplainRetrieverResponse.from_dict(shown.model_dump()).total_estimated_stages == 2


def test_stages_that_never_ran_have_bounds_and_no_time() -> None:
    shown = plan("ret_1", BODY, 200, [])
    assert [(stage.estimated_input, stage.estimated_output) for stage in shown.execution_plan] == [
        (200, 200),
        (200, 5),
    ]
    assert (shown.estimated_cost["total_duration_ms"], shown.bottleneck_stages) == (0, [])
    assert plan("ret_1", BODY, 0, []).execution_plan[0].estimated_efficiency == 0
