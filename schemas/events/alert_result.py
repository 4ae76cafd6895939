"""``alert-results``: one record per document that fired, with one entry per alert that fired on it.

The document part is written once and each execution stays narrow, because eighty alerts may fire on one
document (design section 2, cost of a result). ``expand`` turns a record into the results a reader knows.

A document that an alert with a window counts is no execution yet: it travels as a *contribution* beside them, for
the trigger station. What a window or a sweep decides comes as a record of its own, without a document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from schemas.errors import DecodeError
from schemas.ids import BASE_BYTES, execution_id
from schemas.times import TimeDomain, format_instant, parse_instant

T = TypeVar("T")

# Many records of a batch were appended in the same millisecond.
_instant = lru_cache(1_024)(format_instant)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up found in its reference collections."""

    count: int
    """Documents found; ``matches`` may hold fewer. 0 for an alert on no results."""
    matches: Sequence[dict[str, Any]]
    """``AlertMatchResult`` each (contract 4.1), best first."""
    position: dict[str, int]
    """Partition of ``references`` → the offset up to which it had been read."""


@dataclass(frozen=True, slots=True)
class AlertHit:
    """One alert that fired on the record's document."""

    alert_number: int
    alert_id: str
    alert_version: int
    retriever_id: str
    score: float
    """Similarity in [0, 1]; 1.0 for alerts that only filter (contract 4.1)."""
    reason: str
    matched_features: dict[str, float] | None = None
    """Raw similarity per feature URI, for alerts that search features."""
    found: Found | None = None
    """For alerts that look the document up; of any other, the document itself is the one match."""
    triggered: bool = True
    """False for a sweep whose condition did not hold: recorded, and nobody is told."""
    held: str | None = None
    """Why nobody is told although it fired; ``None`` where the cooldown decides."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a document adds to a window of an alert: a match, or (``documents`` 0) only that it was checked."""

    alert_id: str
    series: str
    """What is counted together: another question, another series."""
    step_seconds: int
    """Width of the buckets that are counted into."""
    time_domain: TimeDomain
    documents: int = 1
    score: float = 1.0
    values: Sequence[int | float] = ()
    """Of the field that the window aggregates."""
    late_at: datetime | None = None
    """On event time, of a document that was late in its source: how far the source had come. It counts there."""


@dataclass(frozen=True, slots=True)
class AlertResultRecord:
    """What one document event set off. A record of a window or a sweep has no document: its ``document_id`` and
    ``source_topic`` are empty, and ``occurred_at`` is the instant it was decided for."""

    base: bytes
    """Document part of the execution ids, 12 bytes."""
    namespace_id: str
    collection_id: str
    document_id: str
    source_topic: str
    source_partition: int
    source_offset: int
    appended_at: datetime
    """Append time of the document's record: the clock of ordering, retention and cooldown."""
    occurred_at: datetime
    executed_at: datetime
    duration_ms: int
    definitions_version: int
    hits: Sequence[AlertHit]
    keyed: bool = False
    """The base comes from the producer's event id, so a repeat may be a later record (or another day)."""
    asset_id: str | None = None
    caused_by: tuple[str, ...] = ()
    truncated: bool = False
    """The document part was cut because the record would have been too large."""
    document: dict[str, Any] = field(default_factory=dict)
    """The document's root fields, as a reader of the result sees them."""
    contributions: Sequence[Contribution] = ()

    def executions(self) -> Iterator[tuple[str, AlertHit]]:
        """Each alert execution of the record with its id."""
        for hit in self.hits:
            yield execution_id(self.base, hit.alert_number), hit


class ResultWriter:
    """Writes the records of one collection's documents that were checked together.

    The one place where a record becomes bytes. What documents share is encoded once, and executions come as
    bytes (:func:`encode_execution`, :class:`ExecutionWriter`): eighty of them are one join.
    """

    def __init__(
        self,
        namespace_id: str,
        collection_id: str,
        source_topic: str,
        executed_at: datetime,
        duration_ms: int,
        definitions_version: int,
    ) -> None:
        self._place = (
            f'","namespace_id":{_json(namespace_id)},"collection_id":{_json(collection_id)},"source_documents":['
        )
        self._position = f'],"position":[{_json(source_topic)},'
        self._checked = (
            f'","executed_at":"{format_instant(executed_at)}","duration_ms":{duration_ms}'
            f',"definitions_version":{definitions_version},"executions":['
        )

    def write(
        self,
        base: bytes,
        document_id: str,
        partition: int,
        offset: int,
        appended_at: datetime,
        occurred_at: str,
        executions: Sequence[bytes],
        *,
        keyed: bool = False,
        asset_id: str | None = None,
        caused_by: Sequence[str] = (),
        truncated: bool = False,
        document: Mapping[str, Any] | None = None,
        contributions: Sequence[bytes] = (),
    ) -> bytes:
        """One record; arguments as the fields of :class:`AlertResultRecord`, ``occurred_at`` as it is written,
        contributions as :func:`encode_contribution` gives them."""
        part = base.hex()
        opening = f'{{"execution_id":"exec_{part}'
        source = _json(document_id) if document_id else ""
        # Text is put together and encoded once: several small pieces of bytes cost more than all of this.
        head = (
            f'{{"base":"{part}{self._place}{source}{self._position}{partition},{offset}],"appended_at":'
            f'"{_instant(appended_at)}","occurred_at":"{occurred_at}{self._checked}{opening if executions else ""}'
        ).encode()
        found = executions[0] if len(executions) == 1 else f",{opening}".encode().join(executions)
        unusual = keyed or truncated or caused_by or contributions or asset_id is not None
        more = _more(keyed, asset_id, caused_by, truncated, contributions) if unusual else b""
        if not document:
            return b"".join((head, found, b"]", more, b"}"))
        return b"".join((head, found, b"]", more, b',"document":', orjson.dumps(document), b"}"))


