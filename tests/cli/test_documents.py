from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.events.document import decode_document_event, encode_document_event
from streams.cli.documents import Target, parse_line

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TARGET = Target("ns_1", "col_1")


def line(**fields: Any) -> bytes:
    return orjson.dumps(fields)


def test_a_plain_document_is_payload_but_for_the_fields_with_a_meaning() -> None:
    event = parse_line(
        line(
            document_id="a",
            text="hello",
            occurred_at="2014-10-01T12:00:00Z",
            asset_id="s3",
            price=3,
            tags=["x"],
            features={"mixpeek://x@v1/y": [1.0, 2.0]},
        ),
        TARGET,
        NOW,
    )
    assert (event.namespace_id, event.collection_id, event.document_id) == ("ns_1", "col_1", "a")
    assert (event.type, event.text, event.asset_id) == ("document.upserted", "hello", "s3")
    assert event.occurred_at == datetime(2014, 10, 1, 12, tzinfo=UTC)
    assert event.payload == {"price": 3, "tags": ["x"]}
    assert event.features["mixpeek://x@v1/y"].tolist() == [1.0, 2.0]


def test_id_and_timestamp_name_the_document_and_stay_in_the_payload() -> None:
    event = parse_line(line(id=17, timestamp=1_412_164_800, features=["red"], text=5), TARGET, NOW)
    assert event.document_id == "17"
    assert event.occurred_at == datetime(2014, 10, 1, 12, tzinfo=UTC)
    assert event.payload == {"id": 17, "timestamp": 1_412_164_800, "features": ["red"], "text": 5}
    assert event.text is None


def test_milliseconds_are_told_from_seconds() -> None:
    assert parse_line(line(timestamp=1_412_164_800_250), TARGET, NOW).occurred_at == datetime(
        2014, 10, 1, 12, 0, 0, 250_000, tzinfo=UTC
    )


def test_a_document_without_id_gets_one_that_is_the_same_every_time() -> None:
    first, again, other = (parse_line(raw, TARGET, NOW) for raw in (line(a=1), line(a=1) + b"\r", line(a=2)))
    assert first.document_id == again.document_id != other.document_id
    assert first.document_id.startswith("doc_")
    assert first.occurred_at == NOW


def test_a_full_event_keeps_what_it_says_and_is_given_what_it_leaves_out() -> None:
    full = parse_line(
        line(type="document.deleted", namespace_id="ns_2", collection_id="col_2", document_id="d/1"), TARGET, NOW
    )
    assert (full.type, full.namespace_id, full.collection_id) == ("document.deleted", "ns_2", "col_2")
    part = parse_line(line(type="document.upserted", document_id="d", payload={"type": "x"}), TARGET, NOW)
    assert (part.namespace_id, part.collection_id, part.payload) == ("ns_1", "col_1", {"type": "x"})


@pytest.mark.parametrize("kind", ["article", ["document.upserted"], {"a": 1}, None])
def test_a_type_of_ones_own_is_payload(kind: Any) -> None:
    assert parse_line(line(type=kind), TARGET, NOW).payload == {"type": kind}


def test_a_cloud_event_is_a_full_event() -> None:
    event = parse_line(
        line(
            specversion="1.0",
            id="7",
            source="/shop",
            type="com.shop.document.upserted",
            time="2020-01-01T00:00:00Z",
            data={"document_id": "d", "payload": {"a": 1}},
        ),
        TARGET,
        NOW,
    )
    assert (event.event_id, event.collection_id, event.payload) == ("/shop#7", "col_1", {"a": 1})


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        (line(id=""), "id must be"),
        (line(id=["a"]), "id must be"),
        (line(id=True), "id must be"),
        (line(document_id="x" * 2000), "document_id must have at most"),
        (line(timestamp="yesterday"), "timestamp is neither"),
        (line(timestamp=1e300), "timestamp is neither"),
        (line(occurred_at=True), "occurred_at is neither"),
        (line(features={"a://b": ["x"]}), "numbers only"),
        (line(type="document.upserted", payload={}), "document_id is required"),
        (line(type="watermark"), "needs occurred_at"),
    ],
)
def test_a_bad_line_says_what_is_wrong(raw: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        parse_line(raw, TARGET, NOW)


def test_a_plain_document_needs_a_collection() -> None:
    with pytest.raises(DecodeError, match="--collection"):
        parse_line(line(a=1), Target("ns_1", None), NOW)


plain = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    max_size=6,
)


@given(plain)
def test_every_line_becomes_an_event_that_travels_or_a_decode_error(fields: dict[str, Any]) -> None:
    try:
        event = parse_line(orjson.dumps(fields), TARGET, NOW)
    except DecodeError:
        return
    back = decode_document_event(event.key, encode_document_event(event), (), appended_at=NOW)
    assert back == event
