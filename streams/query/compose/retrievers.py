"""Retriever executions as ``ExecutionDetail`` and ``ExecutionSummary`` (contract 4.6, 2.2)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from schemas.ids import execution_id
from schemas.times import format_instant
from streams.query.compose.alerts import fields, in_bounds, match_count, matches_of
from streams.query.compose.rows import Execution, RetrieverRun


def stored_detail(run: RetrieverRun) -> dict[str, Any]:
    """The detail of a recorded run. What its writer left out has the contract's defaults."""
    documents = run.detail.get("documents") or []
    return {
        "documents": documents,
        "documents_retained": True,
        "total_returned": len(documents),
        "stage_statistics": {"stages": {}, "total_time_ms": _milliseconds(run), "credits_used": 0.0},
        "budget": _budget({}, _milliseconds(run)),
        "pagination": _pagination(len(documents)),
        **{name: value for name, value in run.detail.items() if value is not None},
        "execution_id": run.execution_id,
        "retriever_id": run.retriever_id,
        "status": run.status,
        "created_at": format_instant(run.created_at),
        "completed_at": format_instant(run.completed_at),
    }


def percolated_detail(execution: Execution, retriever: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of an alert execution: its retriever run over the one document that caused it, or with what it
    found, of one that looked documents up or counted them in a window.

    All stages are evaluated in one pass over the document, so there is one duration, of the whole.
    """
    names = [str(stage["stage_name"]) for stage in retriever.get("stages") or []]
    total = float(execution.duration_ms)
    documents = [_document(execution)] if execution.matches is None else matches_of(execution)
    returned = match_count(execution)
    return {
        "execution_id": execution_id(execution.base, execution.number),
        "retriever_id": execution.retriever_id,
        "status": "completed",
        "documents": documents,
        "documents_retained": len(documents) == returned,
        "total_returned": returned,
        "pagination": _pagination(len(documents)),
        "stage_statistics": {
            "stages": {name: _passed(total / len(names), returned) for name in names},
            "total_time_ms": total,
            "credits_used": 0.0,
        },
        "budget": _budget(retriever.get("budget_limits") or {}, total),
        "created_at": format_instant(execution.executed_at),
        "completed_at": format_instant(execution.executed_at),
        "stages_completed": len(names),
        "total_stages": len(names),
        "warnings": ["the document was cut because it was too large for one record"]
        if execution.truncated
        else [],
        "alert_id": execution.alert_id,
        "reason": execution.reason,
    }


def status(detail: Mapping[str, Any]) -> dict[str, Any]:
    """How far an execution came, from its detail."""
    names = ("execution_id", "retriever_id", "status", "created_at", "completed_at", "error", "current_stage")
    return {
        **{name: detail.get(name) for name in names},
        "stages_completed": detail.get("stages_completed") or 0,
        "total_stages": detail.get("total_stages") or 0,
        "total_returned": detail.get("total_returned"),
    }


def profile(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What an execution cost, from its detail."""
    names = ("stage_statistics", "budget", "limits", "degraded", "warnings", "position")
    return {**status(detail), **{name: detail.get(name) for name in names}}


def _document(execution: Execution) -> dict[str, Any]:
    own = fields(execution)
    metadata = own.get("metadata")
    return {
        **own,
        "document_id": execution.document_id,
        "collection_id": execution.collection_id,
        "score": in_bounds(execution.score),
        "matched_features": execution.matched_features,
        "metadata": metadata if isinstance(metadata, dict) else {},
        "payload": own,
    }


def _passed(share_ms: float, documents: int) -> dict[str, Any]:
    return {
        "input_count": documents,
        "output_count": documents,
        "duration_ms": share_ms,
        "efficiency": 1.0,
        "metadata": {"duration": "an equal share of one pass over all stages"},
    }


def _budget(limits: Mapping[str, Any], time_used_ms: float) -> dict[str, Any]:
    credits_limit = limits.get("max_credits")
    return {
        "credits_used": 0.0,
        "credits_remaining": credits_limit,
        "credits_limit": credits_limit,
        "time_used_ms": time_used_ms,
        "time_limit_ms": limits.get("max_time_ms"),
    }


def _pagination(total: int) -> dict[str, Any]:
    """One page that holds everything, in the union of the contract's offset shapes."""
    return {
        "method": "offset",
        "page_number": 1,
        "page_size": total,
        "returned": total,
        "total": total,
        "limit": total,
        "offset": 0,
        "has_next": False,
        "has_previous": False,
    }


def _milliseconds(run: RetrieverRun) -> float:
    return max(0.0, (run.completed_at - run.created_at).total_seconds() * 1000)


def stored_summary(run: RetrieverRun) -> dict[str, Any]:
    """A recorded run in a list."""
    stages = list(((run.detail.get("stage_statistics") or {}).get("stages") or {}).values())
    returned = run.detail.get("total_returned")
    return {
        "execution_id": run.execution_id,
        "status": run.status,
        "created_at": format_instant(run.created_at),
        "completed_at": format_instant(run.completed_at),
        "duration_ms": _milliseconds(run),
        "credits_used": float((run.detail.get("budget") or {}).get("credits_used") or 0.0),
        "total_processed": max((int(stage.get("input_count") or 0) for stage in stages), default=0),
        "total_returned": len(run.detail.get("documents") or []) if returned is None else int(returned),
    }


def adhoc_summary(run: RetrieverRun) -> dict[str, Any]:
    """A recorded run of a retriever that was never stored, in a list."""
    return {
        **stored_summary(run),
        "execution_mode": "adhoc",
        "timestamp": format_instant(run.created_at),
        "stages_completed": run.detail.get("stages_completed") or 0,
        "total_stages": run.detail.get("total_stages") or 0,
    }


def percolated_summary(execution: Execution) -> dict[str, Any]:
    """An alert execution in a list of its retriever's executions."""
    return {
        "execution_id": execution_id(execution.base, execution.number),
        "status": "completed",
        "created_at": format_instant(execution.executed_at),
        "completed_at": format_instant(execution.executed_at),
        "duration_ms": float(execution.duration_ms),
        "credits_used": 0.0,
        "total_processed": match_count(execution),
        "total_returned": match_count(execution),
    }


R = TypeVar("R", bound=tuple[datetime, str])


def newest_first(
    runs: Sequence[R], executions: Sequence[Execution], offset: int, limit: int
) -> list[R | Execution]:
    """One page over both kinds, each given newest first from where the list begins to ``offset + limit`` at least;
    runs as their time and id. Of one instant executions come first."""
    merged: list[tuple[datetime, R | Execution]] = [(item.appended_at, item) for item in executions]
    merged += [(run[0], run) for run in runs]
    merged.sort(key=_moment, reverse=True)  # stable: each kind keeps its order
    return [item for _, item in merged[offset : offset + limit]]


def _moment(entry: tuple[datetime, object]) -> datetime:
    return entry[0]
