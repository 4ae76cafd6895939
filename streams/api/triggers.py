"""Trigger bodies and answers, both families (contract 4.7, 4.9). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.api.base import JsonObject
from schemas.api.channel import masked
from schemas.api.cluster_trigger import ClusterTriggerResponse
from schemas.api.trigger import Status, TriggerResponse
from streams.engines.rules.condition import Condition
from streams.engines.rules.due import Policy, due_at
from streams.engines.rules.schedule import initial_state, is_overdue, parse
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import invalid

MEASURED_BY = (
    *("condition_type", "metric", "feature_uri", "field", "field_type", "time_domain", "collection_id"),
    *("baseline", "baseline_seconds"),
)
"""Keys of a conditional schedule that say what is measured: with another value the old baseline means nothing."""
CALIBRATED_BY = ("threshold", "false_alarm_rate", "window_seconds", "min_sample")
"""Keys that a calibrated threshold depends on."""


@dataclass(frozen=True, slots=True)
class TriggerState:
    """A row of ``trigger_state``, as far as an answer shows it."""

    trigger_id: str
    status: Status
    last_triggered_at: datetime | None
    next_scheduled_at: datetime | None
    next_due_at: datetime | None
    anchor_at: datetime | None
    last_cooldown_at: datetime | None
    last_condition_check_at: datetime | None
    last_job_id: str | None
    last_execution_status: str | None
    last_execution_error: str | None
    successful_executions: int
    total_executions: int
    consecutive_failures: int
    event_counter: int
    baseline_snapshot: JsonObject | None
    last_drift_measurement: JsonObject | None
    last_volume_measurement: JsonObject | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NextTime:
    """When a trigger is next due; nothing when it does not run, or when events or documents' times decide.
    ``next_due_at`` is with its jitter, if there is any."""

    next_scheduled_at: datetime | None = None
    next_due_at: datetime | None = None


def next_time(
    trigger_id: str, trigger_type: str, schedule_config: JsonObject, now: datetime, *, created: bool = False
) -> NextTime:
    """When a trigger that starts to run at ``now`` is next due. Only a new trigger honours
    ``start_immediately``. Raises 422 for a schedule that cannot work."""
    config = schedule_config if created else {**schedule_config, "start_immediately": False}
    try:
        if trigger_type == "conditional":
            Condition.parse(config)
        nominal = initial_state(trigger_type, config, now)["next_scheduled_at"]
        if nominal is None or trigger_type == "conditional":
            return NextTime(nominal)
        due = due_at(trigger_id, parse(trigger_type, config), Policy.parse(config), nominal)
        return NextTime(nominal, None if due == nominal else due)
    except ValueError as error:
        raise invalid(str(error), "body", "schedule_config") from error


def measures_otherwise(old: JsonObject, new: JsonObject) -> bool:
    """Whether a baseline taken under schedule ``old`` says nothing under ``new``."""
    keys = MEASURED_BY if new.get("threshold") is not None else MEASURED_BY + CALIBRATED_BY
    return any(old.get(key) != new.get(key) for key in keys)


def new_body(
    request_fields: JsonObject, trigger_id: str, created_by: str, watched_collection_ids: Sequence[str]
) -> JsonObject:
    """The body of a new trigger of either family. ``watched_collection_ids`` is never shown."""
    return {
        "trigger_id": trigger_id,
        **request_fields,
        "created_by": created_by,
        "watched_collection_ids": list(watched_collection_ids),
    }


def _common(stored: StoredDefinition, state: TriggerState, internal_id: str) -> dict[str, Any]:
    body = stored.body
    return {
        "trigger_id": stored.record.id,
        "namespace_id": stored.record.namespace_id,
        "internal_id": internal_id,
        "trigger_type": body["trigger_type"],
        "schedule_config": body["schedule_config"],
        "status": state.status,
        "last_triggered_at": state.last_triggered_at,
        "next_scheduled_at": state.next_scheduled_at,
        "last_cooldown_at": state.last_cooldown_at,
        "last_execution_status": state.last_execution_status,
        "last_execution_error": state.last_execution_error,
        "consecutive_failures": state.consecutive_failures,
        "event_counter": state.event_counter,
        "description": body.get("description"),
        "created_by": body.get("created_by"),
        "created_at": stored.created_at,
        "updated_at": max(stored.updated_at, state.updated_at),
    }


def trigger_response(
    stored: StoredDefinition, state: TriggerState, internal_id: str, now: datetime
) -> TriggerResponse:
    """A unified trigger as it is shown."""
    body = stored.body
    return TriggerResponse(
        **_common(stored, state, internal_id),
        action_type=body["action_type"],
        action_config=_shown(body["action_config"]),
        name=body.get("name"),
        last_condition_check_at=state.last_condition_check_at,
        last_execution_task_id=state.last_job_id,
        execution_count=state.successful_executions,
        baseline_snapshot=state.baseline_snapshot,
        last_drift_measurement=state.last_drift_measurement,
        last_volume_measurement=state.last_volume_measurement,
        is_overdue=is_overdue(
            state.status, body["trigger_type"], state.next_due_at or state.next_scheduled_at, now
        ),
    )


def _shown(action_config: JsonObject) -> JsonObject:
    """What a trigger runs, without the secrets of its channels."""
    notified = action_config.get("notification_config")
    return {**action_config, "notification_config": masked(notified)} if notified else action_config


def cluster_trigger_response(
    stored: StoredDefinition, state: TriggerState, internal_id: str, _: datetime
) -> ClusterTriggerResponse:
    """A cluster trigger as it is shown."""
    body = stored.body
    return ClusterTriggerResponse(
        **_common(stored, state, internal_id),
        cluster_id=body["cluster_id"],
        execution_config=body["execution_config"],
        last_execution_job_id=state.last_job_id,
        execution_count=state.total_executions,
    )
