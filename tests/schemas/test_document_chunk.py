"""Records read together are what they are when read one by one, and are refused in the same words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent, decode_document_event, encode_vector
from schemas.events.document_chunk import read_document_events
from schemas.times import from_millis


@dataclass(frozen=True)
class Record:
    """What is read of a record."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_714_521_600_123


def alone(record: Record) -> DocumentEvent | DecodeError:
    try:
        return decode_document_event(
            record.key, record.value, record.headers, appended_at=from_millis(record.timestamp)
        )
    except DecodeError as error:
        return error


def shown(event: DocumentEvent | DecodeError) -> Any:
    """All there is to see of an event."""
    if isinstance(event, DecodeError):
        return str(event)
    vectors = {name: (vector.dtype.str, vector.tolist()) for name, vector in event.features.items()}
    plain = (event.type, event.namespace_id, event.collection_id, event.document_id, event.occurred_at)
    rest = (event.text, event.asset_id, event.event_id, event.occurred)
    # As text: 1, 1.0 and True are not the same value of a field.
    return plain, rest, repr(event.payload), repr(dict(event.extra)), repr(event.root()), repr(vectors), event.key


def floats(*numbers: float) -> dict[str, str]:
    return encode_vector(np.array(numbers, dtype=np.float32))


numbers = st.lists(st.floats(width=32), min_size=1, max_size=4).map(lambda row: floats(*row))
twelve = st.lists(st.floats(-4, 4, width=32), min_size=12, max_size=12).map(lambda row: floats(*row))
texts = st.text(st.sampled_from('ab/é\x00"\\\n'), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70).filter(lambda n: abs(n) < 2**63)
    | st.floats()
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
features = st.dictionaries(
    st.sampled_from(["f", "g", ""]),
    twelve | twelve | numbers | st.lists(values, max_size=2) | values | st.fixed_dictionaries({"f32": values}),
    max_size=2,
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["document.upserted", "document.deleted", "watermark", None, "x", 1]),
    "namespace_id": st.sampled_from(["n", "n", "m", "", "n/", 1, None, ["n"]]),
    "collection_id": st.sampled_from(["c", "c", "d", "", "c/", True, {}]),
    "document_id": texts | st.sampled_from([None, 7, "d" * 1_025]),
    "occurred_at": st.sampled_from(
        [
            "2024-01-01T00:00:00.000Z",
            "2024-01-01T00:00:00Z",
            "2024-01-01",
            "20240101T000000.000000Z",
            "2024-01-01T00:00:00.000+02",
            "0001-01-01T00:00:00+23:00",
            "x",
            "",
            5,
        ]
    ),
    "payload": values,
    "text": texts | values,
    "asset_id": texts | values,
    "event_id": texts | values,
    "features": features | values,
    "specversion": st.just("1.0"),
    "data": values,
    "later": values,
}


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Mostly good ones, with a few fields drawn freely."""
    raw: dict[str, Any] = {
        "namespace_id": "n",
        "collection_id": "c",
        "document_id": "d",
        "features": {"f": draw(twelve)},
    }
    for name in draw(st.lists(st.sampled_from(list(fields)), max_size=3)):
        raw[name] = draw(fields[name])
    value = orjson.dumps(raw)
    if not draw(st.integers(0, 9)):
        cut = draw(st.integers(0, len(value)))
        value = draw(
            st.sampled_from([value[:cut], value[:cut] + b"\\u0000" + value[cut:], b"[" * 70 + value, b"[]"])
        )
    key = draw(st.sampled_from([None, None, b"n/c/d", b"n/c/x"]))
    cloud = (("ce_specversion", b"1.0"), ("ce_type", b"document.upserted"), ("ce_source", b"s"), ("ce_id", b"i"))
    headers = draw(st.sampled_from([(), (), (("x-definitions-version", b"e:1"),), cloud]))
    return Record(value, key, headers, draw(st.integers(0, 2**41)))


@settings(max_examples=150)
@given(st.lists(records(), max_size=6))
@example([Record(None, b"n/c/d"), Record(None), Record(b""), Record(b"null"), Record(b'{"features":{}}')])
def test_the_same_events_and_refusals(drawn: list[Record]) -> None:
    assert list(map(shown, read_document_events(drawn))) == [shown(alone(record)) for record in drawn]


def record(number: int, **more: Any) -> Record:
    raw = {"namespace_id": "n", "collection_id": "c", "document_id": f"d{number}", **more}
    return Record(orjson.dumps(raw), f"n/c/d{number}".encode())


@pytest.mark.parametrize("dimensions", [1, 3, 12, 384, 1_024])
def test_many_vectors_and_one_that_is_not_finite(dimensions: int) -> None:
    chance = np.random.default_rng(dimensions)
    rows = chance.normal(size=(200, dimensions)).astype(np.float32)
    rows[101, -1] = np.inf
    drawn = [record(number, features={"f": encode_vector(row)}) for number, row in enumerate(rows)]
    read = read_document_events(drawn)
    assert list(map(shown, read)) == list(map(shown, map(alone, drawn)))
    assert [number for number, event in enumerate(read) if isinstance(event, DecodeError)] == [101]


@pytest.mark.parametrize(
    "text", ["AAAA" * 4 + "\n", "AAA=" * 4, "AAAA" * 3 + "AA==", "AAAé" * 4, " " * 16, "", "A" * 16]
)
def test_base64_is_as_strict_among_others(text: str) -> None:
    drawn = [record(number, features={"f": floats(1, 2, 3)}) for number in range(3)]
    for at in range(3):
        mixed = [*drawn]
        mixed[at] = record(at, features={"f": {"f32": text}})
        assert list(map(shown, read_document_events(mixed))) == [shown(alone(item)) for item in mixed]


@pytest.mark.parametrize("depth", [62, 63, 64, 65])
@pytest.mark.parametrize("place", ["payload", "later", "features"])
def test_as_deep_as_alone(place: str, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    one = record(1, **{place: {"f": {**floats(1, 2), "more": value}} if place == "features" else value})
    assert list(map(shown, read_document_events([one]))) == [shown(alone(one))]


def test_numbers_and_names_given_twice_are_as_orjson_has_them() -> None:
    ids = '"namespace_id":"n","collection_id":"c","document_id":"d"'
    drawn = [
        Record(f"{{{ids},{more}}}".encode())
        for more in (
            '"payload":{"n":18446744073709551616,"n":123456789012345678901234567890}',
            '"payload":"\\ud800","payload":1',
            '"payload":1e400',
            '"text":5,"text":"a"',
            '"text":"a","text":5',
            '"features":{"f":[1],"f":[2]},"features":{"f":{"f32":"!","f32":"AACAPw=="}}',
        )
    ]
    read = list(map(shown, read_document_events(drawn)))
    assert read == [shown(alone(item)) for item in drawn]
    assert [isinstance(item, str) for item in read] == [False, True, True, False, True, False]
