"""Results of alerts as they are read (contract 2.1, 4.1)."""

from pydantic import Field

from schemas.api.base import ApiResponse, JsonObject
from schemas.api.pages import Pagination
from schemas.events.notification import DeliveryStatus

InstantText = str
"""An instant, ISO 8601 in UTC with ``Z``."""


class AlertMatch(ApiResponse):
    """``AlertMatch``: a document that fulfils the alert's question."""

    document_id: str
    score: float = Field(ge=0, le=1)
    asset_id: str | None
    matched_features: JsonObject | None
    metadata: JsonObject | None
    collection_id: str | None = None


class AlertDelivery(ApiResponse):
    """The newest attempt to tell a result over one channel."""

    channel_type: str
    status: DeliveryStatus
    error: str | None


class Position(ApiResponse):
    """Where a record stands in the log."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class CheckedThrough(ApiResponse):
    """How far an alert's collections have been checked: by collection and partition the next offset."""

    position: dict[str, dict[str, int]]
    occurred_at: InstantText
    appended_at: InstantText
    definitions_version: int
    decided: dict[str, InstantText] | None = None


class AlertExecutionResult(ApiResponse):
    """``AlertExecutionResult``, with what it was decided by beside it."""

    execution_id: str
    alert_id: str
    collection_id: str | None
    triggered: bool
    match_count: int = Field(ge=0)
    matches: list[AlertMatch] | None
    source_documents: list[str]
    executed_at: InstantText
    duration_ms: int = Field(ge=0)
    deliveries: list[AlertDelivery] | None
    reason: str
    retriever_id: str | None
    alert_version: int
    definitions_version: int
    appended_at: InstantText
    occurred_at: InstantText
    position: Position | None = None
    truncated: bool = False
    reference_position: dict[str, int] | None = None


class LatestResultResponse(AlertExecutionResult):
    """The newest result of an alert, and how far it has been checked."""

    checked_through: CheckedThrough | None


class AlertExecutionListResponse(ApiResponse):
    """``AlertExecutionListResponse``."""

    results: list[AlertExecutionResult]
    pagination: Pagination
    total_count: int
