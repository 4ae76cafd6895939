"""Trigger executions as history items of the two families (contract 2.3, 2.4)."""

from typing import Any

from schemas.times import format_instant
from streams.query.compose.rows import TriggerRun


def cluster_item(run: TriggerRun) -> dict[str, Any]:
    """``TriggerExecutionHistoryItem``, with the reason of the fire beside it."""
    return {
        "job_id": run.job_id,
        "triggered_at": format_instant(run.triggered_at),
        "status": run.status,
        "execution_time_ms": run.execution_time_ms,
        "error": run.error,
        "num_clusters": run.num_clusters,
        "num_documents": run.num_documents,
        "reason": run.reason,
    }


def item(run: TriggerRun) -> dict[str, Any]:
    """``TriggerExecutionHistory``, with the reason of the fire beside it."""
    return {
        "task_id": run.job_id,
        "triggered_at": format_instant(run.triggered_at),
        "status": run.status,
        "execution_time_ms": run.execution_time_ms,
        "error": run.error,
        "reason": run.reason,
    }
