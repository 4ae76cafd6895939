"""Records of ``documents`` as collect takes them in. Pure."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from aiokafka import ConsumerRecord

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.events.document_chunk import read_document_events
from schemas.events.document_patch import DocumentPatch
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
from streams.collect.http_writes import patch_of, written_at

Collection = tuple[str, str]
"""Namespace and collection."""
Key = tuple[str, str, str]
"""Namespace, collection and document: the key of one document."""
EventKey = tuple[str, str]
"""Namespace and event id."""
Scope = tuple[str, str, int]
"""Namespace, collection and source partition: what one row of counters stands for."""


# Many records of a batch were appended in the same millisecond.
_appended = lru_cache(1_024)(from_millis)


class Row(NamedTuple):
    """What of a document is written to PostgreSQL whatever is stored there already."""

    document: bytes
    """Its row but for the columns that depend on what is stored."""
    vectors: bytes
    """The rows of its vectors, whole."""


@dataclass(slots=True)
class Arrival:
    """A document event and where and when it arrived. Not changed once made (and not frozen, as
    :class:`DocumentEvent`)."""

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
    patch: DocumentPatch | None = None
    """What the write changes, whatever the document stands at; ``None``: it is the whole document."""
    written_at: datetime | None = None
    """When a document that the write adds is told to be created; its append time where this is absent."""
    key: Key = field(init=False, repr=False, compare=False)
    """The document it is about."""
    row: Row | None = field(default=None, init=False, repr=False, compare=False)
    """Kept here by who writes it ahead (:func:`streams.collect.copying.write_ahead`)."""

    def __post_init__(self) -> None:
        event = self.event
        self.key = (event.namespace_id, event.collection_id, event.document_id)

    @property
    def collection(self) -> Collection:
        """The collection it belongs to."""
        return self.event.namespace_id, self.event.collection_id

    @property
    def scope(self) -> Scope:
        """The counters it counts in."""
        return self.event.namespace_id, self.event.collection_id, self.partition

    @property
    def event_key(self) -> EventKey | None:
        """The producer's identity of the event, if it gave one."""
        return None if self.event.event_id is None else (self.event.namespace_id, self.event.event_id)


def read_arrivals(records: Sequence[ConsumerRecord]) -> list[Arrival | DecodeError]:
    """For each record what arrived, or why nothing did."""
    return [
        _arrival(record, event) if isinstance(event, DocumentEvent) else event
        for record, event in zip(records, read_document_events(records), strict=True)
    ]


def _arrival(record: ConsumerRecord, event: DocumentEvent) -> Arrival | DecodeError:
    arrival = Arrival(record.partition, record.offset, _appended(record.timestamp), event)
    headers = record.headers
    if not headers:
        return arrival
    try:
        arrival.causes = parse_causes(header(headers, CAUSED_BY))
        arrival.made_from = _made_from(headers)
        arrival.changed = parse_changed(header(headers, CHANGED))
        arrival.patch = patch_of(headers)
    except DecodeError as error:
        return error
    arrival.watermark = _instant(headers, WATERMARK)
    arrival.late_at = _instant(headers, LATE)
    arrival.written_at = written_at(headers)
    return arrival


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
