"""The document event: golden bytes, round trips, and everything that must be refused."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.events.document import (
    DELETED,
    UPSERTED,
    DocumentEvent,
    decode_document_event,
    encode_document_event,
)

APPENDED = datetime(2024, 5, 1, 12, tzinfo=UTC)
GOLDEN = (
    b'{"type":"document.upserted","event_id":"e1","namespace_id":"ns_a","collection_id":"col_b",'
    b'"document_id":"d/1","occurred_at":"2014-10-01T12:00:00.000Z","payload":{"source":"bbc"},'
    b'"text":"Ebola","features":{"mixpeek://x@v1/y":{"f32":"AACAPwAAAEA="}}}'
)


def decode(raw: Any, key: bytes | None = None, headers: tuple[tuple[str, bytes], ...] = ()) -> DocumentEvent:
    value = raw if isinstance(raw, bytes) else orjson.dumps(raw)
    return decode_document_event(key, value, headers, appended_at=APPENDED)


def valid(**changes: Any) -> dict[str, Any]:
    raw = {"namespace_id": "n", "collection_id": "c", "document_id": "d", **changes}
    return {name: value for name, value in raw.items() if value is not ...}


def test_golden_bytes() -> None:
    event = decode(GOLDEN, b"ns_a/col_b/d/1")
    assert event.type == UPSERTED
    assert event.occurred_at == datetime(2014, 10, 1, 12, tzinfo=UTC)
    assert event.features["mixpeek://x@v1/y"].tolist() == [1.0, 2.0]
    assert encode_document_event(event) == GOLDEN
    assert event.root() == {
        "document_id": "d/1",
        "collection_id": "col_b",
        "occurred_at": "2014-10-01T12:00:00.000Z",
        "text": "Ebola",
        "source": "bbc",
    }


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    namespace=names,
    collection=names,
    document=names,
    occurred=st.datetimes(min_value=datetime(1900, 1, 1)),  # noqa: DTZ001
    payload=json_values,
    text=st.none() | texts,
    event_id=st.none() | names,
    vector=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    extra=st.dictionaries(st.sampled_from(["later", "v2"]), json_values, max_size=2),
)
def test_round_trip(
    namespace: str,
    collection: str,
    document: str,
    occurred: datetime,
    payload: Any,
    text: str | None,
    event_id: str | None,
    vector: list[float],
    extra: dict[str, Any],
) -> None:
    event = DocumentEvent(
        UPSERTED,
        namespace,
        collection,
        document,
        occurred.replace(tzinfo=UTC),
        payload=payload,
        text=text,
        event_id=event_id,
        features={"f": np.asarray(vector, np.float32)},
        extra=extra,
    )
    again = decode(encode_document_event(event), event.key)
    assert again.features["f"].tobytes() == event.features["f"].tobytes()
    for name in (
        "type",
        "namespace_id",
        "collection_id",
        "document_id",
        "occurred_at",
        "text",
        "event_id",
        "extra",
    ):
        assert getattr(again, name) == getattr(event, name)
    assert orjson.dumps(again.payload) == orjson.dumps(payload)


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


def test_deep_but_not_too_deep_survives_the_way_back() -> None:
    event = decode(valid(payload=nested(60)))
    assert decode(encode_document_event(event)).payload == nested(60)


def test_an_escaped_backslash_is_not_a_nul() -> None:
    assert decode(valid(text="\\u0000")).text == "\\u0000"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        (b"\xff\xfe", "not JSON"),
        (valid(namespace_id=...), "namespace_id"),
        (valid(collection_id=""), "collection_id"),
        (valid(collection_id="a/b"), "must not contain '/'"),
        (valid(document_id=7), "document_id"),
        (valid(document_id="a\x00"), "NUL"),
        (valid(document_id="x" * 2000), "longer"),
        (valid(type="document.exploded"), "type must be"),
        (valid(type=[]), "type must be"),
        (valid(occurred_at="yesterday"), "ISO 8601"),
        (valid(occurred_at=5), "occurred_at must be a string"),
        (valid(text=["a"]), "text must be a string"),
        (valid(features=[1]), "features must be"),
        (valid(features={"f": []}), "dimensions"),
        (valid(features={"f": [1, "2"]}), "numbers only"),
        (valid(features={"f": [True]}), "numbers only"),
        (valid(features={"f": [1e39]}), "not finite"),
        (valid(features={"f": {"f32": "AAA"}}), "base64"),
        (valid(features={"f": {"f32": "AACAfw=="}}), "not finite"),
        (valid(features={"f": {"f32": "AAAA"}}), "whole number"),
        (valid(features={"f": "x"}), "list of numbers"),
        (valid(type="watermark", document_id=...), "watermark event needs"),
        (valid(text="storm \x00"), "NUL"),
        (valid(event_id="\x00"), "NUL"),
        (valid(features={"\x00": [1]}), "NUL"),
        (valid(payload={"a": ["\x00"]}), "NUL"),
        (valid(payload=nested(64)), "nested deeper"),
        (b'{"payload":' + b"[" * 800 + b"]" * 800 + b"}", "nested deeper"),
        (valid(features={"f": [0.5] * 16_001}), "dimensions"),
        ({"specversion": "1.0", "type": "document.upserted", "data": {}}, "needs type, source and id"),
        ({"specversion": "1.0", "type": "x", "source": "s", "id": "1", "data": valid()}, "does not end in"),
    ],
)
def test_refused(raw: Any, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode(raw)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_event_or_a_decode_error(value: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(value)


def test_the_key_must_agree_with_the_value() -> None:
    assert decode(valid(), b"n/c/d").document_id == "d"
    assert decode(valid(), None).document_id == "d"
    with pytest.raises(DecodeError, match="key"):
        decode(valid(), b"n/c/other")


def test_a_null_value_deletes_what_the_key_names() -> None:
    event = decode_document_event(b"n/c/d/e", None, (), appended_at=APPENDED)
    assert (event.type, event.document_id, event.occurred_at) == (DELETED, "d/e", APPENDED)
    with pytest.raises(DecodeError, match="key"):
        decode_document_event(b"n/c", None, (), appended_at=APPENDED)


def test_cloud_events_in_both_modes() -> None:
    attributes = {
        "specversion": "1.0",
        "type": "com.example.document.upserted",
        "source": "/crawler",
        "id": "77",
        "time": "2024-01-02T03:04:05Z",
        "subject": "d9",
    }
    data = {"namespace_id": "n", "collection_id": "c", "payload": {"a": 1}}
    structured = decode({**attributes, "data": data})
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    binary = decode(data, headers=headers)
    for event in (structured, binary):
        assert event.event_id == "/crawler#77"
        assert event.document_id == "d9"
        assert event.occurred_at == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert event.payload == {"a": 1}


def test_a_header_without_a_value_is_as_if_it_were_not_there() -> None:
    """A producer must not be able to stop the stream: Kafka's headers may have no value."""
    data = {"namespace_id": "n", "collection_id": "c", "document_id": "d"}
    nothing: Any = None
    assert decode(data, headers=(("ce_specversion", nothing),)).document_id == "d"
    headers = (("ce_specversion", b"1.0"), ("ce_type", nothing), ("ce_source", b"s"), ("ce_id", b"i"))
    with pytest.raises(DecodeError, match="needs type"):
        decode(data, headers=headers)


def test_an_event_id_from_headers_holds_no_nul() -> None:
    data = {"namespace_id": "n", "collection_id": "c", "document_id": "d"}
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_type", b"document.upserted"),
        ("ce_source", b"s"),
        ("ce_id", b"i\x00"),
    )
    with pytest.raises(DecodeError, match="NUL"):
        decode(data, headers=headers)


def test_the_append_time_stands_in_for_a_missing_time() -> None:
    assert decode(valid()).occurred_at == APPENDED
