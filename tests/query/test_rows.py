"""Records → rows: what does not fit a column is one bad record, never a broken batch."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from schemas.errors import DecodeError
from schemas.events.alert_result import AlertHit, encode_alert_result
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, TRIGGER_RESULTS
from streams.query.rows import Place, Rows, day_of
from tests.query.support import NOON, progress, result

HIT = AlertHit(7, "alt_a", 3, "ret_a", 0.5, "because")


def test_a_result_becomes_one_document_row_and_one_row_per_hit() -> None:
    rows = Rows()
    record = result(4, HIT, replace(HIT, alert_number=8, alert_id="alt_b"))
    rows.add(ALERT_RESULTS.name, encode_alert_result(record))
    (item,) = rows.results
    assert item.place == Place(NOON.date(), NOON)
    assert item.document_row(item.place)[:6] == (NOON.date(), record.base, NOON, "ns_a", "col_a", "doc_4")
    assert [row[:6] for row in item.execution_rows(item.place)] == [
        (NOON.date(), record.base, NOON, 7, "ns_a", "alt_a"),
        (NOON.date(), record.base, NOON, 8, "ns_a", "alt_b"),
    ]


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
    assert rows.progress == [(0, "ns_a", "col_a", 10, NOON - timedelta(minutes=1), NOON, 5)]
