"""What queueing, taking and ending a job is to webhooks (contract 7). Pure."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.events.happening import EventType, Happening
from schemas.events.trigger import RunStatus, TriggerCommand
from schemas.ids import derived_id
from streams.runtime.cluster_runs import cluster_id_of, run_id_of

_REQUESTED_ABOUT: Final = ("clust_", "col_")
"""How the ids begin that stand for a trigger's in runs that somebody asked for without one."""
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
    if command.trigger_id.startswith(_REQUESTED_ABOUT):
        return []
    return [_of_trigger(command, "trigger.fired", {})]


def came_to(
    command: TriggerCommand, status: RunStatus, *, error: str | None = None, execution_time_ms: int | None = None
) -> list[Happening]:
    """A job was taken, or has ended: for its trigger, and for the cluster it runs."""
    found = []
    if status in _OF_TRIGGER and not command.trigger_id.startswith(_REQUESTED_ABOUT):
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
