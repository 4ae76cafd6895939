"""What one transaction stores: records, and what has to be known of the database about them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from schemas.events.document import DELETED, WATERMARK
from streams.collect.arrivals import Arrival, EventKey, Key, Scope
from streams.runtime.document_writes import Settled, settled_by


class Entry(NamedTuple):
    """A record in hand; without an arrival it is only passed over."""

    record: ConsumerRecord
    arrival: Arrival | None


@dataclass(frozen=True, slots=True)
class Part:
    """Records in the order in which they count."""

    entries: Sequence[Entry]
    arrivals: Sequence[Arrival]
    last: dict[TopicPartition, ConsumerRecord]
    """The last record of each partition."""
    keys: set[Key]
    """Documents that the records are about."""
    scopes: set[Scope]
    events: dict[EventKey, datetime]
    """Event ids and the append time of the first event with each."""
    changed: set[Key]
    """Documents of which a record holds a change, so that it matters how they stand."""
    settled: list[Settled]
    """Writes over HTTP that the records end."""
    may_all_be_new: bool
    """Whether it can be told from storing them that none of the documents was there."""

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Part":
        """The part that these are."""
        arrivals = [entry.arrival for entry in entries if entry.arrival is not None]
        written = (settled_by(entry.record.key, entry.record.headers) for entry in entries if entry.record.headers)
        last = {entry.record.partition: entry.record for entry in entries}
        changed = {one.key for one in arrivals if one.made_from is not None or one.patch is not None}
        return cls(
            entries,
            arrivals,
            {TopicPartition(record.topic, partition): record for partition, record in last.items()},
            {arrival.key for arrival in arrivals},
            {arrival.scope for arrival in arrivals},
            _events(arrivals),
            changed,
            [write for write in written if write is not None],
            not changed and all(arrival.event.type != DELETED for arrival in arrivals),
        )

    def halves(self) -> tuple["Part", "Part"]:
        """The first and the second half of more than one record."""
        middle = len(self.entries) // 2
        return Part.of(self.entries[:middle]), Part.of(self.entries[middle:])


def _events(arrivals: Iterable[Arrival]) -> dict[EventKey, datetime]:
    first: dict[EventKey, datetime] = {}
    for arrival in arrivals:
        if arrival.event.event_id is not None and arrival.event.type != WATERMARK:
            first.setdefault((arrival.event.namespace_id, arrival.event.event_id), arrival.appended_at)
    return first
