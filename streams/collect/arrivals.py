"""One record of ``documents`` as collect takes it in. Pure."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import (
    CAUSED_BY,
    CHANGED,
    LATE,
    SOURCE_POSITION,
    WATERMARK,
    Headers,
    SourcePosition,
    header,
    parse_causes,
    parse_changed,
)
from schemas.times import from_millis, parse_instant

Collection = tuple[str, str]
"""Namespace and collection."""
Key = tuple[str, str, str]
"""Namespace, collection and document: the key of one document."""
EventKey = tuple[str, str]
"""Namespace and event id."""
Scope = tuple[str, str, int]
"""Namespace, collection and source partition: what one row of counters stands for."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document event and where and when it arrived."""

    partition: int
    offset: int
    appended_at: datetime
    event: DocumentEvent
    watermark: datetime | None = None
    """The instant of the ``x-watermark`` header."""
    late_at: datetime | None = None
    """The instant of the ``x-late`` header."""
    causes: tuple[str, ...] = ()
    """Ids of the alerts and triggers whose effect this write is."""
    made_from: SourcePosition | None = None
    """The version of the document that this write was made from."""
    changed: tuple[str, ...] = ()
    """Beside ``made_from``: the root fields that differ from that version."""

    @property
    def collection(self) -> Collection:
        """The collection it belongs to."""
        return self.event.namespace_id, self.event.collection_id

    @property
    def key(self) -> Key:
        """The document it is about."""
        return self.event.namespace_id, self.event.collection_id, self.event.document_id

    @property
    def scope(self) -> Scope:
        """The counters it counts in."""
        return self.event.namespace_id, self.event.collection_id, self.partition

    @property
    def event_key(self) -> EventKey | None:
        """The producer's identity of the event, if it gave one."""
        return None if self.event.event_id is None else (self.event.namespace_id, self.event.event_id)


def read_arrival(
    partition: int, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers
) -> Arrival:
    """Read one record; ``timestamp`` in milliseconds. Raises :class:`DecodeError`."""
    appended_at = from_millis(timestamp)
    event = decode_document_event(key, value, headers, appended_at=appended_at)
    if not headers:
        return Arrival(partition, offset, appended_at, event)
    return Arrival(
        partition=partition,
        offset=offset,
        appended_at=appended_at,
        event=event,
        watermark=_instant(headers, WATERMARK),
        late_at=_instant(headers, LATE),
        causes=parse_causes(header(headers, CAUSED_BY)),
        made_from=_made_from(headers),
        changed=parse_changed(header(headers, CHANGED)),
    )


def _made_from(headers: Headers) -> SourcePosition | None:
    text = header(headers, SOURCE_POSITION)
    return None if text is None else SourcePosition.parse(text)


def _instant(headers: Headers, name: str) -> datetime | None:
    try:
        text = header(headers, name)
        return None if text is None else parse_instant(text)
    except (ValueError, OverflowError):
        # What a source says of itself beside its document: match, which needs it not, has taken the document.
        return None


def interleave(partitions: Iterable[Sequence[ConsumerRecord]]) -> Iterator[ConsumerRecord]:
    """One order over several partitions: by append time, each partition's own order kept."""
    return heapq.merge(*partitions, key=lambda record: (record.timestamp, record.partition))
