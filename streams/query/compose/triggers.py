"""Trigger executions as history items of the two families (contract 2.3, 2.4)."""

from typing import Any

from schemas.times import format_instant
from streams.query.compose.rows import TriggerRun


def cluster_item(run: TriggerRun) -> dict[str, Any]:
    """``TriggerExecutionHistoryItem``, with what set the run off beside it."""
    return {
        "job_id": run.job_id,
        **_common(run),
        "num_clusters": run.num_clusters,
        "num_documents": run.num_documents,
    }


def item(run: TriggerRun) -> dict[str, Any]:
    """``TriggerExecutionHistory``, with what set the run off beside it."""
    return {"task_id": run.job_id, **_common(run)}


def _common(run: TriggerRun) -> dict[str, Any]:
    return {
        "triggered_at": format_instant(run.triggered_at),
        "nominal_at": format_instant(run.nominal_at),
        "status": run.status,
        "execution_time_ms": run.execution_time_ms,
        "error": run.error,
        "reason": run.reason,
        "fired_by": run.fired_by,
    }
