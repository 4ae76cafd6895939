"""Records of the result topics → rows of the view. Pure.

Every value is checked here against what its column can hold, so that a bad record is a
:class:`DecodeError` of its own and never an error of the whole batch's transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertHit, Found, decode_alert_result
from schemas.events.notification import DeliveryRecord
from schemas.events.progress import MatchProgress
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.events.trigger import TriggerResult
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, NOTIFICATIONS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document part and its executions stand in the view: partition and sort key."""

    day: date
    appended_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """One record of ``alert-results``. The rows lack only what :class:`Place` says."""

    base: bytes
    place: Place
    keyed: bool
    document: Row
    executions: tuple[Row, ...]

    def document_row(self, place: Place) -> Row:
        """The row of ``result_documents`` at ``place``, columns as in ``store``."""
        return (place.day, self.base, place.appended_at, *self.document)

    def execution_rows(self, place: Place) -> list[Row]:
        """The rows of ``alert_executions`` at ``place``, columns as in ``store``."""
        return [(place.day, self.base, place.appended_at, *row) for row in self.executions]


@dataclass(slots=True)
class Rows:
    """What one batch adds to the view."""

    results: list[Result] = field(default_factory=list)
    progress: list[Row] = field(default_factory=list)
    triggers: list[Row] = field(default_factory=list)
    retrievers: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)

    def add(self, topic: str, value: bytes | None) -> None:
        """Take in one record of the topic with this logical name. Raises :class:`DecodeError`, and then has
        taken nothing."""
        _ADD[topic](self, value)


def _text(value: object) -> str:
    if type(value) is not str:
        raise DecodeError(f"expected text, found {type(value).__name__}")
    if "\x00" in value:
        raise DecodeError("text holds a NUL character")
    return value


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _count(value: int | None, bits: int = 31) -> int | None:
    if value is not None and not 0 <= value < 1 << bits:
        raise DecodeError(f"{value} is not a count of {bits} bits")
    return value


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


def day_of(appended_at: datetime) -> date:
    """The partition of an append time: its day in UTC. Raises :class:`DecodeError` outside 1970…9998."""
    day = appended_at.astimezone(UTC).date()
    if not 1970 <= day.year < 9999:
        raise DecodeError(f"append time in the year {day.year}")
    return day


def _hit(namespace_id: str, hit: AlertHit) -> Row:
    if hit.matched_features is not None and type(hit.matched_features) is not dict:
        raise DecodeError("matched_features must be an object")
    return (
        _count(hit.alert_number, 63),
        namespace_id,
        _text(hit.alert_id),
        _count(hit.alert_version, 63),
        _text(hit.retriever_id),
        hit.score,
        _text(hit.reason),
        None if hit.matched_features is None else _json(hit.matched_features),
        *((None, None, None) if hit.found is None else _found(hit.found)),
        hit.triggered,
    )


def _found(found: Found) -> Row:
    return (
        _count(found.count),
        orjson.dumps(found.matches).decode(),
        orjson.dumps(found.position).decode(),
    )


def _add_result(rows: Rows, value: bytes | None) -> None:
    record = decode_alert_result(value)
    if not record.hits:
        # Only what a document adds to windows, which is for the trigger station.
        return
    namespace = _text(record.namespace_id)
    document = (
        namespace,
        _text(record.collection_id),
        _text(record.document_id),
        _text(record.source_topic),
        _count(record.source_partition),
        _count(record.source_offset, 63),
        record.occurred_at,
        record.executed_at,
        _count(record.duration_ms),
        _count(record.definitions_version, 63),
        _maybe_text(record.asset_id),
        record.truncated,
        _json(record.document),
    )
    place = Place(day_of(record.appended_at), record.appended_at)
    executions = tuple(_hit(namespace, hit) for hit in record.hits)
    rows.results.append(Result(record.base, place, record.keyed, document, executions))


def _add_progress(rows: Rows, value: bytes | None) -> None:
    record = MatchProgress.decode(value)
    rows.progress.append(
        (
            _count(record.partition),
            _text(record.namespace_id),
            _text(record.collection_id),
            _count(record.next_offset, 63),
            record.occurred_at,
            record.appended_at,
            _count(record.definitions_version, 63),
        )
    )


def _add_trigger(rows: Rows, value: bytes | None) -> None:
    record = TriggerResult.decode(value)
    rows.triggers.append(
        (
            _text(record.job_id),
            _text(record.trigger_id),
            _text(record.namespace_id),
            record.family,
            _text(record.action_type),
            record.status,
            _count(record.revision),
            record.nominal_at,
            record.triggered_at,
            _text(record.reason),
            record.finished_at,
            _count(record.execution_time_ms),
            _maybe_text(record.error),
            _count(record.num_clusters),
            _count(record.num_documents),
            record.encode().decode(),
        )
    )


def _add_retriever(rows: Rows, value: bytes | None) -> None:
    record = RetrieverExecutionRecord.decode(value)
    rows.retrievers.append(
        (
            _text(record.execution_id),
            _text(record.namespace_id),
            _text(record.retriever_id),
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
            _text(record.execution_id),
            _count(record.channel_index),
            _text(record.namespace_id),
            _text(record.channel_type),
            record.status,
            _count(record.attempt),
            _maybe_text(record.error),
            record.at,
        )
    )


_ADD: Mapping[str, Callable[[Rows, bytes | None], None]] = {
    ALERT_RESULTS.name: _add_result,
    RETRIEVER_EXECUTIONS.name: _add_retriever,
    MATCH_PROGRESS.name: _add_progress,
    TRIGGER_RESULTS.name: _add_trigger,
    NOTIFICATIONS.name: _add_delivery,
}
