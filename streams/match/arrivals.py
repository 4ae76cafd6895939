"""Records of ``documents`` as match takes them in. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from aiokafka import ConsumerRecord

from schemas.errors import DecodeError
from schemas.events.document import (
    DocumentEvent,
    all_finite,
    check_finite,
    read_document_event,
)
from schemas.headers import CAUSED_BY, header, parse_causes
from schemas.times import from_millis

# Many records of a batch were appended in the same millisecond.
_instant = lru_cache(1_024)(from_millis)


@dataclass(slots=True)
class Arrival:
    """A document event and where and when it arrived. Not changed once made (and not frozen, as
    :class:`DocumentEvent`)."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    event: DocumentEvent
    causes: tuple[str, ...] = ()
    """Ids of the alerts and triggers whose effect this write is: they never fire on it."""


Bad = tuple[ConsumerRecord, DecodeError]
"""A record that can never be decoded, and why."""


def read_arrivals(records: Sequence[ConsumerRecord]) -> tuple[list[Arrival], list[Bad]]:
    """Decode records, in order; apart from them those that cannot be decoded. Vectors are looked at together,
    and one by one only when one of them is not finite."""
    arrivals, bad = _read_all(records, _read)
    if all_finite(arrival.event for arrival in arrivals):
        return arrivals, bad
    return _read_all(records, _read_checked)


def _read_all(
    records: Iterable[ConsumerRecord], read: Callable[[ConsumerRecord], Arrival]
) -> tuple[list[Arrival], list[Bad]]:
    arrivals: list[Arrival] = []
    bad: list[Bad] = []
    for record in records:
        try:
            arrivals.append(read(record))
        except DecodeError as error:
            bad.append((record, error))
    return arrivals, bad


def _read(record: ConsumerRecord) -> Arrival:
    appended_at, headers = _instant(record.timestamp), record.headers
    event = read_document_event(record.key, record.value, headers, appended_at)
    causes = parse_causes(header(headers, CAUSED_BY)) if headers else ()
    return Arrival(record.topic, record.partition, record.offset, appended_at, event, causes)


def _read_checked(record: ConsumerRecord) -> Arrival:
    arrival = _read(record)
    check_finite(arrival.event)
    return arrival
