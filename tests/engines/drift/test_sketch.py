"""Sketches: merging in any cut and order equals the sketch of everything; bytes round-trip or are refused."""

import contextlib
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.engines.drift.directions import AXES, CELLS, POSITIONS, axes
from streams.engines.drift.sketch import Sketch, SketchError, merge_all
from tests.engines.drift.laws import in_any_cut_and_order, piles

FIRST_AXES = [-3.0, 2.0, 4.0, -3.0, 3.0, -7.0, 1.0, -3.0]
GOLDEN_BYTES = (
    "5457534b020001020000000000000003000000000000000000f53f01040300000000004001000000"
    "00000080ff81760000000d002e003200520054006c006d0093009400a900ab00d000d100ea00ed00"
    "140116012e01300149014b01720173018c018f01b501cd01ce01f101f40111022a022b024d026e02"
    "72028e028f02ab02ad02cf02d302ea02ec0209030a032d032e034e0350036e036f0390039103b303"
    "b603c403c503ef03f0030f0413042b042c044c046d0470048f049004b104b204c704f004f2040f05"
    "10053105330553055505730596059705af05cd05ce05ec05f1050b060e062f0631064c064d066c06"
    "6d068c068d06b306b506d206d306f506f8060a070c0730073107500772078f079207b007b307cd07"
    "ce07e907ea0702010101010101010101010101010101010101010101010101020101010102010102"
    "01010101010101010101010101010101010101010101010101010101010102010101010101020101"
    "01010101010102010102010101010101010101010101010101010101010101010101020201010101"
    "01010101"
)
VECTORS = st.tuples(st.integers(1, 40), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e3, 1e3, width=32))
)


@given(VECTORS, st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_cut_and_order_gives_the_same_bytes(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]], rng: random.Random, parts: int
) -> None:
    cut = [vectors[pile] for pile in piles(len(vectors), parts, rng)]
    in_any_cut_and_order(Sketch.empty(vectors.shape[1]), vectors, cut, rng)


@pytest.mark.parametrize("dimensions", [3, 384, 1024])
def test_also_of_many_vectors(dimensions: int) -> None:
    """Where products of matrices are cut into blocks that depend on their size."""
    rng, dealer = np.random.default_rng(dimensions), random.Random(dimensions)
    vectors = rng.normal(size=(700, dimensions)).astype(np.float32)
    vectors[5] = 0
    in_any_cut_and_order(
        Sketch.empty(dimensions), vectors, [vectors[pile] for pile in piles(len(vectors), 9, dealer)], dealer
    )


@given(VECTORS)
def test_a_sketch_holds_what_its_definition_says(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    rows = vectors.astype(np.float64)
    sketch = Sketch.empty(vectors.shape[1]).add(vectors)
    assert sketch.count == len(rows)
    assert np.allclose(sketch.total, np.add.reduce(rows), atol=len(rows) * 2**-25)
    assert np.isclose(sketch.squares, float((rows**2).sum()), rtol=1e-6, atol=rows.size * 2**-25)


@pytest.mark.parametrize("dimensions", [2, 384, 1024])
def test_views_of_a_direction_are_about_standard_normal(dimensions: int) -> None:
    """The histograms of one vector per axis, over random vectors: mean 0, deviation 1, whatever the length."""
    vectors = 7 * np.random.default_rng(dimensions).normal(size=(2_000, dimensions))
    cells = Sketch.empty(dimensions).add(vectors).cells.reshape(AXES, CELLS)
    share = cells.sum(axis=0) / cells.sum()
    mean = share @ POSITIONS
    assert abs(mean) < 0.05
    assert abs(share @ (POSITIONS - mean) ** 2 - 1) < 0.1


def test_the_axes_are_the_same_for_ever() -> None:
    found = axes(384)
    assert found.shape == (384, AXES)
    assert found[0, :8].tolist() == FIRST_AXES
    assert abs(float(found.mean())) < 0.1
    assert abs(float(found.std()) - 4) < 0.1


def test_golden_bytes() -> None:
    sketch = Sketch.empty(3).add(np.array([[1.0, 0.0, -0.5], [0.25, 0.0, 0.0]]))
    back = Sketch.from_bytes(bytes.fromhex(GOLDEN_BYTES))
    assert back.to_bytes() == sketch.to_bytes()
    assert back.total.tolist() == [1.25, 0.0, -0.5]
    assert back.squares == 1.3125


def test_sums_beyond_what_is_exact_still_round_trip() -> None:
    sketch = Sketch.empty(2).add(np.array([[1e30, -3.0]], dtype=np.float32))
    back = Sketch.from_bytes(sketch.to_bytes())
    assert np.array_equal(back.total, sketch.total)
    assert back.squares == sketch.squares


def test_vectors_that_are_not_finite_are_refused() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(SketchError, match="finite vectors"):
            Sketch.empty(2).add(np.array([[1.0, value]]))


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(SketchError):
        Sketch.from_bytes(data)


@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_a_sketch_of_the_same_size(data: st.DataObject) -> None:
    good = bytearray(Sketch.empty(3).add(np.ones((2, 3))).to_bytes())
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(SketchError):
        assert Sketch.from_bytes(bytes(good)).dimensions == 3


EMPTY = Sketch.empty(2).to_bytes()
FRAME = struct.Struct("<4sHBQ")
BODY = FRAME.size + struct.calcsize("<IdB")


def changed(at: int, form: str, value: float) -> bytes:
    """The empty sketch with one field replaced."""
    data = bytearray(EMPTY)
    struct.pack_into(form, data, at, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a sketch"),
        (b"JSON" + bytes(40), "not a sketch"),
        (changed(4, "<H", 1), "version 1, this program reads version 2"),
        (changed(6, "<B", 2), "not one of embeddings"),
        (changed(7, "<Q", 2**63), "header"),
        (changed(7, "<Q", 1), "histogram"),
        (changed(FRAME.size, "<I", 0), "header"),
        (changed(FRAME.size, "<I", 16_001), "header"),
        (changed(FRAME.size + 4, "<d", float("nan")), "header"),
        (changed(FRAME.size + 4, "<d", -1.0), "header"),
        (changed(BODY, "<B", 3), "numbers are damaged"),
        (changed(BODY, "<B", 0x01), "numbers are damaged or not 2"),
        (changed(BODY + 1, "<I", 3), "numbers are damaged or not 2"),
        (EMPTY[: BODY + 2], "too early"),
        (EMPTY[: FRAME.size], "too early"),
        (EMPTY[:BODY], "too early"),
        (EMPTY[:-1], "too early"),
        (EMPTY + b"x", "histogram"),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(SketchError, match=message):
        Sketch.from_bytes(data)


def test_different_dimensions_do_not_mix() -> None:
    with pytest.raises(SketchError):
        Sketch.empty(2).merge(Sketch.empty(3))
    with pytest.raises(SketchError):
        Sketch.empty(2).add(np.zeros((1, 3)))
    with pytest.raises(SketchError):
        Sketch.empty(2).add(np.zeros(2))
    with pytest.raises(SketchError):
        Sketch.empty(0)


def test_merge_all_of_nothing_is_none() -> None:
    assert merge_all([]) is None
    merged = merge_all(Sketch.empty(2).add(np.eye(2)) for _ in range(3))
    assert merged is not None
    assert merged.count == 6
    assert merged.total.tolist() == [3.0, 3.0]


def test_a_sparse_sum_is_small() -> None:
    few = np.zeros((3, 1024), dtype=np.float32)
    few[:, [5, 70, 900]] = 0.57735
    assert len(Sketch.empty(1024).add(few).to_bytes()) < 600
