"""Alert results put together from pieces are the JSON of the record, byte for byte."""

from datetime import UTC
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.alert_result import (
    AlertHit,
    AlertResultRecord,
    Contribution,
    Found,
    decode_alert_result,
    encode_alert_result,
)
from schemas.ids import execution_id
from schemas.times import format_instant

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
moments = st.datetimes(timezones=st.just(UTC))
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(0, 1) | texts | st.lists(texts)
founds = st.builds(
    Found,
    st.integers(0, 9),
    st.lists(st.fixed_dictionaries({"document_id": texts}), max_size=2),
    st.dictionaries(texts, st.integers(0, 9), max_size=2),
)
hits = st.builds(
    AlertHit,
    alert_number=st.integers(0, 2**40),
    alert_id=texts,
    alert_version=st.integers(0, 9),
    retriever_id=texts,
    score=st.floats(0, 1),
    reason=texts,
    matched_features=st.none() | st.dictionaries(texts, st.floats(-1, 1), max_size=2),
    found=st.none() | founds,
    triggered=st.booleans(),
    held=st.none() | texts,
)
numbers: st.SearchStrategy[int | float] = st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9)
contributions = st.builds(
    Contribution,
    alert_id=texts,
    series=texts,
    step_seconds=st.integers(1, 99),
    time_domain=st.sampled_from(["event_time", "processing_time"]),
    documents=st.integers(0, 1),
    score=st.floats(0, 1),
    values=st.lists(numbers, max_size=2),
    late_at=st.none() | moments,
)
records = st.builds(
    AlertResultRecord,
    base=st.binary(min_size=12, max_size=12),
    namespace_id=texts,
    collection_id=texts,
    document_id=texts,
    source_topic=texts,
    source_partition=st.integers(0, 99),
    source_offset=st.integers(0, 2**60),
    appended_at=moments,
    occurred_at=moments,
    executed_at=moments,
    duration_ms=st.integers(0, 999),
    definitions_version=st.integers(0, 99),
    hits=st.lists(hits, max_size=4),
    keyed=st.booleans(),
    asset_id=st.none() | texts,
    caused_by=st.lists(texts, max_size=3).map(tuple),
    truncated=st.booleans(),
    document=st.dictionaries(texts, values, max_size=3),
    contributions=st.lists(contributions, max_size=3),
)


def plain(record: AlertResultRecord) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "base": record.base.hex(),
        "namespace_id": record.namespace_id,
        "collection_id": record.collection_id,
        "source_documents": [record.document_id] if record.document_id else [],
        "position": [record.source_topic, record.source_partition, record.source_offset],
        "appended_at": format_instant(record.appended_at),
        "occurred_at": format_instant(record.occurred_at),
        "executed_at": format_instant(record.executed_at),
        "duration_ms": record.duration_ms,
        "definitions_version": record.definitions_version,
        "executions": [execution(record.base, hit) for hit in record.hits],
    }
    optional: dict[str, Any] = {
        "keyed": record.keyed,
        "asset_id": record.asset_id,
        "caused_by": record.caused_by,
        "truncated": record.truncated,
        "contributions": [contribution(one) for one in record.contributions],
        "document": record.document,
    }
    return raw | {name: value for name, value in optional.items() if value or (value == "" and name == "asset_id")}


def execution(base: bytes, hit: AlertHit) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "execution_id": execution_id(base, hit.alert_number),
        "number": hit.alert_number,
        "alert_id": hit.alert_id,
        "alert_version": hit.alert_version,
        "retriever_id": hit.retriever_id,
        "score": hit.score,
        "reason": hit.reason,
    }
    if hit.matched_features:
        raw["matched_features"] = hit.matched_features
    if hit.found is not None:
        raw["match_count"] = hit.found.count
        raw["matches"] = hit.found.matches
        raw["reference_position"] = hit.found.position
    if not hit.triggered:
        raw["triggered"] = False
    if hit.held is not None:
        raw["held"] = hit.held
    return raw


def contribution(one: Contribution) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "alert_id": one.alert_id,
        "series": one.series,
        "step_seconds": one.step_seconds,
        "time_domain": one.time_domain,
        "documents": one.documents,
        "score": one.score,
    }
    if one.values:
        raw["values"] = one.values
    if one.late_at is not None:
        raw["late_at"] = format_instant(one.late_at)
    return raw


@given(records)
def test_bytes_are_those_of_the_plain_object(record: AlertResultRecord) -> None:
    value = encode_alert_result(record)
    assert value == orjson.dumps(plain(record))
    assert encode_alert_result(decode_alert_result(value)) == value
