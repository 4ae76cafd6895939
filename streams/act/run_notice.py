"""Whom a run of a retriever is told to: ``notification_config`` of its trigger (contract 4.8). Pure."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.events.happening import Happening, RunWord
from schemas.ids import derived_id
from streams.act.lease import Job

_TOLD: Final[Mapping[str, frozenset[RunWord]]] = {
    "change": frozenset(("trigger.results.changed",)),
    "failure": frozenset(("trigger.results.failed",)),
    "always": frozenset(("trigger.results.changed", "trigger.results.unchanged", "trigger.results.failed")),
}
DIAGNOSTICS: Final = ("total_time_ms", "stage_statistics")
"""What only those are told who ask for ``include_internal_diagnostics``."""


def notice(job: Job, facts: Mapping[str, Any], error: str | None) -> Happening | None:
    """What the channels of a run's trigger are told, if they want to be told of how it went. The first run of a
    trigger has changed nothing."""
    config = job.command.action_config.get("notification_config")
    if not config:
        return None
    word: RunWord = "trigger.results.unchanged"
    if error is not None:
        word = "trigger.results.failed"
    elif facts.get("changed"):
        word = "trigger.results.changed"
    if word not in _TOLD[config.get("notify_on") or "change"]:
        return None
    command = job.command
    shown = dict(facts)
    if not config.get("include_internal_diagnostics"):
        shown = {name: value for name, value in shown.items() if name not in DIAGNOSTICS}
    metadata = {
        "trigger_id": command.trigger_id,
        "task_id": command.job_id,
        "retriever_id": command.action_config.get("retriever_id"),
        "status": "completed" if error is None else "failed",
        "error": error,
        **shown,
    }
    # A job ends once; the id is the same however often its end is tried.
    identifier = derived_id("evt_", "results", command.job_id)
    return Happening(word, command.namespace_id, command.trigger_id, metadata, event_id=identifier)
