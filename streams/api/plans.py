"""How a retriever would run: each stage as its last runs measured it (contract 2.2). Pure.

A stage that has not run yet is taken to let through what it is given, up to the limit it sets; its time is not
guessed. Stages run in the order they are written in: nothing is re-arranged.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from schemas.api.base import JsonObject
from schemas.api.plan import ExplainRetrieverResponse, StagePlan

RUNS: Final = 20
"""How many of the last runs are averaged."""
_LIMITS: Final = {"feature_search": "final_top_k", "limit": "limit", "sample": "count", "mmr": "top_k"}
_BOTTLENECK: Final = 0.8


def plan(
    retriever_id: str, body: JsonObject, documents: int, statistics: Sequence[Mapping[str, Any]]
) -> ExplainRetrieverResponse:
    """The plan of a retriever over so many documents; ``statistics`` are the ``stages`` of its last runs, by the
    names of stages."""
    stages: list[StagePlan] = []
    for index, stage in enumerate(body["stages"]):
        measured = [run[stage["stage_name"]] for run in statistics if stage["stage_name"] in run]
        stages.append(_stage(index, stage, stages[-1].estimated_output if stages else documents, measured))
    slowest = max((stage.estimated_duration_ms for stage in stages), default=0.0)
    total = sum(stage.estimated_duration_ms for stage in stages)
    return ExplainRetrieverResponse(
        retriever_id=retriever_id,
        retriever_name=body["retriever_name"],
        estimated_cost={"total_credits": 0.0, "total_duration_ms": round(total, 3)},
        execution_plan=stages,
        optimization_suggestions=[],
        total_estimated_stages=len(stages),
        bottleneck_stages=[
            stage.stage_name
            for stage in stages
            if slowest and stage.estimated_duration_ms >= _BOTTLENECK * slowest
        ],
        optimization_level="none",
        optimization_applied=False,
        optimization_details=None,
    )


def _stage(index: int, stage: JsonObject, given: int, measured: Sequence[Mapping[str, Any]]) -> StagePlan:
    if measured:
        incoming = round(fmean(run["input_count"] for run in measured))
        outgoing = round(fmean(run["output_count"] for run in measured))
        milliseconds = round(fmean(run["duration_ms"] for run in measured), 3)
        notes = [f"measured over the last {len(measured)} run(s)"]
    else:
        limit = stage["config"]["parameters"].get(_LIMITS.get(stage["config"]["stage_id"], ""))
        incoming, milliseconds, notes = given, 0.0, ["not run yet: an upper bound, and no time"]
        outgoing = min(given, limit) if isinstance(limit, int) else given
    return StagePlan(
        stage_index=index,
        stage_name=stage["stage_name"],
        stage_type=stage["stage_type"],
        estimated_input=incoming,
        estimated_output=outgoing,
        estimated_efficiency=round(outgoing / incoming, 6) if incoming else 0.0,
        estimated_cost_credits=0.0,
        estimated_duration_ms=milliseconds,
        cache_likely=False,
        optimization_notes=notes,
        warnings=[],
    )
