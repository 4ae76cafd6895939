"""Records → rows: what does not fit a column is one bad record, never a broken batch."""

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertHit, encode_alert_result
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, TRIGGER_RESULTS
from streams.query.checks import readable
from streams.query.results import Counted, Place, ResultReader, count_columns, count_row, counted, day_of
from streams.query.rows import Rows
from tests.query.support import NOON, progress, result

HIT = AlertHit(7, "alt_a", 3, "ret_a", 0.5, "because")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sets(st.tuples(st.integers(1, 4), st.integers(1, 2))), st.booleans()))
)
def test_executions_are_counted_by_alert_also_where_its_definition_changed(
    said: list[tuple[int, set[tuple[int, int]], bool]],
) -> None:
    reader, added, gone = ResultReader(), [], []
    expected: dict[int, tuple[int, tuple[datetime, bytes] | None]] = {}
    for offset, (hour, alerts, kept) in enumerate(said):
        hits = [
            replace(HIT, alert_number=number, alert_id=f"alt_{number}", alert_version=version)
            for number, version in sorted(alerts)
        ]
        record = result(offset, *hits, at=NOON + timedelta(hours=hour))
        read = reader.read(encode_alert_result(record), 0, offset)
        if read is None:
            continue
        if kept:
            added.append((read, read.place))
        else:
            gone.append(read)
        for number, _ in alerts:
            had, newest = expected.get(number, (0, None))
            if kept:
                place = (record.appended_at, record.base)
                expected[number] = (had + 1, place if newest is None else max(newest, place))
            else:
                expected[number] = (had, newest)
    found = counted(added, gone)
    assert {alert.number: (executions, newest) for alert, executions, newest in found} == expected
    assert len(found) == len(expected)
    columns = count_columns(found)
    assert b"".join(columns) == b"".join(b"".join(field) for field in zip(*map(fields_of, found), strict=True))


def fields_of(item: Counted) -> list[bytes]:
    """The fields of a row of counters, each with its length before it."""
    row, found = count_row(item)[2:], []
    while row:
        length = max(0, struct.unpack_from(">i", row)[0]) + 4
        found.append(row[:length])
        row = row[length:]
    return found


def test_a_result_becomes_one_document_row_and_one_row_per_hit() -> None:
    rows = Rows()
    record = result(4, HIT, replace(HIT, alert_number=8, alert_id="alt_b"))
    rows.add(ALERT_RESULTS.name, encode_alert_result(record))
    (item,) = rows.results
    assert item.place == Place(NOON.date(), NOON)
    (document,) = copied(item.document_row(item.place))
    assert document[1] == record.base
    assert document[5:9] == [b"ns_a", b"col_a", b"documents", b"doc_4"]
    assert document[15] is None
    executions = copied(item.execution_rows(item.place))
    assert [row[:3] for row in executions] == [document[:3]] * 2
    assert [row[5:8] for row in executions] == [
        [(7).to_bytes(8, "big"), b"ns_a", b"alt_a"],
        [(8).to_bytes(8, "big"), b"ns_a", b"alt_b"],
    ]
    assert [row[11] for row in executions] == [b"because"] * 2


def copied(rows: bytes) -> list[list[bytes | None]]:
    """The fields of rows of a binary COPY."""
    found: list[list[bytes | None]] = []
    at = 0
    while at < len(rows):
        (width,) = struct.unpack_from("!h", rows, at)
        at += 2
        fields: list[bytes | None] = []
        for _ in range(width):
            (size,) = struct.unpack_from("!i", rows, at)
            at += 4
            fields.append(None if size < 0 else rows[at : at + size])
            at += max(0, size)
        found.append(fields)
    return found


