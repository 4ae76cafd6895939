"""Records of ``documents`` as match takes them in. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from aiokafka import ConsumerRecord

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.events.document_chunk import read_document_events
from schemas.headers import CAUSED_BY, Headers, header, parse_causes
from schemas.ids import ExecutionHasher
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
    headers: Headers = ()
    """Of the record; read by whoever needs one."""

    def base(self, hasher: ExecutionHasher) -> bytes:
        """The part shared by the ids of all executions on this arrival."""
        event = self.event
        return hasher.base(event.namespace_id, event.event_id, self.topic, self.partition, self.offset)


Bad = tuple[ConsumerRecord, DecodeError]
"""A record that can never be decoded, and why."""


def read_arrivals(records: Sequence[ConsumerRecord]) -> tuple[list[Arrival], list[Bad]]:
    """Decode records, in order; apart from them those that cannot be decoded."""
    arrivals: list[Arrival] = []
    bad: list[Bad] = []
    for record, event in zip(records, read_document_events(records), strict=True):
        if isinstance(event, DecodeError):
            bad.append((record, event))
            continue
        causes: tuple[str, ...] = ()
        if record.headers:
            try:
                causes = parse_causes(header(record.headers, CAUSED_BY))
            except DecodeError as error:
                bad.append((record, error))
                continue
        appended_at = _instant(record.timestamp)
        arrivals.append(
            Arrival(record.topic, record.partition, record.offset, appended_at, event, causes, record.headers)
        )
    return arrivals, bad