def _more(
    keyed: bool,
    asset_id: str | None,
    caused_by: Sequence[str],
    truncated: bool,
    contributions: Sequence[bytes],
) -> bytes:
    """The fields that few records have."""
    pieces = []
    if keyed:
        pieces.append(b',"keyed":true')
    if asset_id is not None:
        pieces += (b',"asset_id":', orjson.dumps(asset_id))
    if caused_by:
        pieces += (b',"caused_by":', orjson.dumps(caused_by))
    if truncated:
        pieces.append(b',"truncated":true')
    if contributions:
        pieces += (b',"contributions":[', b",".join(contributions), b"]")
    return b"".join(pieces)


class ExecutionWriter:
    """Writes executions of one alert, without the document part of their ids, for :class:`ResultWriter`."""

    __slots__ = ("_head", "_similar")

    def __init__(
        self, alert_number: int, alert_id: str, alert_version: int, retriever_id: str, feature: bytes = b'""'
    ) -> None:
        """``feature`` is the one that the alert searches, as JSON, for :meth:`write_similar`."""
        self._head = (
            f'{alert_number:x}","number":{alert_number},"alert_id":{_json(alert_id)},"alert_version":{alert_version}'
            f',"retriever_id":{_json(retriever_id)},"score":'
        ).encode()
        self._similar = b',"matched_features":{%b:' % feature

    def write_similar(self, score: bytes, reason: bytes, cosine: bytes) -> bytes:
        """As :meth:`write`, for one matched feature and all arguments as JSON."""
        return b"".join((self._head, score, b',"reason":', reason, self._similar, cosine, b"}}"))

    def write(self, score: float, reason: str, matched_features: Mapping[str, float] | None = None) -> bytes:
        """One execution; arguments as the fields of :class:`AlertHit`."""
        pieces = [self._head, orjson.dumps(score), b',"reason":', orjson.dumps(reason)]
        if matched_features:
            pieces += (b',"matched_features":', orjson.dumps(matched_features))
        pieces.append(b"}")
        return b"".join(pieces)


def encode_execution(hit: AlertHit) -> bytes:
    """One execution, without the document part of its id, for :class:`ResultWriter`."""
    writer = ExecutionWriter(hit.alert_number, hit.alert_id, hit.alert_version, hit.retriever_id)
    value = writer.write(hit.score, hit.reason, hit.matched_features)
    more: dict[str, Any] = {}
    if hit.found is not None:
        more["match_count"] = hit.found.count
        more["matches"] = hit.found.matches
        more["reference_position"] = hit.found.position
    if not hit.triggered:
        more["triggered"] = False
    if hit.held is not None:
        more["held"] = hit.held
    return b"%b,%b" % (value[:-1], orjson.dumps(more)[1:]) if more else value


def encode_contribution(contribution: Contribution) -> bytes:
    """One contribution, for :class:`ResultWriter`."""
    value: dict[str, Any] = {
        "alert_id": contribution.alert_id,
        "series": contribution.series,
        "step_seconds": contribution.step_seconds,
        "time_domain": contribution.time_domain,
        "documents": contribution.documents,
        "score": contribution.score,
    }
    if contribution.values:
        value["values"] = contribution.values
    if contribution.late_at is not None:
        value["late_at"] = format_instant(contribution.late_at)
    return orjson.dumps(value)


def encode_alert_result(record: AlertResultRecord) -> bytes:
    """The JSON of a record."""
    writer = ResultWriter(
        record.namespace_id,
        record.collection_id,
        record.source_topic,
        record.executed_at,
        record.duration_ms,
        record.definitions_version,
    )
    return writer.write(
        record.base,
        record.document_id,
        record.source_partition,
        record.source_offset,
        record.appended_at,
        format_instant(record.occurred_at),
        [encode_execution(hit) for hit in record.hits],
        keyed=record.keyed,
        asset_id=record.asset_id,
        caused_by=record.caused_by,
        truncated=record.truncated,
        document=record.document,
        contributions=[encode_contribution(one) for one in record.contributions],
    )


