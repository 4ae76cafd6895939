"""Alerts (contract 2.1, 4.2)."""

from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, Cooldown, Instant, JsonObject, having, problem
from schemas.api.channel import NotificationConfig
from schemas.api.names import name_shape
from schemas.api.pages import ListRequest, Pagination, sorted_by
from schemas.times import TimeDomain

MAX_WINDOW: Final = 30 * 86_400
"""Seconds."""
TriggerOn = Literal["results", "no_results"]
SystemConditionType = Literal[
    "collection_empty",
    "batch_failed",
    "batch_stalled",
    "retriever_latency",
    "retriever_no_results",
    "batch_error_rate",
    "collection_drift",
    "retriever_accuracy",
    "retriever_alignment_regression",
    "task_queue_degraded",
    "dlq_growth",
    "provider_quota_exhausted",
    "retriever_no_interactions",
    "collection_stale",
    "budget_threshold",
    "ingest_stalled",
]


_NAME: Final = name_shape("alert")


class Threshold(ApiRequest):
    """A comparison on one field of the first result."""

    field: str = Field(min_length=1)
    operator: Literal["gt", "gte", "lt", "lte", "eq", "ne"]
    value: Any


class SystemCondition(ApiRequest):
    """A built-in condition of a system alert."""

    type: SystemConditionType
    params: JsonObject | None = None


class NamespaceSelector(ApiRequest):
    """Which namespaces an alert covers."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                having("mode", mode={"const": "all"}),
                having("namespace_ids", namespace_ids={"minItems": 1}),
            ]
        }
    )

    mode: Literal["all", "selected"] = "selected"
    namespace_ids: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_some(self) -> Self:
        if self.mode == "selected" and not self.namespace_ids:
            raise problem("mode 'selected' needs namespace_ids", "namespace_ids", kind="missing")
        return self


class CreateAlertRequest(ApiRequest):
    """``CreateAlertRequest``. ``retriever_id`` takes an id or a name."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                having("retriever_id", source={"enum": ["retriever", None]}),
                having("source", "system_condition", source={"const": "system"}),
            ]
        }
    )

    name: str = Field(min_length=1, max_length=200, json_schema_extra=_NAME)
    notification_config: NotificationConfig
    description: str | None = Field(None, max_length=1_000)
    source: Literal["retriever", "system"] = "retriever"
    retriever_id: str | None = Field(None, min_length=1)
    trigger_on: TriggerOn = "results"
    min_count: int = Field(1, ge=1)
    threshold: Threshold | None = None
    inputs: JsonObject | None = None
    cooldown_seconds: Cooldown = 0
    renotify_interval_seconds: int | None = Field(None, ge=60, le=2_592_000)
    window_seconds: int | None = Field(None, ge=1, le=MAX_WINDOW)
    """Decide over what came in so many seconds. An extension, as ``time_domain``."""
    time_domain: TimeDomain | None = None
    """Whose seconds: when documents were appended (the default), or when they occurred."""
    system_condition: SystemCondition | None = None
    namespace_selector: NamespaceSelector | None = None
    enabled: bool = True
    metadata: JsonObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_question(self) -> Self:
        if self.source == "retriever" and self.retriever_id is None:
            raise problem("an alert of source 'retriever' needs a retriever_id", "retriever_id", kind="missing")
        if self.source == "system" and self.system_condition is None:
            raise problem(
                "an alert of source 'system' needs a system_condition", "system_condition", kind="missing"
            )
        return self


class PatchAlertRequest(ApiRequest):
    """What of an alert may change; ``inputs`` and ``notification_config`` replace the whole."""

    name: str | None = Field(None, min_length=1, max_length=200, json_schema_extra=_NAME)
    notification_config: NotificationConfig | None = None
    description: str | None = Field(None, max_length=1_000)
    retriever_id: str | None = Field(None, min_length=1)
    trigger_on: TriggerOn | None = None
    min_count: int | None = Field(None, ge=1)
    threshold: Threshold | None = None
    inputs: JsonObject | None = None
    cooldown_seconds: Cooldown | None = None
    renotify_interval_seconds: int | None = Field(None, ge=60, le=2_592_000)
    window_seconds: int | None = Field(None, ge=0, le=MAX_WINDOW)
    """0 removes."""
    time_domain: TimeDomain | None = None
    system_condition: SystemCondition | None = None
    namespace_selector: NamespaceSelector | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None


class AlertResponse(ApiResponse):
    """``AlertResponse``. Secrets inside channels are masked."""

    alert_id: str
    namespace_id: str
    name: str
    description: str | None
    source: str
    retriever_id: str | None
    trigger_on: str
    min_count: int
    threshold: JsonObject | None
    inputs: JsonObject | None
    cooldown_seconds: int
    renotify_interval_seconds: int | None
    window_seconds: int | None
    time_domain: TimeDomain | None
    last_fired_at: Instant | None
    system_condition: JsonObject | None
    namespace_selector: JsonObject | None
    notification_config: JsonObject
    enabled: bool
    metadata: JsonObject
    created_at: Instant
    updated_at: Instant


class AlertStats(ApiResponse):
    """Counts over every alert of the namespace."""

    total_alerts: int
    enabled_alerts: int
    disabled_alerts: int
    alerts_by_channel_type: dict[str, int]


class ListAlertsRequest(ListRequest):
    """``ListAlertsRequest``."""

    model_config = ConfigDict(json_schema_extra=sorted_by(AlertResponse, "id", "name", "alert_id", "alert_name"))


class ListAlertsResponse(ApiResponse):
    """``ListAlertsResponse``."""

    results: list[AlertResponse]
    pagination: Pagination
    total_count: int
    stats: AlertStats
