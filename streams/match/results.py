"""From hits to ``alert-results`` records that the broker will take. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas.events.alert_result import AlertHit, AlertResultRecord, encode_alert_result
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.percolate.percolator import Hit
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival

MAX_BYTES: Final = 900_000
"""A record is cut above this: brokers take about a million bytes unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Checked:
    """When and with which definitions a document was checked."""

    executed_at: datetime
    duration_ms: int
    definitions_version: int


def compose(
    arrival: Arrival, hits: Iterable[Hit[StandingAlert]], checked: Checked, hasher: ExecutionHasher
) -> AlertResultRecord | None:
    """The record of one document, ``None`` when nothing fired. An alert in the chain of causes of the write
    does not fire on it (design section 3, loops)."""
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
    if not fired:
        return None
    event = arrival.event
    return AlertResultRecord(
        base=hasher.base(event.namespace_id, event.event_id, arrival.topic, arrival.partition, arrival.offset),
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
        hits=fired,
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


def encode_within(record: AlertResultRecord, max_bytes: int = MAX_BYTES) -> list[tuple[AlertResultRecord, bytes]]:
    """The bytes of a record, cut until each part is at most ``max_bytes`` or cannot be cut further."""
    value = encode_alert_result(record)
    parts = shrink(record) if len(value) > max_bytes else None
    if parts is None:
        return [(record, value)]
    return [encoded for part in parts for encoded in encode_within(part, max_bytes)]
