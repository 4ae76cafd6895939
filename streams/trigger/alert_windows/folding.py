"""Contributions of ``alert-results`` added up per bucket. Pure.

Match tells them at least once: after a crash it reads documents again and tells the same once more, behind what
it told before. Within a collection of a source partition it tells them in the order of the log, so whatever is not
beyond the greatest offset that was added up is a repeat. A producer's own repeats, with an event id, are known by
the document part of their ids, which is that of the first.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from schemas.events.alert_result import AlertResultRecord, Contribution
from schemas.times import to_seconds
from streams.engines.rules.totals import Reference, Totals, totals_of


class Source(NamedTuple):
    """A collection in a partition of ``documents``."""

    namespace_id: str
    collection_id: str
    partition: int


class Series(NamedTuple):
    """What of an alert is counted together."""

    namespace_id: str
    alert_id: str
    collection_id: str
    series: str


class Bucket(NamedTuple):
    """One row of counts."""

    series: Series
    start: int
    partition: int


@dataclass(slots=True)
class Folded:
    """What a batch adds."""

    buckets: dict[Bucket, Totals] = field(default_factory=dict)
    begun: dict[tuple[Series, int], int] = field(default_factory=dict)
    """Per series and partition the earliest document that was checked."""
    next_offsets: dict[Source, int] = field(default_factory=dict)


def contributing(records: Iterable[AlertResultRecord]) -> list[AlertResultRecord]:
    """The records that add to windows."""
    return [record for record in records if record.contributions]


def sources(records: Iterable[AlertResultRecord]) -> set[Source]:
    """Where records come from."""
    return {_source(record) for record in records}


def events(records: Iterable[AlertResultRecord]) -> dict[bytes, datetime]:
    """Document parts of records with an event id, each with when its first record was appended."""
    found: dict[bytes, datetime] = {}
    for record in records:
        if record.keyed:
            found.setdefault(record.base, record.appended_at)
    return found


def unread(records: Iterable[AlertResultRecord], next_offsets: Mapping[Source, int]) -> list[AlertResultRecord]:
    """Those of the records that were not added up before."""
    reached = dict(next_offsets)
    left: list[AlertResultRecord] = []
    for record in records:
        source = _source(record)
        if record.source_offset >= reached.get(source, 0):
            reached[source] = record.source_offset + 1
            left.append(record)
    return left


def fold(records: Iterable[AlertResultRecord], known: Collection[bytes]) -> Folded:
    """Add up records that were not before; ``known`` are document parts that others have brought already."""
    folded = Folded()
    seen = set(known)
    for record in records:
        folded.next_offsets[_source(record)] = record.source_offset + 1
        if record.keyed and record.base in seen:
            continue
        seen.add(record.base)
        for contribution in record.contributions:
            _add(folded, record, contribution)
    return folded


def _add(folded: Folded, record: AlertResultRecord, contribution: Contribution) -> None:
    at = to_seconds(_moment(record, contribution))
    series = Series(record.namespace_id, contribution.alert_id, record.collection_id, contribution.series)
    if not contribution.documents:
        place = (series, record.source_partition)
        folded.begun[place] = min(at, folded.begun.get(place, at))
        return
    start = at // contribution.step_seconds * contribution.step_seconds
    bucket = Bucket(series, start, record.source_partition)
    reference = Reference(at, record.document_id, contribution.score, record.asset_id or "")
    totals = totals_of(reference, contribution.documents, contribution.values, record.caused_by)
    held = folded.buckets.get(bucket)
    folded.buckets[bucket] = totals if held is None else held.plus(totals)


def _moment(record: AlertResultRecord, contribution: Contribution) -> datetime:
    """When a document counts. One that is late in its source counts where the source was, as for drift checks: so
    it is in no window that was decided before it came, live or in a replay."""
    if contribution.time_domain == "processing_time":
        return record.appended_at
    return max(record.occurred_at, contribution.late_at or record.occurred_at)


def _source(record: AlertResultRecord) -> Source:
    return Source(record.namespace_id, record.collection_id, record.source_partition)
