"""``alert-results``: one record per document that fired, with one entry per alert that fired on it.

The document part is written once and each execution stays narrow, because eighty alerts may fire on one
document (design section 2, cost of a result). ``expand`` turns a record into the results a reader knows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from schemas.errors import DecodeError
from schemas.ids import BASE_BYTES, execution_id
from schemas.times import format_instant, parse_instant

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


@dataclass(frozen=True, slots=True)
class AlertResultRecord:
    """What one document event set off."""

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
        executions: Iterable[bytes],
        *,
        keyed: bool = False,
        asset_id: str | None = None,
        caused_by: Sequence[str] = (),
        truncated: bool = False,
        document: Mapping[str, Any] | None = None,
    ) -> bytes:
        """One record; arguments as the fields of :class:`AlertResultRecord`, ``occurred_at`` as it is written."""
        part = base.hex()
        opening = f'{{"execution_id":"exec_{part}'
        head = (
            f'{{"base":"{part}{self._place}{_json(document_id)}{self._position}{partition},{offset}]'
            f',"appended_at":"{_instant(appended_at)}","occurred_at":"{occurred_at}{self._checked}'
        )
        pieces = [head.encode(), f",{opening}".encode().join((b"", *executions))[1:], b"]"]
        if keyed:
            pieces.append(b',"keyed":true')
        if asset_id is not None:
            pieces += (b',"asset_id":', orjson.dumps(asset_id))
        if caused_by:
            pieces += (b',"caused_by":', orjson.dumps(caused_by))
        if truncated:
            pieces.append(b',"truncated":true')
        if document:
            pieces += (b',"document":', orjson.dumps(document))
        pieces.append(b"}")
        return b"".join(pieces)


class ExecutionWriter:
    """Writes executions of one alert, without the document part of their ids, for :class:`ResultWriter`."""

    __slots__ = ("_head",)

    def __init__(self, alert_number: int, alert_id: str, alert_version: int, retriever_id: str) -> None:
        self._head = (
            f'{alert_number:x}","number":{alert_number},"alert_id":{_json(alert_id)},"alert_version":{alert_version}'
            f',"retriever_id":{_json(retriever_id)},"score":'
        ).encode()

    def write(self, score: float, reason: str, matched_features: Mapping[str, float] | None = None) -> bytes:
        """One execution; arguments as the fields of :class:`AlertHit`."""
        if not matched_features:
            return b"".join((self._head, orjson.dumps(score), b',"reason":', orjson.dumps(reason), b"}"))
        features = orjson.dumps(matched_features)
        return b"".join(
            (
                self._head,
                orjson.dumps(score),
                b',"reason":',
                orjson.dumps(reason),
                b',"matched_features":',
                features,
                b"}",
            )
        )


def encode_execution(hit: AlertHit) -> bytes:
    """One execution, without the document part of its id, for :class:`ResultWriter`."""
    writer = ExecutionWriter(hit.alert_number, hit.alert_id, hit.alert_version, hit.retriever_id)
    value = writer.write(hit.score, hit.reason, hit.matched_features)
    if hit.found is None:
        return value
    found = {
        "match_count": hit.found.count,
        "matches": hit.found.matches,
        "reference_position": hit.found.position,
    }
    return b"%b,%b" % (value[:-1], orjson.dumps(found)[1:])


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
        map(encode_execution, record.hits),
        keyed=record.keyed,
        asset_id=record.asset_id,
        caused_by=record.caused_by,
        truncated=record.truncated,
        document=record.document,
    )


def _json(text: str) -> str:
    return orjson.dumps(text).decode()


def decode_alert_result(value: bytes | None) -> AlertResultRecord:
    """One record of ``alert-results``. Raises :class:`DecodeError`."""
    if value is None:
        raise DecodeError("an alert result has no value")
    try:
        raw = orjson.loads(value)
        base = bytes.fromhex(raw["base"])
        if len(base) != BASE_BYTES:
            raise DecodeError(f"base must be {BASE_BYTES} bytes")
        topic, partition, offset = raw["position"]
        return AlertResultRecord(
            base=base,
            namespace_id=_checked(raw["namespace_id"], str),
            collection_id=_checked(raw["collection_id"], str),
            document_id=_checked(raw["source_documents"][0], str),
            source_topic=_checked(topic, str),
            source_partition=_checked(partition, int),
            source_offset=_checked(offset, int),
            appended_at=parse_instant(raw["appended_at"]),
            occurred_at=parse_instant(raw["occurred_at"]),
            executed_at=parse_instant(raw["executed_at"]),
            duration_ms=_checked(raw["duration_ms"], int),
            definitions_version=_checked(raw["definitions_version"], int),
            hits=[_hit_from_raw(base, hit) for hit in raw["executions"]],
            keyed=bool(raw.get("keyed", False)),
            asset_id=raw.get("asset_id"),
            caused_by=tuple(raw.get("caused_by", ())),
            truncated=bool(raw.get("truncated", False)),
            document=_checked(raw.get("document", {}), dict),
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(f"not an alert result: {error!r}") from error


def _checked(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise DecodeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _hit_from_raw(base: bytes, raw: dict[str, Any]) -> AlertHit:
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
    )


def _found_from_raw(raw: dict[str, Any]) -> Found:
    matches = _checked(raw["matches"], list)
    position = _checked(raw["reference_position"], dict)
    for match in matches:
        _checked(_checked(match, dict)["document_id"], str)
    for offset in position.values():
        _checked(offset, int)
    return Found(_checked(raw["match_count"], int), matches, position)
