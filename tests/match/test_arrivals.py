"""Records read in chunks are what they are when read one by one."""

import re
from typing import Any

import numpy as np
import orjson
import pytest
from aiokafka import ConsumerRecord

from schemas.errors import DecodeError
from schemas.events.document import decode_document_event, encode_vector
from schemas.headers import CAUSED_BY
from schemas.times import from_millis
from streams.match.arrivals import read_arrivals

MILLIS = 1_714_521_600_123


def record(offset: int, headers: tuple[tuple[str, bytes], ...] = (), **fields: Any) -> ConsumerRecord:
    raw = {"namespace_id": "n", "collection_id": "c", "document_id": f"d{offset}", **fields}
    value = orjson.dumps(raw)
    key = f"n/c/d{offset}".encode()
    return ConsumerRecord("documents", 1, offset, MILLIS, 0, key, value, None, len(key), len(value), headers)


def vector(*numbers: float) -> dict[str, str]:
    return encode_vector(np.array(numbers, dtype=np.float32))


GOOD = [
    record(0, features={"f": vector(1, 2)}),
    record(1, text="a", occurred_at="2024-01-01T00:00:00.000Z", features={"f": vector(3), "g": [1, 2.5]}),
    record(2, payload={"a": [1]}, later={"x": 1}),
    record(3, ((CAUSED_BY, b"alt_a,trig_b"),), occurred_at="2024-01-01T00:00:00+02:00", event_id="e"),
]
BAD = [
    record(10, features={"f": vector(1, float("nan"))}),
    record(11, features={"f": vector(1), "g": vector(float("inf"))}),
    record(12, features={"f": {"f32": "!"}}),
    record(13, text=5),
    record(14, ((CAUSED_BY, b"a,b,c,d,e"),)),
    record(15, features={"f": [1e39]}),
]


def alone(item: ConsumerRecord) -> Any:
    return decode_document_event(item.key, item.value, item.headers, appended_at=from_millis(item.timestamp))


@pytest.mark.parametrize("bad", [[], BAD[:1], BAD[1:2], BAD[2:], BAD])
def test_a_chunk_is_read_as_its_records_are(bad: list[ConsumerRecord]) -> None:
    arrivals, refused = read_arrivals([GOOD[0], *bad, *GOOD[1:]])
    assert [item.offset for item in arrivals] == [0, 1, 2, 3]
    assert sorted(item.offset for item, _ in refused) == [item.offset for item in bad]
    for arrival, item in zip(arrivals, GOOD, strict=True):
        event = alone(item)
        for name in ("type", "document_id", "occurred_at", "payload", "text", "event_id", "extra"):
            assert getattr(arrival.event, name) == getattr(event, name)
        assert {name: v.tolist() for name, v in arrival.event.features.items()} == {
            name: v.tolist() for name, v in event.features.items()
        }
        assert arrival.event.root() == event.root()
        assert arrival.appended_at == from_millis(MILLIS)
    assert arrivals[3].causes == ("alt_a", "trig_b")
    for item, error in refused:
        if item.offset != 14:
            with pytest.raises(DecodeError, match=re.escape(str(error))):
                alone(item)