def _json(text: str) -> str:
    return orjson.dumps(text).decode()


def decode_alert_result(value: bytes | None) -> AlertResultRecord:
    """One record of ``alert-results``. Raises :class:`DecodeError`."""
    try:
        raw, base = _opened(value)
        return _record(raw, base, [decode_hit(base, hit) for hit in raw["executions"]])
    except DecodeError:
        raise
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DecodeError(f"not an alert result: {error!r}") from error


def open_alert_result(value: bytes | None) -> tuple[AlertResultRecord, list[Any]]:
    """One record without its hits, and what :func:`decode_hit` takes, one for each: for a reader that has a
    shorter way for hits that are alike. Raises :class:`DecodeError`."""
    try:
        raw, base = _opened(value)
        return _record(raw, base, ()), _checked(raw["executions"], list)
    except DecodeError:
        raise
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DecodeError(f"not an alert result: {error!r}") from error


def _opened(value: bytes | None) -> tuple[dict[str, Any], bytes]:
    if value is None:
        raise DecodeError("an alert result has no value")
    raw = orjson.loads(value)
    base = bytes.fromhex(raw["base"])
    if len(base) != BASE_BYTES:
        raise DecodeError(f"base must be {BASE_BYTES} bytes")
    return raw, base


def _record(raw: dict[str, Any], base: bytes, hits: Sequence[AlertHit]) -> AlertResultRecord:
    topic, partition, offset = raw["position"]
    return AlertResultRecord(
        base=base,
        namespace_id=_checked(raw["namespace_id"], str),
        collection_id=_checked(raw["collection_id"], str),
        document_id=_checked(raw["source_documents"][0], str) if raw["source_documents"] else "",
        source_topic=_checked(topic, str),
        source_partition=_checked(partition, int),
        source_offset=_checked(offset, int),
        appended_at=parse_instant(raw["appended_at"]),
        occurred_at=parse_instant(raw["occurred_at"]),
        executed_at=parse_instant(raw["executed_at"]),
        duration_ms=_checked(raw["duration_ms"], int),
        definitions_version=_checked(raw["definitions_version"], int),
        hits=hits,
        keyed=bool(raw.get("keyed", False)),
        asset_id=raw.get("asset_id"),
        caused_by=tuple(raw.get("caused_by", ())),
        truncated=bool(raw.get("truncated", False)),
        document=_checked(raw.get("document", {}), dict),
        contributions=tuple(_contribution_from_raw(one) for one in raw.get("contributions", ())),
    )


def _checked(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise DecodeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def decode_hit(base: bytes, raw: Any) -> AlertHit:
    """One hit of a record with this ``base``. Raises :class:`DecodeError`, ``KeyError``, ``TypeError`` or
    ``ValueError``."""
    number = _checked(raw["number"], int)
    if raw["execution_id"] != execution_id(base, number):
        raise DecodeError("an execution id does not belong to its record")
    return AlertHit(
        alert_number=number,
        alert_id=_checked(raw["alert_id"], str),
        alert_version=_checked(raw["alert_version"], int),
        retriever_id=_checked(raw["retriever_id"], str),
        score=float(raw["score"]),
        reason=_checked(raw["reason"], str),
        matched_features=raw.get("matched_features"),
        found=_found_from_raw(raw) if "match_count" in raw else None,
        triggered=_checked(raw.get("triggered", True), bool),
        held=None if raw.get("held") is None else _checked(raw["held"], str),
    )


def _contribution_from_raw(raw: dict[str, Any]) -> Contribution:
    domain = raw["time_domain"]
    if domain not in ("event_time", "processing_time"):
        raise DecodeError(f"there is no time domain {domain!r}")
    step, documents = _checked(raw["step_seconds"], int), _checked(raw["documents"], int)
    if step < 1 or documents < 0:
        raise DecodeError("a contribution counts documents, in buckets of at least one second")
    values = _checked(raw.get("values", []), list)
    if any(type(value) not in (int, float) for value in values):
        raise DecodeError("the values of a contribution are numbers")
    return Contribution(
        alert_id=_checked(raw["alert_id"], str),
        series=_checked(raw["series"], str),
        step_seconds=step,
        time_domain=domain,
        documents=documents,
        score=float(raw["score"]),
        values=values,
        late_at=None if raw.get("late_at") is None else parse_instant(raw["late_at"]),
    )


def _found_from_raw(raw: dict[str, Any]) -> Found:
    matches = _checked(raw["matches"], list)
    position = _checked(raw["reference_position"], dict)
    for match in matches:
        _checked(_checked(match, dict)["document_id"], str)
    for offset in position.values():
        _checked(offset, int)
    return Found(_checked(raw["match_count"], int), matches, position)
