"""Events that webhooks are told of, and the words for them (contract 7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

EventType = Literal[
    "object.created",
    "objects.created.batch",
    "object.updated",
    "object.deleted",
    "document.created",
    "document.updated",
    "document.deleted",
    "documents.updated.batch",
    "documents.deleted.batch",
    "collection.created",
    "collection.updated",
    "collection.deleted",
    "collection.documents.written",
    "collection.documents.batch_completed",
    "cluster.created",
    "cluster.updated",
    "cluster.deleted",
    "cluster.execution.started",
    "cluster.execution.completed",
    "cluster.execution.failed",
    "trigger.created",
    "trigger.updated",
    "trigger.deleted",
    "trigger.paused",
    "trigger.resumed",
    "trigger.fired",
    "trigger.execution.completed",
    "trigger.execution.failed",
    "taxonomy.created",
    "taxonomy.updated",
    "taxonomy.deleted",
    "alert.created",
    "alert.updated",
    "alert.deleted",
    "alert.triggered",
    "alert.execution.completed",
    "alert.execution.failed",
    "annotation.created",
    "annotation.updated",
    "annotation.deleted",
    "resource.executed",
    "resource.execution_failed",
    "manifest.apply.resource_state",
]
"""Every word of the contract. docs/webhooks.md says which of them this server has occasion to use."""

RunWord = Literal["trigger.results.changed", "trigger.results.unchanged", "trigger.results.failed"]
"""How a trigger's run of a retriever went. Told to the trigger's own channels: no webhook can ask for these."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to one subject."""

    type: EventType | RunWord
    namespace_id: str
    subject_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: datetime | None = None
    """``None``: the instant of the transaction it is told in."""
    event_id: str | None = None
    """Given where a crash could tell it twice; else a fresh one."""
