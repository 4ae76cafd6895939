"""Records of ``alert-results`` → rows of the view, as they are copied into it. Pure.

Most executions of a batch are of the same alerts, with the same score and reason: what is written of an alert, and
of a reason, is remembered, so that an execution costs a comparison of its id and two look-ups.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import orjson

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertHit, AlertResultRecord, decode_hit, open_alert_result
from streams.query.checks import count, maybe_text, readable, text
from streams.runtime import binary_copy as copy

DOCUMENT_COLUMNS: Final = (
    "day, base, appended_at, result_partition, result_offset, namespace_id, collection_id, source_topic,"
    " document_id, source_partition, source_offset, occurred_at, executed_at, duration_ms, definitions_version,"
    " asset_id, truncated, document"
)
EXECUTION_COLUMNS: Final = (
    "day, base, appended_at, result_partition, result_offset, alert_number, namespace_id, alert_id, alert_version,"
    " retriever_id, score, reason, matched_features, match_count, matches, reference_position, triggered"
)
DOCUMENT_TYPES: Final = (
    "date bytea timestamptz int4 int8 text text text text int4 int8 timestamptz timestamptz int4 int8 text bool"
    " json"
)
EXECUTION_TYPES: Final = (
    "date bytea timestamptz int4 int8 int8 text text int8 text float8 text json int4 json json bool"
)
COUNT_COLUMNS: Final = "alert_number, namespace_id, alert_id, executions, newest_at, newest_base"
COUNT_TYPES: Final = "int8 text text int8 timestamptz bytea"
_DOCUMENT: Final = copy.row(len(DOCUMENT_COLUMNS.split(",")))
_EXECUTION: Final = copy.row(len(EXECUTION_COLUMNS.split(",")))
_COUNT: Final = copy.row(len(COUNT_COLUMNS.split(",")))
_PLAIN_KEYS: Final = 7
_PLAIN: Final = (copy.NULL, copy.NULL, copy.NULL, copy.NULL, copy.TRUE)
"""How the columns end of an execution that says nothing but its score and its reason."""
_HEAD_COLUMNS: Final = 5
_ALERT_COLUMNS: Final = 5
_NAME_COLUMNS: Final = 3
_END_COLUMNS: Final = 7
_REMEMBERED: Final = 65_536

_text = lru_cache(1_024)(copy.text)
_int8 = lru_cache(1_024)(copy.int8)
_day = lru_cache(256)(copy.day)
_instant = lru_cache(1_024)(copy.instant)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document part and its executions stand in the view: partition and sort key."""

    day: date
    appended_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """What is written of one version of an alert. Compared by identity, which is what counting them takes."""

    suffix: str
    """How its execution ids end."""
    number: int
    columns: Sequence[bytes]
    """Number, namespace, id, version and retriever."""
    fields: bytes
    """The same as one."""


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """What is written of an execution behind its alert."""

    columns: Sequence[bytes]
    fields: bytes
    """The same as one."""


@dataclass(frozen=True, slots=True)
class Result:
    """One record of ``alert-results``. The rows lack only what :class:`Place` says."""

    base: bytes
    place: Place
    keyed: bool
    alerts: Sequence[Alert]
    """Of each execution its alert."""
    brought: Sequence[bytes]
    """Partition and offset of the record."""
    document: bytes
    ends: Sequence[End]
    """Of each execution what is behind its alert."""

    def document_row(self, place: Place) -> bytes:
        """The row of ``result_documents`` at ``place``: :data:`DOCUMENT_COLUMNS`."""
        return b"".join((_DOCUMENT, *self.head(place), self.document))

    def execution_rows(self, place: Place) -> bytes:
        """The rows of ``alert_executions`` at ``place``: :data:`EXECUTION_COLUMNS`."""
        head = b"".join((_EXECUTION, *self.head(place)))
        return b"".join(
            [head + alert.fields + end.fields for alert, end in zip(self.alerts, self.ends, strict=True)]
        )

    def head(self, place: Place) -> Sequence[bytes]:
        """The first columns of all these rows: day, base, time, partition and offset."""
        return (_day(place.day), copy.data(self.base), _instant(place.appended_at), *self.brought)


