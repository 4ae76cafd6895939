"""Executions of retrievers as they are answered and read (contract 2.2, 4.6, 1.7 styles C and D)."""

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.api.alert_execution import InstantText
from schemas.api.base import ApiResponse, JsonObject

ExecutionStatus = Literal["completed", "failed"]


class ResultDocument(ApiResponse):
    """A document of a result: its fields stand at the root, and once more under ``payload``."""

    model_config = ConfigDict(extra="allow")

    document_id: str | None = None
    collection_id: str | None = None
    score: float | None = None
    matched_features: JsonObject | None = None


class StageStatistics(ApiResponse):
    """What one stage did."""

    input_count: int
    output_count: int
    duration_ms: float
    efficiency: float
    error: str | None = None
    metadata: JsonObject | None = None


class ExecutionStatistics(ApiResponse):
    """What each stage did."""

    stages: dict[str, StageStatistics]
    total_time_ms: float
    credits_used: float


class Budget(ApiResponse):
    """What an execution cost, of what it was allowed."""

    credits_used: float
    credits_remaining: float | None
    credits_limit: float | None
    time_used_ms: float
    time_limit_ms: float | None


class _Outcome(ApiResponse):
    """What an execution came to."""

    execution_id: str
    retriever_id: str
    status: ExecutionStatus
    documents: list[ResultDocument]
    pagination: JsonObject
    stage_statistics: ExecutionStatistics
    budget: Budget
    error: str | None = None
    degraded: list[JsonObject | str] | None = None
    limits: list[JsonObject] | None = None
    facets: JsonObject | list[JsonObject] | None = None
    warnings: list[str] | None = None
    completeness: dict[str, str] | None = None
    """Feature → ``approximate``, of those that were searched by an index, which may have missed documents."""
    optimization_applied: bool | None = None
    position: JsonObject | None = None
    """By partition the offset up to which documents had been collected."""
    created_at: InstantText
    completed_at: InstantText


class ExecuteRetrieverResponse(_Outcome):
    """``ExecuteRetrieverResponse``."""

    cache_hit: bool
    consistency_mode: str
    explain_plan: JsonObject | None = None
    results: list[ResultDocument] | None = None
    """``documents`` under their older name, with ``include_legacy_results``."""


class BatchResult(ApiResponse):
    """The answer to one question of a batch: an execution's, or why it failed."""

    model_config = ConfigDict(extra="allow")

    query_index: int
    execution_id: str
    status: ExecutionStatus
    error: str | None = None


class ExecuteBatchResponse(ApiResponse):
    """Answers in the order of the questions."""

    retriever_id: str
    results: list[BatchResult]
    total: int
    completed: int
    failed: int


class ExecutionDetail(_Outcome):
    """``ExecutionDetail``: an execution as it was recorded."""

    documents_retained: bool
    total_returned: int
    stages_completed: int | None = None
    total_stages: int | None = None
    current_stage: str | None = None
    inputs_hash: str | None = None
    alert_id: str | None = None
    reason: str | None = None


class ExecutionSummary(ApiResponse):
    """``ExecutionSummary``."""

    execution_id: str
    status: ExecutionStatus
    created_at: InstantText
    completed_at: InstantText | None
    duration_ms: float = Field(ge=0)
    credits_used: float = Field(ge=0)
    total_processed: int = Field(ge=0)
    total_returned: int = Field(ge=0)


class AdhocExecutionSummary(ExecutionSummary):
    """An execution of a retriever that was never stored."""

    execution_mode: Literal["adhoc"]
    timestamp: InstantText
    stages_completed: int
    total_stages: int


class AdhocExecutionDetail(ExecutionDetail):
    """An execution of a retriever that was never stored, with its summary."""

    duration_ms: float = Field(ge=0)
    credits_used: float = Field(ge=0)
    total_processed: int = Field(ge=0)
    execution_mode: Literal["adhoc"]
    timestamp: InstantText


class WindowPagination(ApiResponse):
    """Style C, and the cursor that goes on behind the page."""

    total: int = Field(ge=0)
    limit: int = Field(ge=0)
    offset: int = Field(ge=0)
    has_next: bool
    next_cursor: str | None = None


class ListExecutionsResponse(ApiResponse):
    """``ListExecutionsResponse``: newest first."""

    results: list[ExecutionSummary]
    pagination: WindowPagination


class ListAdhocExecutionsResponse(ApiResponse):
    """Newest first; with ``count_only`` the total alone."""

    results: list[AdhocExecutionSummary]
    total: int
    pagination: WindowPagination | None


class ExecutionStatusResponse(ApiResponse):
    """How far an execution is."""

    execution_id: str
    retriever_id: str
    status: ExecutionStatus
    created_at: InstantText
    completed_at: InstantText | None
    error: str | None
    current_stage: str | None
    stages_completed: int
    total_stages: int
    total_returned: int | None


class ExecutionProfileResponse(ExecutionStatusResponse):
    """What an execution cost, stage by stage."""

    stage_statistics: ExecutionStatistics
    budget: Budget
    limits: list[JsonObject] | None
    degraded: list[JsonObject | str] | None
    warnings: list[str] | None
    position: JsonObject | None
