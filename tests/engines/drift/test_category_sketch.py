"""Categories: merging is exact also beyond the bound, what has no count of its own is in the rest."""

import contextlib
import random
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.drift.category_sketch import MAX_NAME, NAMED, REST, CategorySketch
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.series import kind_of, sketch_from_bytes
from streams.engines.drift.sketch import SketchError
from tests.engines.drift.laws import in_any_cut_and_order, piles

EMPTY = CategorySketch.empty()
GOLDEN_BYTES = "5457534b02000306000000000000000e0000007b2261223a322c22c3bc223a317d8101000000050003"
NAMES = st.text(max_size=5) | st.sampled_from(["a", "b", "ü", "x" * 200])


@given(st.lists(NAMES, max_size=60), st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_cut_and_order_gives_the_same_bytes(values: list[str], rng: random.Random, parts: int) -> None:
    cut = [[values[place] for place in pile] for pile in piles(len(values), parts, rng)]
    in_any_cut_and_order(EMPTY, values, cut, rng)


@pytest.mark.parametrize("seed", range(4))
def test_also_beyond_the_bound(seed: int) -> None:
    rng, dealer = np.random.default_rng(seed), random.Random(seed)
    values = [f"v{value}" for value in rng.zipf(1.2, size=3_000)]
    assert len(set(values)) > 2 * NAMED
    cut = [[values[place] for place in pile] for pile in piles(len(values), 9, dealer)]
    in_any_cut_and_order(EMPTY, values, cut, dealer)


@given(st.lists(st.sampled_from("abcdefg")))
def test_few_values_are_counted(values: list[str]) -> None:
    sketch = EMPTY.add(values)
    assert dict(sketch.named) == dict(Counter(values))
    assert sketch.count == len(values)
    assert sketch.other == 0


def test_the_rest_holds_what_has_no_count_of_its_own() -> None:
    values = [f"v{place}" for place in range(2 * NAMED)] * 3
    sketch = EMPTY.add(values)
    assert len(sketch.named) == NAMED
    assert set(sketch.named.values()) == {3}
    assert sketch.other == 3 * NAMED
    assert sketch.count == len(values)


def test_restricted_puts_both_samples_on_the_same_cells() -> None:
    many, few = EMPTY.add(f"v{place}" for place in range(2 * NAMED)), EMPTY.add(["v1", "v2", "new"])
    names = many.merge(few).named
    for sketch in (many, few):
        cells = sketch.restricted(names)
        assert cells.shape == (len(names) + REST,)
        assert cells.sum() == sketch.count
    assert sum(name in names for name in few.named) == (few.restricted(names)[: len(names)] > 0).sum()


def test_long_and_broken_values_are_told_apart() -> None:
    long = "x" * 10_000
    sketch = EMPTY.add([long, long + "y", "\ud800", "é" * MAX_NAME, "e" * MAX_NAME])
    assert len(sketch.named) == 5
    assert all(len(name) < 2 * MAX_NAME for name in sketch.named)
    assert dict(EMPTY.add([long]).merge(EMPTY.add([long])).named) == dict.fromkeys(EMPTY.add([long]).named, 2)
    assert len(sketch.to_bytes()) < 1_000


def test_golden_bytes() -> None:
    sketch = EMPTY.add(["a", "ü", "a"]).merge(CategorySketch(3, {}, np.eye(REST, dtype=np.int64)[5] * 3))
    assert kind_of(sketch) == "category"
    back = sketch_from_bytes(bytes.fromhex(GOLDEN_BYTES))
    assert isinstance(back, CategorySketch)
    assert dict(back.named) == {"a": 2, "ü": 1}
    assert back.rest[5] == back.other == 3
    assert back.to_bytes() == sketch.to_bytes()


def test_other_kinds_do_not_merge() -> None:
    with pytest.raises(SketchError, match="categories only"):
        EMPTY.merge(NumberSketch.empty())


FRAME = struct.Struct("<4sHBQ")


def bytes_of(count: int, names: bytes) -> bytes:
    """A sketch of ``count`` values with these names and nothing else."""
    tail = EMPTY.to_bytes()[FRAME.size + struct.calcsize("<I") + len(b"{}") :]
    return FRAME.pack(b"TWSK", 2, 3, count) + struct.pack("<I", len(names)) + names + tail


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NumberSketch.empty().to_bytes(), "not one of categories"),
        (EMPTY.to_bytes()[: FRAME.size], "too early"),
        (EMPTY.to_bytes()[:-1], "too early"),
        (EMPTY.to_bytes() + b"x", "counts are damaged"),
        (bytes_of(0, b"{"), "categories are damaged"),
        (bytes_of(0, b"[]"), "counts are damaged"),
        (bytes_of(1, b"{}"), "counts are damaged"),
        (bytes_of(0, b'{"a":0}'), "counts are damaged"),
        (bytes_of(1, b'{"a":true}'), "counts are damaged"),
        (bytes_of(1, b'{"a":1.0}'), "counts are damaged"),
        (bytes_of(0, b'{"a":1,"b":-1}'), "counts are damaged"),
        (FRAME.pack(b"TWSK", 2, 9, 0), "kind 9"),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, message: str) -> None:
    assert bytes_of(0, b"{}") == EMPTY.to_bytes()
    with pytest.raises(SketchError, match=message):
        (sketch_from_bytes if "kind" in message else CategorySketch.from_bytes)(data)


@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_a_sketch_that_works(data: st.DataObject) -> None:
    good = bytearray(EMPTY.add(["a", "b", "b", "ü"]).to_bytes())
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(SketchError):
        sketch = CategorySketch.from_bytes(bytes(good))
        assert sketch.merge(sketch).count == 2 * sketch.count