def execution_columns(results: Sequence[Result]) -> list[bytes]:
    """:meth:`Result.execution_rows` of several results at their own places, column by column."""
    heads = [(result.head(result.place), len(result.alerts)) for result in results]
    alerts = [alert.columns for result in results for alert in result.alerts]
    ends = [end.columns for result in results for end in result.ends]
    # Not by zip(*rows): thousands of iterators at once are several times slower than a walk for each column.
    return [
        *(b"".join([head[column] * count for head, count in heads]) for column in range(_HEAD_COLUMNS)),
        *(b"".join([columns[column] for columns in alerts]) for column in range(_ALERT_COLUMNS)),
        *(b"".join([columns[column] for columns in ends]) for column in range(_END_COLUMNS)),
    ]


Counted = tuple[Alert, int, tuple[datetime, bytes] | None]
"""What is added to a counter: executions of which alert, how many, and of the newest when its document was
appended and its document part."""


def counted(added: Sequence[tuple[Result, Place]], gone: Iterable[Result] = ()) -> list[Counted]:
    """Executions of each alert; of those that are gone only that there were some."""
    executions = Counter(chain.from_iterable(result.alerts for result, _ in added))
    executions.update(dict.fromkeys(chain.from_iterable(result.alerts for result in gone), 0))
    newest: dict[Alert, tuple[datetime, bytes]] = {}
    for at, result in sorted(((place.appended_at, result) for result, place in added), key=_age):
        newest.update(dict.fromkeys(result.alerts, (at, result.base)))
    if len({alert.number for alert in executions}) == len(executions):
        return [(alert, more, newest.get(alert)) for alert, more in executions.items()]
    # Several have the same number, where the definition of one changed.
    found: dict[int, Counted] = {}
    for alert, more in executions.items():
        _, had, until = found.get(alert.number, (alert, 0, None))
        places = [place for place in (until, newest.get(alert)) if place is not None]
        found[alert.number] = (alert, had + more, max(places, default=None))
    return list(found.values())


def _age(item: tuple[datetime, Result]) -> tuple[datetime, bytes]:
    return item[0], item[1].base


def count_row(item: Counted) -> bytes:
    """A row of ``alert_execution_counts``: :data:`COUNT_COLUMNS`."""
    alert, executions, newest = item
    return b"".join((_COUNT, *alert.columns[:_NAME_COLUMNS], _int8(executions), *_newest(newest)))


def count_columns(items: Sequence[Counted]) -> list[bytes]:
    """Such rows column by column."""
    alerts = [alert.columns for alert, _, _ in items]
    newest = [_newest(place) for _, _, place in items]
    return [
        *(b"".join([columns[column] for columns in alerts]) for column in range(_NAME_COLUMNS)),
        b"".join([_int8(executions) for _, executions, _ in items]),
        *(b"".join([place[column] for place in newest]) for column in range(2)),
    ]


@lru_cache(1_024)
def _newest(place: tuple[datetime, bytes] | None) -> tuple[bytes, bytes]:
    return (copy.NULL, copy.NULL) if place is None else (_instant(place[0]), copy.data(place[1]))


