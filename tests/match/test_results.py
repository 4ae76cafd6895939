"""Result records that fit, and progress."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events.alert_result import AlertHit, AlertResultRecord, decode_alert_result, encode_alert_result
from schemas.events.document import DocumentEvent
from streams.match.arrivals import Arrival
from streams.match.progress import Progress
from streams.match.results import cut, shrink

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def record(hits: int, document: dict[str, Any]) -> AlertResultRecord:
    found = [AlertHit(number, f"alt_{number}", 1, "ret", 1.0, "because") for number in range(hits)]
    return AlertResultRecord(
        b"0" * 12, "ns", "col", "doc", "documents", 0, 7, NOW, NOW, NOW, 3, 4, found, document=document
    )


@pytest.mark.parametrize("limit", [600, 2_000, 10_000, 10**6])
@pytest.mark.parametrize("hits", [1, 2, 7, 40])
@pytest.mark.parametrize("size", [0, 1_500, 100_000])
def test_parts_fit_and_hold_every_execution_once(limit: int, hits: int, size: int) -> None:
    whole = record(hits, {"body": "x" * size})
    parts = cut(encode_alert_result(whole), limit)
    assert all(len(value) <= limit for value in parts)
    decoded = [decode_alert_result(value) for value in parts]
    executions = [item for part in decoded for item in part.executions()]
    assert executions == list(whole.executions())
    assert all(part.truncated is (part.document == {}) for part in decoded)
    assert {part.source_offset for part in decoded} == {7}


def test_what_fits_is_not_cut() -> None:
    (value,) = cut(encode_alert_result(record(3, {"a": 1})))
    only = decode_alert_result(value)
    assert not only.truncated
    assert only.document == {"a": 1}


def test_a_single_hit_without_document_cannot_be_cut() -> None:
    assert shrink(record(1, {})) is None
    (value,) = cut(encode_alert_result(record(1, {})), 10)
    assert decode_alert_result(value).hits


def arrival(
    partition: int, offset: int, collection: str = "a", kind: Any = "document.upserted", at: int = 0
) -> Arrival:
    event = DocumentEvent(kind, "ns", collection, "d", NOW + timedelta(hours=at))
    return Arrival("documents", partition, offset, NOW + timedelta(seconds=offset), event)


def test_progress_is_one_record_per_partition_and_collection() -> None:
    arrivals = [
        arrival(0, 5, at=3),
        arrival(0, 6, at=1),
        arrival(0, 7, "b"),
        arrival(1, 2, kind="watermark", at=9),
        arrival(0, 8, kind="document.deleted", at=2),
    ]
    progress = Progress()
    progress.add(arrivals[:2])
    progress.add(arrivals[2:])
    found = {(item.partition, item.collection_id): item for item in progress.records({0: 12, 1: 3}, 4)}
    first = found[0, "a"]
    assert (first.next_offset, first.documents, first.definitions_version) == (12, 2, 4)
    assert first.occurred_at == NOW + timedelta(hours=3)
    assert first.appended_at == NOW + timedelta(seconds=8)
    assert first.key == b"0/ns/a"
    # Everything before the batch's end has been checked, whatever collection it belongs to.
    assert (found[0, "b"].next_offset, found[0, "b"].documents) == (12, 1)
    assert (found[1, "a"].next_offset, found[1, "a"].documents) == (3, 0)
    assert found[1, "a"].occurred_at == NOW + timedelta(hours=9)
    assert len(found) == 3
