"""Packed integers: any come back, in few bytes, and damaged ones are refused."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from streams.engines.drift.codec import SketchError, pack_integers, unpack_integers

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200) | st.just(0)


@given(arrays(np.int64, st.integers(0, 300), elements=INTEGERS, fill=st.just(0)), st.binary(max_size=3))
def test_round_trip(values: NDArray[np.int64], after: bytes) -> None:
    back, rest = unpack_integers(memoryview(pack_integers(values) + after), len(values))
    assert back.dtype == np.int64
    assert np.array_equal(back, values)
    assert bytes(rest) == after


def test_small_and_rare_integers_take_few_bytes() -> None:
    assert len(pack_integers(np.full(2048, 100))) == 2048 + 5
    rare = np.zeros(16_000, dtype=np.int64)
    rare[[0, 15_999]] = -(2**40)
    assert len(pack_integers(rare)) == 5 + 2 * (2 + 8)


@pytest.mark.parametrize(
    ("code", "held", "body"),
    [
        (3, 4, bytes(12)),
        (0, 4, bytes(4)),
        (1, 3, bytes(3)),
        (1, 4, bytes(3)),
        (0x81, 5, bytes(15)),
        (0x81, 2, struct.pack("<HHbb", 1, 1, 1, 1)),
        (0x81, 2, struct.pack("<HHbb", 2, 1, 1, 1)),
        (0x81, 1, struct.pack("<Hb", 4, 1)),
        (0x81, 1, struct.pack("<H", 3)),
    ],
)
def test_damage_is_refused(code: int, held: int, body: bytes) -> None:
    with pytest.raises(SketchError, match="damaged"):
        unpack_integers(memoryview(struct.pack("<BI", code, held) + body), 4)


@given(st.binary(max_size=60), st.integers(0, 20))
def test_any_bytes_give_integers_or_are_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(SketchError):
        assert len(unpack_integers(memoryview(data), count)[0]) == count
