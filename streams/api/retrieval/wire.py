"""Executions as the contract shows them (4.6). Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from schemas.api.base import JsonObject
from streams.engines.retrieval.stages.execute import Execution
from streams.engines.retrieval.stages.prepare import PreparedStage
from streams.engines.retrieval.stages.rows import shown
from streams.engines.retrieval.stages.stage import Row

KEPT_BYTES: Final = 800_000
"""Above this an execution is kept with its documents' ids and scores alone."""


def document(row: Row, *, vectors: bool = False) -> JsonObject:
    """A document of a result: its fields at the root and once more under ``payload``, its score, what found it."""
    found: JsonObject = {**shown(row), "matched_features": dict(row.matched) or None}
    if vectors:
        found["vectors"] = {name: vector.tolist() for name, vector in row.features.items()}
    return found


def outcome(execution: Execution, limits: Sequence[JsonObject], warnings: Sequence[str]) -> JsonObject:
    """What an execution came to, without its documents."""
    notes = execution.notes
    every = [*notes.limits, *limits]
    return {
        "status": execution.status,
        "error": execution.error,
        "stage_statistics": execution.statistics(),
        "budget": dict(execution.budget),
        "degraded": list(notes.degraded),
        "limits": every,
        "facets": notes.facets,
        "warnings": [*warnings, *notes.warnings, *map(_limited, every)],
        "optimization_applied": False,
        "position": execution.position,
    }


def _limited(limit: Mapping[str, Any]) -> str:
    stage = f"stage {limit['stage']}: " if limit.get("stage") else ""
    return (
        f"{stage}{limit['name']} took {limit['applied']} of {limit['requested']} documents"
        f" (at most {limit['ceiling']} of a collection)"
    )


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


def kept(detail: JsonObject) -> JsonObject:
    """A detail small enough for a record: else its documents are left without their fields."""
    if len(orjson.dumps(detail)) <= KEPT_BYTES:
        return detail
    names = ("document_id", "collection_id", "score")
    return {
        **detail,
        "documents": [{name: item.get(name) for name in names} for item in detail["documents"]],
        "warnings": [
            *detail["warnings"],
            "the documents are kept without their fields: they were too large for one record",
        ],
    }
