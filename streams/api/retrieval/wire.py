"""The profile of an execution (contract 4.6). Pure."""

from collections.abc import Sequence

from schemas.api.base import JsonObject
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.prepare import PreparedStage


def explain_plan(
    execution: Execution, stages: Sequence[PreparedStage], collections: Sequence[str] | None
) -> JsonObject:
    """The profile of an execution: what each stage was and did."""
    return {
        "collections": None if collections is None else list(collections),
        "position": execution.position,
        "documents_matching": execution.notes.total,
        "stages": [
            {
                "stage_index": index,
                "stage_name": stage.name,
                "stage_id": stage.stage.stage_id,
                "stage_type": stage.stage.category,
                "summary": stage.stage.summary,
                "parameters": dict(stage.raw),
                "executed": stage.name in execution.stages,
                **(execution.stages[stage.name].wire() if stage.name in execution.stages else {}),
            }
            for index, stage in enumerate(stages)
        ],
    }
