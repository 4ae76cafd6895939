"""From executions to ``alert-results`` records that the broker will take. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas.events.alert_result import (
    AlertHit,
    AlertResultRecord,
    ResultWriter,
    decode_alert_result,
    encode_alert_result,
)
from schemas.ids import ExecutionHasher, document_key
from streams.engines.retrieval.percolate.percolator import Hit
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival

MAX_BYTES: Final = 900_000
"""A record is cut above this: brokers take about a million bytes unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Checked:
    """When and with which definitions documents were checked."""

    executed_at: datetime
    duration_ms: int
    definitions_version: int


@dataclass(slots=True)
class Result:
    """One record of ``alert-results``."""

    source_partition: int
    key: bytes
    value: bytes
    executions: int


def results(
    arrivals: Sequence[Arrival], fired: Sequence[Sequence[bytes]], checked: Checked, hasher: ExecutionHasher
) -> list[Result]:
    """The records of documents of one collection, for those on which something ``fired``."""
    if not fired:
        return []
    writer = _writer(arrivals[0], checked)
    return [
        _result(arrival, found, writer, hasher) for arrival, found in zip(arrivals, fired, strict=True) if found
    ]


def contributed(
    arrivals: Sequence[Arrival], added: Sequence[Sequence[bytes]], checked: Checked, hasher: ExecutionHasher
) -> list[Result]:
    """The records of what documents of one collection ``added`` to windows. They are apart from what fired, and
    without the documents, so that none has to be cut."""
    if not any(added):
        return []
    writer = _writer(arrivals[0], checked)
    return [
        Result(
            arrival.partition,
            arrival.event.key,
            writer.write(
                arrival.base(hasher),
                arrival.event.document_id,
                arrival.partition,
                arrival.offset,
                arrival.appended_at,
                arrival.event.occurred,
                (),
                keyed=arrival.event.event_id is not None,
                asset_id=arrival.event.asset_id,
                caused_by=arrival.causes,
                contributions=contributions,
            ),
            0,
        )
        for arrival, contributions in zip(arrivals, added, strict=True)
        if contributions
    ]


def _writer(first: Arrival, checked: Checked) -> ResultWriter:
    return ResultWriter(
        first.event.namespace_id,
        first.event.collection_id,
        first.topic,
        checked.executed_at,
        checked.duration_ms,
        checked.definitions_version,
    )


def _result(arrival: Arrival, found: Sequence[bytes], writer: ResultWriter, hasher: ExecutionHasher) -> Result:
    event = arrival.event
    value = writer.write(
        arrival.base(hasher),
        event.document_id,
        arrival.partition,
        arrival.offset,
        arrival.appended_at,
        event.occurred,
        found,
        keyed=event.event_id is not None,
        asset_id=event.asset_id,
        caused_by=arrival.causes,
        document=event.root(),
    )
    return Result(arrival.partition, event.key, value, len(found))


def result_of(record: AlertResultRecord) -> Result:
    """A record as bytes."""
    key = document_key(record.namespace_id, record.collection_id, record.document_id)
    return Result(record.source_partition, key, encode_alert_result(record), len(record.hits))


def compose(
    arrival: Arrival, hits: Iterable[Hit[StandingAlert]], checked: Checked, hasher: ExecutionHasher
) -> AlertResultRecord | None:
    """The record of one document whose hits are not all found yet (``lookups.py``); ``None`` when nothing fired.
    An alert in the chain of causes of the write does not fire on it (design section 3, loops)."""
    fired = [
        AlertHit(
            alert_number=hit.alert.number,
            alert_id=hit.alert.alert_id,
            alert_version=hit.alert.version,
            retriever_id=hit.alert.retriever_id,
            score=hit.score,
            reason=hit.reason,
            matched_features=hit.matched_features,
        )
        for hit in hits
        if hit.alert.alert_id not in arrival.causes
    ]
    return record_of(arrival, fired, checked, hasher) if fired else None


def record_of(
    arrival: Arrival, hits: list[AlertHit], checked: Checked, hasher: ExecutionHasher
) -> AlertResultRecord:
    """The record of one document and what fired on it."""
    event = arrival.event
    return AlertResultRecord(
        base=arrival.base(hasher),
        namespace_id=event.namespace_id,
        collection_id=event.collection_id,
        document_id=event.document_id,
        source_topic=arrival.topic,
        source_partition=arrival.partition,
        source_offset=arrival.offset,
        appended_at=arrival.appended_at,
        occurred_at=event.occurred_at,
        executed_at=checked.executed_at,
        duration_ms=checked.duration_ms,
        definitions_version=checked.definitions_version,
        hits=hits,
        keyed=event.event_id is not None,
        asset_id=event.asset_id,
        caused_by=arrival.causes,
        document=event.root(),
    )


def shrink(record: AlertResultRecord) -> Sequence[AlertResultRecord] | None:
    """The same executions in less: without the document, then in halves. ``None`` when nothing can be cut."""
    if record.document:
        return [replace(record, truncated=True, document={})]
    if len(record.hits) < 2:
        return None
    middle = len(record.hits) // 2
    return [replace(record, hits=record.hits[:middle]), replace(record, hits=record.hits[middle:])]


def cut(value: bytes, max_bytes: int = MAX_BYTES) -> list[bytes]:
    """A record in parts of at most ``max_bytes``, as far as it can be cut."""
    return [value] if len(value) <= max_bytes else _cut(decode_alert_result(value), value, max_bytes)


def _cut(record: AlertResultRecord, value: bytes, max_bytes: int) -> list[bytes]:
    parts = shrink(record) if len(value) > max_bytes else None
    if parts is None:
        return [value]
    return [smaller for part in parts for smaller in _cut(part, encode_alert_result(part), max_bytes)]
