"""What queueing, taking and ending a job is to webhooks (contract 7). Pure."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.events.happening import EventType, Happening
from schemas.events.trigger import RunStatus, TriggerCommand
from schemas.ids import derived_id
from streams.runtime.cluster_runs import cluster_id_of, run_id_of

_TRIGGER: Final = "trig_"
"""How the ids of triggers begin. A run without one has the id of what it is about: an alert that is swept, or a
cluster, collection or namespace of which somebody asked for it."""
FIRED: Final[EventType] = "trigger.fired"
_OF_TRIGGER: Final[Mapping[RunStatus, EventType]] = {
    "completed": "trigger.execution.completed",
    "failed": "trigger.execution.failed",
}
_OF_CLUSTER: Final[Mapping[RunStatus, EventType]] = {
    "processing": "cluster.execution.started",
    "completed": "cluster.execution.completed",
    "failed": "cluster.execution.failed",
}


def fired(command: TriggerCommand) -> list[Happening]:
    """A trigger has fired; nothing for a run that was asked for without one."""
    if not command.trigger_id.startswith(_TRIGGER):
        return []
    return [_of_trigger(command, FIRED, {})]


def came_to(
    command: TriggerCommand,
    status: RunStatus,
    *,
    error: str | None = None,
    execution_time_ms: int | None = None,
    num_documents: int | None = None,
) -> list[Happening]:
    """A job was taken, or has ended: for its trigger, and for the cluster, alert or collection it was about."""
    found = []
    if status in _OF_TRIGGER and command.trigger_id.startswith(_TRIGGER):
        ended = {"status": status, "error": error, "execution_time_ms": execution_time_ms}
        found.append(_of_trigger(command, _OF_TRIGGER[status], ended))
    if status in _OF_CLUSTER and command.action_type == "cluster":
        cluster_id = cluster_id_of(command)
        metadata: dict[str, Any] = {
            "cluster_id": cluster_id,
            "run_id": run_id_of(command.job_id),
            "task_id": command.job_id,
        }
        if status == "failed":
            metadata["error"] = error
        found.append(_happening(command, _OF_CLUSTER[status], cluster_id, metadata))
    config = command.action_config
    if status == "failed" and command.action_type == "alert_evaluation" and (alert_id := config.get("alert_id")):
        metadata = {"alert_id": alert_id, "task_id": command.job_id, "reason": command.reason, "error": error}
        found.append(_happening(command, "alert.execution.failed", alert_id, metadata))
    if status == "completed" and command.action_type == "collection_trigger":
        # A batch is a run, under its own id (decision 015).
        collection_id = config["collection_id"]
        metadata = {"collection_id": collection_id, "batch_id": command.job_id, "document_count": num_documents}
        found.append(_happening(command, "collection.documents.batch_completed", collection_id, metadata))
    return found


def _of_trigger(command: TriggerCommand, kind: EventType, more: Mapping[str, Any]) -> Happening:
    metadata = {
        "trigger_id": command.trigger_id,
        "action_type": command.action_type,
        "task_id": command.job_id,
        "reason": command.reason,
        **more,
    }
    return _happening(command, kind, command.trigger_id, metadata)


def _happening(
    command: TriggerCommand, kind: EventType, subject_id: str, metadata: Mapping[str, Any]
) -> Happening:
    event_id = derived_id("evt_", kind, command.job_id)
    return Happening(kind, command.namespace_id, subject_id, metadata, event_id=event_id)
