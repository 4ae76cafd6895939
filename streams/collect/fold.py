"""What a batch of document events means: pure, in record order, independent of how batches are cut.

- The last write per document wins; a deletion removes it. A first write is an addition, a write to a document
  that exists an update, a deletion of one that does not exist is nothing.
- A write that was made from a version of its document (an enrichment) and that another write has overtaken changes
  only the fields it is about; where the document is gone, or it is about none, it is nothing.
- A write that is a change (PATCH over HTTP) changes the document as it stands; where it is gone, it is nothing.
- An event whose event id was seen within the window is a duplicate: counted as such and otherwise ignored.
- A document that occurred before what its source had come to (its ``x-late`` header, else its partition's
  watermark) is late: counted, kept, and measured at the instant it was late for, so that it re-opens no window
  that a check may have seen. Live and later, every check therefore sees the same documents.
- The watermark of a (collection, partition) is the greatest of its watermark events, ``x-watermark`` headers and,
  for documents without that header, ``occurred_at`` less the allowed lateness. Deletions say nothing about
  event time, because a null value has no instant of its own.
- No record moves a watermark beyond its append time plus ``AHEAD``: one absurd instant (year 9999) would close
  event time for ever. The document itself is stored and counted like any other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple

from schemas.events.document import DELETED, UPSERTED, WATERMARK
from streams.collect.arrivals import Arrival, Collection, EventKey, Key, Scope
from streams.collect.overtaking import Standing, patched, settle
from streams.engines.rules.watermark import AHEAD

ChangeKind = Literal["documents_added", "documents_updated", "documents_deleted"]
"""The words of ``schedule_config.event_type`` (contract 4.8)."""


class Change(NamedTuple):
    """One event that changed something."""

    kind: ChangeKind
    arrival: Arrival
    measured_at: datetime
    """Its instant in event time: when it occurred, or what it was late for."""


class Version(NamedTuple):
    """How a document stands after the batch."""

    arrival: Arrival
    created_at: datetime
    """Append time of the write that added it; of one over HTTP, when it was written."""
    measured_at: datetime
    """Its instant in event time, as in :class:`Change`."""


@dataclass(slots=True)
class Tally:
    """What a batch adds to one row of counters."""

    next_offset: int = 0
    added: int = 0
    updated: int = 0
    deleted: int = 0
    duplicates: int = 0
    late: int = 0
    max_occurred_at: datetime | None = None
    watermark: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What was stored before the batch, as far as it touches it."""

    created: Mapping[Key, datetime] = field(default_factory=dict)
    """Documents that exist and when they were added."""
    seen: Mapping[EventKey, datetime] = field(default_factory=dict)
    """Event ids seen and the append time they are remembered by."""
    watermarks: Mapping[Scope, datetime | None] = field(default_factory=dict)
    standing: Mapping[Key, Standing] = field(default_factory=dict)
    """Documents that writes of the batch were made from, as they stood before it."""


@dataclass(slots=True)
class Folded:
    """What is to be stored."""

    documents: dict[Key, Version | None] = field(default_factory=dict)
    """Every document touched: its last version, or ``None`` when it is gone."""
    seen: dict[EventKey, datetime] = field(default_factory=dict)
    """Event ids that count from now on as seen at these instants."""
    tallies: dict[Scope, Tally] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    """In record order, without duplicates."""


