"""The pipes of the system: every topic, in flow order, in one table.

A station never spells a topic name; it takes it from here. The names below are logical: the
configured prefix is put in front of them by :meth:`Topic.named`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Cleanup = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what its key means, how it is cleaned up, how many partitions it is created with."""

    name: str
    key: str
    value: str
    cleanup: Cleanup
    partitions: int
    retention: timedelta | None = None
    """How long records are kept; ``None`` for compacted topics, which keep the last record per key."""

    def named(self, prefix: str) -> str:
        """The name on the broker under ``prefix`` (which may be empty)."""
        return f"{prefix}{self.name}"


DOCUMENTS = Topic("documents", "ns/collection/document", "DocumentEvent", "delete", 12, timedelta(days=7))
DEFINITIONS = Topic("definitions", "kind/ns/id", "DefinitionRecord, or a tombstone", "compact", 1)
REFERENCES = Topic("references", "ns/collection/document", "DocumentEvent of a watch list", "compact", 12)
ALERT_RESULTS = Topic("alert-results", "the document's key", "AlertResultRecord", "delete", 12, timedelta(days=30))
RETRIEVER_EXECUTIONS = Topic(
    "retriever-executions", "ns/retriever", "RetrieverExecutionRecord", "delete", 12, timedelta(days=30)
)
MATCH_PROGRESS = Topic("match-progress", "partition/ns/collection", "MatchProgress", "compact", 12)
TRIGGER_COMMANDS = Topic("trigger-commands", "ns/trigger", "TriggerCommand", "delete", 6, timedelta(days=7))
TRIGGER_RESULTS = Topic("trigger-results", "ns/trigger", "TriggerResult", "delete", 6, timedelta(days=30))
NOTIFICATIONS = Topic("notifications", "ns/alert", "DeliveryRecord", "delete", 6, timedelta(days=30))
DEAD_LETTERS = Topic("dead-letters", "the original key", "the original bytes", "delete", 3, timedelta(days=30))

TOPICS: tuple[Topic, ...] = (
    DOCUMENTS,
    DEFINITIONS,
    REFERENCES,
    ALERT_RESULTS,
    RETRIEVER_EXECUTIONS,
    MATCH_PROGRESS,
    TRIGGER_COMMANDS,
    TRIGGER_RESULTS,
    NOTIFICATIONS,
    DEAD_LETTERS,
)