class ResultReader:
    """Reads records; remembers between them what is written of alerts."""

    def __init__(self) -> None:
        self._alerts: dict[tuple[Any, ...], Alert] = {}
        self._ends: dict[tuple[Any, ...], End] = {}

    def read(self, value: bytes | None, partition: int, offset: int) -> Result | None:
        """One record, from its place in the topic; ``None`` where it holds no executions: only what a document
        adds to windows, which is for the trigger station. Raises :class:`DecodeError`."""
        record, hits = open_alert_result(value)
        if not hits:
            return None
        place = Place(day_of(record.appended_at), record.appended_at)
        document = _document(record)
        opening = f"exec_{record.base.hex()}"
        alerts: list[Alert] = []
        ends: list[End] = []
        try:
            for raw in hits:
                alert, end = self._plain(opening, record.namespace_id, raw) or self._any(record, raw)
                alerts.append(alert)
                ends.append(end)
        except DecodeError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"not an execution: {error!r}") from error
        brought = (copy.int4(partition), copy.int8(offset))
        return Result(record.base, place, record.keyed, alerts, brought, document, ends)

    def _plain(self, opening: str, namespace_id: str, raw: Any) -> tuple[Alert, End] | None:
        """An execution like one that was read before."""
        if len(raw) != _PLAIN_KEYS:
            return None
        number, version = raw["number"], raw["alert_version"]
        # A dict takes True and 1.0 for 1.
        if type(number) is not int or type(version) is not int:
            return None
        alert = self._alerts.get((namespace_id, number, raw["alert_id"], version, raw["retriever_id"]))
        if alert is None or raw["execution_id"] != opening + alert.suffix:
            return None
        end = self._ends.get((raw["score"], raw["reason"]))
        return None if end is None else (alert, end)

    def _any(self, record: AlertResultRecord, raw: Any) -> tuple[Alert, End]:
        hit = decode_hit(record.base, raw)
        end = _end(hit)
        for remembered in (self._alerts, self._ends):
            if len(remembered) >= _REMEMBERED:
                remembered.clear()
        key = record.namespace_id, hit.alert_number, hit.alert_id, hit.alert_version, hit.retriever_id
        alert = self._alerts.get(key)
        if alert is None:
            alert = self._alerts[key] = _alert(record.namespace_id, hit)
        if len(raw) == _PLAIN_KEYS and tuple(end.columns[2:]) == _PLAIN:
            self._ends[hit.score, hit.reason] = end
        return alert, end


def day_of(appended_at: datetime) -> date:
    """The partition of an append time: its day in UTC. Raises :class:`DecodeError` outside 1970…9998."""
    day = appended_at.astimezone(UTC).date()
    if not 1970 <= day.year < 9999:
        raise DecodeError(f"append time in the year {day.year}")
    return day


def _document(record: AlertResultRecord) -> bytes:
    asset = maybe_text(record.asset_id)
    return b"".join(
        (
            _text(text(record.namespace_id)),
            _text(text(record.collection_id)),
            _text(text(record.source_topic)),
            copy.text(text(record.document_id)),
            copy.int4(count(record.source_partition)),
            copy.int8(count(record.source_offset, 63)),
            copy.instant(record.occurred_at),
            _instant(record.executed_at),
            copy.int4(count(record.duration_ms)),
            copy.int8(count(record.definitions_version, 63)),
            copy.NULL if asset is None else copy.text(asset),
            copy.TRUE if record.truncated else copy.FALSE,
            copy.data(orjson.dumps(record.document)),
        )
    )


def _alert(namespace_id: str, hit: AlertHit) -> Alert:
    columns = (
        copy.int8(count(hit.alert_number, 63)),
        _text(text(namespace_id)),
        copy.text(text(hit.alert_id)),
        copy.int8(count(hit.alert_version, 63)),
        copy.text(text(hit.retriever_id)),
    )
    return Alert(f"{hit.alert_number:x}", hit.alert_number, columns, b"".join(columns))


def _end(hit: AlertHit) -> End:
    features, found = hit.matched_features, hit.found
    if features is not None and type(features) is not dict:
        raise DecodeError("matched_features must be an object")
    columns = (
        copy.float8(hit.score),
        copy.text(text(hit.reason)),
        copy.NULL if features is None else copy.data(orjson.dumps(features)),
        copy.NULL if found is None else copy.int4(count(found.count)),
        copy.NULL if found is None else copy.data(readable(orjson.dumps(found.matches))),
        copy.NULL if found is None else copy.data(orjson.dumps(found.position)),
        copy.TRUE if hit.triggered else copy.FALSE,
    )
    return End(columns, b"".join(columns))