def fold(
    arrivals: Iterable[Arrival],
    known: Known,
    *,
    lateness: timedelta,
    window: timedelta,
    patience: Mapping[Collection, timedelta] = MappingProxyType({}),
) -> Folded:
    """Fold a batch in record order. ``lateness`` is how far out of order is in time, in collections with more
    ``patience`` that; ``window`` how long an event id is remembered, by append time."""
    folded = Folded()
    for arrival in arrivals:
        event = arrival.event
        tally = _tally(folded, known, arrival.scope)
        if arrival.offset >= tally.next_offset:
            tally.next_offset = arrival.offset + 1
        occurred = event.occurred_at
        measured_at = _measured_at(arrival, tally.watermark)
        allowed = max(lateness, patience.get(arrival.collection, lateness)) if patience else lateness
        tally.watermark = _later(tally.watermark, _promise(arrival, allowed))
        if event.type == WATERMARK:
            continue
        if event.event_id is not None and _repeated(folded, known, arrival, window):
            tally.duplicates += 1
            continue
        if event.type == UPSERTED:
            tally.late += measured_at > occurred
            tally.max_occurred_at = _later(tally.max_occurred_at, occurred)
        _apply(folded, known, arrival, tally, measured_at)
    return folded


def _tally(folded: Folded, known: Known, scope: Scope) -> Tally:
    tally = folded.tallies.get(scope)
    if tally is None:
        tally = folded.tallies[scope] = Tally(watermark=known.watermarks.get(scope))
    return tally


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)


def _measured_at(arrival: Arrival, watermark: datetime | None) -> datetime:
    """The document's instant in event time, given the partition's watermark before it."""
    reached = watermark if arrival.late_at is None else _believed(arrival, arrival.late_at)
    occurred = arrival.event.occurred_at
    return occurred if reached is None or occurred >= reached else reached


def _promise(arrival: Arrival, lateness: timedelta) -> datetime | None:
    """The instant before which this record says nothing more will come in its partition."""
    said = _said(arrival, lateness)
    return None if said is None else _believed(arrival, said)


def _believed(arrival: Arrival, said: datetime) -> datetime:
    """An instant that a record tells of event time, as far as it is believed."""
    if said <= arrival.appended_at:
        return said
    try:
        return min(said, arrival.appended_at + AHEAD)
    except OverflowError:
        # Appended on the last day of the calendar: nothing is beyond.
        return said


def _said(arrival: Arrival, lateness: timedelta) -> datetime | None:
    event = arrival.event
    if event.type == WATERMARK:
        return event.occurred_at
    if arrival.watermark is not None or event.type == DELETED:
        return arrival.watermark
    try:
        return event.occurred_at - lateness
    except OverflowError:
        # Within the lateness of year 1: no promise.
        return None


def _repeated(folded: Folded, known: Known, arrival: Arrival, window: timedelta) -> bool:
    key = arrival.event_key
    if key is None:
        return False
    seen_at = folded.seen.get(key) or known.seen.get(key)
    if seen_at is not None and arrival.appended_at - seen_at < window:
        return True
    folded.seen[key] = arrival.appended_at
    return False


def _apply(folded: Folded, known: Known, arrival: Arrival, tally: Tally, measured_at: datetime) -> None:
    key = arrival.key
    if key in folded.documents:
        held = folded.documents[key]
        created = None if held is None else held.created_at
    else:
        created = known.created.get(key)
    if arrival.made_from is not None:
        settled = settle(arrival, _standing(folded, known, key))
        if settled is None:
            return
        arrival = settled
    elif arrival.patch is not None:
        standing = _standing(folded, known, key)
        if standing is None:
            return
        arrival = replace(arrival, event=patched(arrival, arrival.patch, standing))
    if arrival.event.type == DELETED:
        if created is not None:
            tally.deleted += 1
            folded.documents[key] = None
            folded.changes.append(Change("documents_deleted", arrival, measured_at))
    elif created is None:
        tally.added += 1
        folded.documents[key] = Version(arrival, arrival.written_at or arrival.appended_at, measured_at)
        folded.changes.append(Change("documents_added", arrival, measured_at))
    else:
        tally.updated += 1
        folded.documents[key] = Version(arrival, created, measured_at)
        folded.changes.append(Change("documents_updated", arrival, measured_at))


def _standing(folded: Folded, known: Known, key: Key) -> Standing | None:
    if key not in folded.documents:
        return known.standing.get(key)
    held = folded.documents[key]
    return None if held is None else Standing.of(held.arrival)
