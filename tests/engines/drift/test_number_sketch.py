"""Numbers: merging is exact in any cut and order, cells are as fine as fits, bytes round-trip or are refused."""

import contextlib
import random
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.engines.drift.number_sketch import CELLS, NumberSketch
from streams.engines.drift.series import kind_of, sketch_from_bytes
from streams.engines.drift.sketch import Sketch, SketchError
from tests.engines.drift.laws import in_any_cut_and_order, piles

EMPTY = NumberSketch.empty()
LARGEST = sys.float_info.max
FINITE = st.floats(allow_nan=False, allow_infinity=False)
GOLDEN_BYTES = (
    "5457534b020002060000000000000000050000000805000000ffffffffffffe3bfffffffffffff07"
    "c0000000000000000000000000000004409c7500883ce4377e01050000000101010201"
)


@given(st.lists(FINITE, max_size=80), st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_cut_and_order_gives_the_same_bytes(values: list[float], rng: random.Random, parts: int) -> None:
    cut = [[values[place] for place in pile] for pile in piles(len(values), parts, rng)]
    in_any_cut_and_order(EMPTY, values, cut, rng)


@pytest.mark.parametrize("seed", range(6))
def test_also_beyond_what_it_tells_apart(seed: int) -> None:
    rng, dealer = np.random.default_rng(seed), random.Random(seed)
    values = np.concatenate([rng.normal(size=3 * CELLS), rng.lognormal(3, 2, size=CELLS), np.zeros(50)])
    in_any_cut_and_order(EMPTY, values, [values[pile] for pile in piles(len(values), 9, dealer)], dealer)


def reference(values: NDArray[np.float64]) -> dict[float, int]:
    """How often each number comes."""
    found, counts = np.unique(values + 0.0, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


@given(st.lists(FINITE | st.sampled_from([0.0, -0.0, 5e-324, LARGEST, -LARGEST]), min_size=1, max_size=60))
def test_few_numbers_are_kept_as_they_are(values: list[float]) -> None:
    sketch = EMPTY.add(values)
    assert sketch.level == 0
    assert dict(zip(sketch.middles.tolist(), sketch.counts.tolist(), strict=True)) == reference(np.array(values))


@pytest.mark.parametrize(
    ("values", "off"),
    [
        (np.random.default_rng(1).normal(1e6, 0.01, size=20_000), 0.001),
        (np.random.default_rng(2).lognormal(0, 3, size=20_000), 0.06),
        (np.linspace(-1, 1, 20_001), 0.04),
        (np.array([-LARGEST, LARGEST] * 600) * np.linspace(0.1, 1, 1_200), 0.01),
    ],
)
def test_quantiles_of_many_numbers_are_close(values: NDArray[np.float64], off: float) -> None:
    """``off`` is relative to the interquartile range, or to the number itself where that is larger."""
    sketch = EMPTY.add(values)
    assert CELLS / 2 - 2 <= len(sketch.keys) <= CELLS
    assert np.isfinite(sketch.middles).all()
    assert (np.diff(sketch.middles) > 0).all()
    spread = float(np.quantile(values / 2, 0.75) - np.quantile(values / 2, 0.25)) * 2
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        place = int(np.searchsorted(sketch.counts.cumsum(), share * sketch.count))
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert abs(sketch.middles[place] / 2 - exact / 2) <= off * max(min(spread, LARGEST), abs(exact))


def test_what_is_no_list_of_finite_numbers_is_refused() -> None:
    for values in ([float("nan")], [float("inf")], [[1.0]]):
        with pytest.raises(SketchError, match="finite numbers"):
            EMPTY.add(values)  # type: ignore[arg-type]
    with pytest.raises(SketchError, match="numbers only"):
        EMPTY.merge(Sketch.empty(2))


def test_golden_bytes() -> None:
    sketch = EMPTY.add([-1.5, 0.0, 2.5, 2.5, 1e300, -7.0])
    assert kind_of(sketch) == "number"
    back = sketch_from_bytes(bytes.fromhex(GOLDEN_BYTES))
    assert isinstance(back, NumberSketch)
    assert back.middles.tolist() == [-7.0, -1.5, 0.0, 2.5, 1e300]
    assert back.counts.tolist() == [1, 1, 1, 2, 1]
    assert sketch.to_bytes().hex() == GOLDEN_BYTES


FRAME = struct.Struct("<4sHBQ")


def changed(at: int, form: str, value: float) -> bytes:
    """Two numbers' sketch with one field replaced."""
    data = bytearray(EMPTY.add([1.0, 2.0]).to_bytes())
    struct.pack_into(form, data, at, value)
    return bytes(data)


KEYS = FRAME.size + struct.calcsize("<BI") + struct.calcsize("<BI")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(6, "<B", 1), "not one of numbers"),
        (changed(7, "<Q", 3), "cells are damaged"),
        (changed(FRAME.size, "<B", 63), "header"),
        (changed(FRAME.size + 1, "<I", CELLS + 1), "header"),
        (changed(FRAME.size + 1, "<I", 3), "or not 3"),
        (changed(KEYS + 8, "<q", 0), "cells are damaged"),
        (changed(KEYS + 8, "<q", -1), "cells are damaged"),
        (changed(KEYS + 8, "<q", 0x7FF0 << 48), "not finite"),
        (changed(KEYS, "<q", -0x7FF1 << 48), "not finite"),
        (changed(FRAME.size, "<B", 9), "not finite"),
        (EMPTY.to_bytes()[: FRAME.size], "too early"),
        (EMPTY.to_bytes() + b"x", "cells are damaged"),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(SketchError, match=message):
        NumberSketch.from_bytes(data)


@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_a_sketch_that_works(data: st.DataObject) -> None:
    good = bytearray(EMPTY.add([1.0, -2.5, 3e9]).to_bytes())
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(SketchError):
        sketch = NumberSketch.from_bytes(bytes(good))
        assert np.isfinite(sketch.middles).all()
        assert sketch.merge(sketch).count == 2 * sketch.count
