"""Records of the result topics → rows of the view. Pure.

Every value is checked here against what its column can hold, so that a bad record is a
:class:`DecodeError` of its own and never an error of the whole batch's transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.events.notification import DeliveryRecord
from schemas.events.progress import MatchProgress
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.events.trigger import TriggerResult
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, NOTIFICATIONS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS
from streams.query.checks import count, maybe_count, maybe_text, readable, text
from streams.query.results import Result, ResultReader

Row = tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """What one batch adds to the view."""

    reader: ResultReader = field(default_factory=ResultReader, compare=False)
    results: list[Result] = field(default_factory=list)
    progress: dict[Row, Row] = field(default_factory=dict)
    """Partition, namespace and collection → the greatest values told."""
    triggers: list[Row] = field(default_factory=list)
    retrievers: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)

    def add(self, topic: str, value: bytes | None, partition: int = -1, offset: int = -1) -> None:
        """Take in one record of the topic with this logical name, from this place in it. Raises
        :class:`DecodeError`, and then has taken nothing."""
        if topic != ALERT_RESULTS.name:
            _ADD[topic](self, value)
        elif (result := self.reader.read(value, partition, offset)) is not None:
            self.results.append(result)


def _json(value: Mapping[str, Any]) -> str:
    return readable(orjson.dumps(value)).decode()


def _add_progress(rows: Rows, value: bytes | None) -> None:
    record = MatchProgress.decode(value)
    key = (count(record.partition), text(record.namespace_id), text(record.collection_id))
    told: Row = (
        count(record.next_offset, 63),
        record.occurred_at,
        record.appended_at,
        count(record.definitions_version, 63),
    )
    held = rows.progress.get(key)
    rows.progress[key] = told if held is None else tuple(map(max, held, told))


def _add_trigger(rows: Rows, value: bytes | None) -> None:
    record = TriggerResult.decode(value)
    rows.triggers.append(
        (
            text(record.job_id),
            text(record.trigger_id),
            text(record.namespace_id),
            record.family,
            text(record.action_type),
            record.status,
            count(record.revision),
            record.nominal_at,
            record.triggered_at,
            text(record.reason),
            record.finished_at,
            maybe_count(record.execution_time_ms),
            maybe_text(record.error),
            maybe_count(record.num_clusters),
            maybe_count(record.num_documents),
            readable(record.encode()).decode(),
        )
    )


def _add_retriever(rows: Rows, value: bytes | None) -> None:
    record = RetrieverExecutionRecord.decode(value)
    rows.retrievers.append(
        (
            text(record.execution_id),
            text(record.namespace_id),
            text(record.retriever_id),
            record.status,
            record.created_at,
            record.completed_at,
            _json(record.detail),
        )
    )


def _add_delivery(rows: Rows, value: bytes | None) -> None:
    record = DeliveryRecord.decode(value)
    rows.deliveries.append(
        (
            text(record.execution_id),
            count(record.channel_index),
            text(record.namespace_id),
            text(record.channel_type),
            record.status,
            count(record.attempt),
            maybe_text(record.error),
            record.at,
        )
    )


_ADD: Mapping[str, Callable[[Rows, bytes | None], None]] = {
    RETRIEVER_EXECUTIONS.name: _add_retriever,
    MATCH_PROGRESS.name: _add_progress,
    TRIGGER_RESULTS.name: _add_trigger,
    NOTIFICATIONS.name: _add_delivery,
}
