"""Histories of triggers (contract 2.3, 2.4)."""

from schemas.api.alert_execution import InstantText
from schemas.api.base import ApiResponse
from schemas.events.trigger import FiredBy, RunStatus


class _Run(ApiResponse):
    """What both families tell of a run."""

    triggered_at: InstantText
    nominal_at: InstantText
    status: RunStatus
    execution_time_ms: int | None
    error: str | None
    reason: str
    fired_by: FiredBy | None


class TriggerExecutionHistory(_Run):
    """``TriggerExecutionHistory``, with what set the run off."""

    task_id: str


class TriggerHistoryResponse(ApiResponse):
    """Runs of a trigger, newest first."""

    trigger_id: str
    executions: list[TriggerExecutionHistory]
    total: int
    offset: int
    limit: int


class ClusterTriggerExecution(_Run):
    """``TriggerExecutionHistoryItem`` of the cluster family, with what set the run off."""

    job_id: str
    num_clusters: int | None
    num_documents: int | None


class ClusterTriggerHistoryResponse(ApiResponse):
    """Runs of a cluster trigger, newest first; ``total`` counts after the status filter."""

    trigger_id: str
    executions: list[ClusterTriggerExecution]
    total: int
    offset: int
    limit: int
