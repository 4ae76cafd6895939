"""What an execution came to, as the contract shows it (4.6): one place for those who answer it and those who keep
it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.rows import shown
from streams.engines.retrieval.stages.stage import Row

KEPT_BYTES: Final = 800_000
"""Above this an execution is kept with its documents' ids and scores alone."""
_IDS: Final = ("document_id", "collection_id", "score")


def document(row: Row, *, vectors: bool = False) -> dict[str, Any]:
    """A document of a result: its fields at the root and once more under ``payload``, its score, what found it."""
    found = {**shown(row), "matched_features": dict(row.matched) or None}
    if vectors:
        found["vectors"] = {name: vector.tolist() for name, vector in row.features.items()}
    return found


def outcome(
    execution: Execution, limits: Sequence[Mapping[str, Any]] = (), warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What an execution came to, without its documents; ``limits`` and ``warnings`` are those of the request and
    the corpus."""
    notes = execution.notes
    every = [*map(dict, notes.limits), *map(dict, limits)]
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


def kept(execution: Execution, rows: Sequence[Row], found: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The detail of an execution as its record keeps it: what was ``found`` (:func:`outcome`), the ``rows`` that
    were given out, how far it came, and ``more``. Where that is too large for one record, the documents are left
    without their fields."""
    detail: dict[str, Any] = {
        **found,
        "documents": [document(row) for row in rows],
        "stages_completed": execution.stages_completed,
        "total_stages": execution.total_stages,
        "current_stage": execution.failed_stage,
        "total_returned": len(rows),
        **more,
    }
    # The record has a status of its own.
    detail.pop("status", None)
    if len(orjson.dumps(detail)) <= KEPT_BYTES:
        return detail
    detail["documents"] = [{name: item.get(name) for name in _IDS} for item in detail["documents"]]
    detail["warnings"] = [
        *detail["warnings"],
        "the documents are kept without their fields: they were too large for one record",
    ]
    return detail


def _limited(limit: Mapping[str, Any]) -> str:
    stage = f"stage {limit['stage']}: " if limit.get("stage") else ""
    return (
        f"{stage}{limit['name']} took {limit['applied']} of {limit['requested']} documents"
        f" (at most {limit['ceiling']} of a collection)"
    )