NUMBERS: list[object] = [1, 2, True, 1.0, "1", None, -1]
JSON_NUMBERS = st.one_of(st.integers(-2, 3), st.booleans(), st.floats(0, 1), st.none(), st.just("1"))
HITS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.sampled_from(NUMBERS),
            "alert_id": st.sampled_from(["alt_1", "alt_2", None, "a\x00"]),
            "alert_version": st.sampled_from([1, 2, True, 1.0, -1]),
            "retriever_id": st.sampled_from(["ret_1", [], None]),
            "score": JSON_NUMBERS,
            "reason": st.sampled_from(["because", "", 1, None]),
        },
        optional={
            "matched_features": st.sampled_from([{"a": 0.5}, [], None]),
            "triggered": st.sampled_from([True, False, 1]),
            "match_count": st.sampled_from([0, 2, -1]),
            "held": st.sampled_from(["quiet", None]),
            "matches": st.just([]),
            "reference_position": st.just({"0": 3}),
        },
    ),
    min_size=1,
    max_size=4,
)


@given(before=st.lists(HITS, max_size=3), hits=HITS)
def test_what_is_remembered_changes_nothing(
    before: list[list[dict[str, Any]]], hits: list[dict[str, Any]]
) -> None:
    """A reader that has read other records reads one as a new reader does, or refuses it as that does."""
    used = ResultReader()
    for earlier in before:
        outcome(used, earlier)
    assert outcome(used, hits) == outcome(ResultReader(), hits)


def outcome(reader: ResultReader, hits: list[dict[str, Any]]) -> bytes | None:
    raw = orjson.loads(encode_alert_result(result(1, HIT)))
    base = bytes.fromhex(raw["base"])
    raw["executions"] = [
        {"execution_id": execution_id(base, hit["number"]) if type(hit["number"]) is int else "exec_", **hit}
        for hit in hits
    ]
    try:
        found = reader.read(orjson.dumps(raw), 0, 0)
    except DecodeError:
        return None
    assert found is not None
    return found.execution_rows(found.place)


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2024, 5, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert day_of(late).isoformat() == "2024-05-02"
    with pytest.raises(DecodeError):
        day_of(datetime(9999, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    "broken",
    [
        replace(result(1, HIT), collection_id="a\x00b"),
        replace(result(1, HIT), duration_ms=1 << 31),
        replace(result(1, HIT), source_offset=-1),
        replace(result(1, HIT), appended_at=datetime(9999, 12, 31, tzinfo=UTC)),
        result(1, replace(HIT, alert_number=1 << 63)),
        result(1, replace(HIT, reason="nul \x00")),
    ],
)
def test_what_a_column_cannot_hold_is_refused_whole(broken: object) -> None:
    rows = Rows()
    with pytest.raises(DecodeError):
        rows.add(ALERT_RESULTS.name, encode_alert_result(broken))  # type: ignore[arg-type]
    assert rows == Rows()


def test_wrong_json_types_are_refused() -> None:
    raw = orjson.loads(encode_alert_result(result(1, HIT)))
    for change in ({"asset_id": 5}, {"executions": [{**raw["executions"][0], "matched_features": [1]}]}):
        with pytest.raises(DecodeError):
            Rows().add(ALERT_RESULTS.name, orjson.dumps({**raw, **change}))


@pytest.mark.parametrize("topic", [ALERT_RESULTS, MATCH_PROGRESS, TRIGGER_RESULTS])
@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"partition": "x"}'])
def test_what_is_not_the_record_is_refused(topic: object, value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        Rows().add(topic.name, value)  # type: ignore[attr-defined]


def test_progress_becomes_a_row() -> None:
    rows = Rows()
    rows.add(MATCH_PROGRESS.name, progress(5).encode())
    assert rows.progress == {(0, "ns_a", "col_a"): (10, NOON - timedelta(minutes=1), NOON, 5)}


NAMES = st.text("\\u0\x00a", max_size=12)
VALUES = st.recursive(NAMES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


@given(VALUES)
def test_json_is_kept_but_for_its_nuls(value: Any) -> None:
    assert orjson.loads(readable(orjson.dumps(value))) == without_nuls(value)


def without_nuls(value: Any) -> Any:
    if isinstance(value, dict):
        return {without_nuls(key): without_nuls(item) for key, item in value.items()}
    return value.replace("\x00", "") if isinstance(value, str) else [without_nuls(item) for item in value]
