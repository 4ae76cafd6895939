"""Sketches: merging in any cut and order equals the sketch of everything; bytes round-trip or are refused."""

import contextlib
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.engines.drift.sketch import Sketch, SketchError, merge_all

VECTORS = st.tuples(st.integers(1, 40), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e3, 1e3, width=32))
)


def same(one: Sketch, other: Sketch) -> bool:
    scale = 1e-9 * (1.0 + one.squares)
    return (
        one.count == other.count
        and np.allclose(one.total, other.total, rtol=1e-12, atol=1e-6 * 1e-6 + scale)
        and abs(one.squares - other.squares) <= scale
    )


@given(VECTORS, st.randoms(use_true_random=False), st.integers(1, 6))
def test_merging_any_partition_in_any_order_is_the_sketch_of_all(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]], rng: random.Random, parts: int
) -> None:
    dimensions = vectors.shape[1]
    piles: list[list[int]] = [[] for _ in range(parts)]
    for row in range(len(vectors)):
        rng.choice(piles).append(row)
    sketches = [Sketch.empty(dimensions).add(vectors[pile]) for pile in piles]
    rng.shuffle(sketches)
    while len(sketches) > 1:
        one = sketches.pop(rng.randrange(len(sketches)))
        sketches.append(sketches.pop(rng.randrange(len(sketches))).merge(one))
    assert same(sketches[0], Sketch.empty(dimensions).add(vectors))


@given(VECTORS)
def test_a_sketch_holds_what_its_definition_says(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    rows = vectors.astype(np.float64)
    sketch = Sketch.empty(vectors.shape[1]).add(vectors)
    assert sketch.count == len(rows)
    assert np.allclose(sketch.total, np.add.reduce(rows), atol=len(rows) * 2**-25)
    assert np.isclose(sketch.squares, float((rows**2).sum()), rtol=1e-6, atol=rows.size * 2**-25)


@given(VECTORS)
def test_bytes_round_trip(vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    sketch = Sketch.empty(vectors.shape[1]).add(vectors)
    back = Sketch.from_bytes(sketch.to_bytes())
    assert (back.count, back.squares) == (sketch.count, sketch.squares)
    assert np.array_equal(back.total, sketch.total)


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
        (changed(FRAME.size, "<I", 3), "numbers are not 3"),
        (changed(FRAME.size + 4, "<d", float("nan")), "header"),
        (changed(FRAME.size + 4, "<d", -1.0), "header"),
        (changed(BODY, "<B", 3), "numbers are damaged"),
        (changed(BODY, "<B", 0x81), "numbers are damaged"),
        (EMPTY[: FRAME.size], "too early"),
        (EMPTY[:BODY], "too early"),
        (EMPTY[:-1], "numbers are damaged"),
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
