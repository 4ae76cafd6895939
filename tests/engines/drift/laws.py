"""What every kind of sketch promises, checked to the bit by its bytes."""

import random
from collections.abc import Sequence
from typing import Any

from streams.engines.drift.series import AnySketch, sketch_from_bytes
from streams.engines.drift.sketch import merge_all


def in_any_cut_and_order(empty: AnySketch, values: Any, parts: Sequence[Any], rng: random.Random) -> None:
    """``parts`` hold the same values as ``values``, in another cut and order."""
    whole = empty.add(values).to_bytes()
    sketches = [empty.add(part) for part in parts]
    # Stations keep sketches as bytes between any two merges.
    sketches = [sketch_from_bytes(sketch.to_bytes()) for sketch in sketches]
    assert_same(merge_all(sketches), whole)
    one_by_one = empty
    for part in parts:
        one_by_one = one_by_one.add(part)
    assert_same(one_by_one, whole)
    while len(sketches) > 1:
        one = sketches.pop(rng.randrange(len(sketches)))
        sketches.append(sketches.pop(rng.randrange(len(sketches))).merge(one))
    assert_same(sketches[0].merge(empty), whole)
    assert_same(empty.merge(sketches[0]), whole)


def assert_same(sketch: AnySketch | None, data: bytes) -> None:
    """A sketch has exactly these bytes, and they read back as it."""
    assert sketch is not None
    assert sketch.to_bytes() == data
    back = sketch_from_bytes(data)
    assert back.to_bytes() == data
    assert back.count == sketch.count


def piles(count: int, parts: int, rng: random.Random) -> list[list[int]]:
    """The places 0 to ``count`` dealt to ``parts`` piles, some of which may be empty, in any order."""
    dealt: list[list[int]] = [[] for _ in range(parts)]
    for place in range(count):
        rng.choice(dealt).append(place)
    for pile in dealt:
        rng.shuffle(pile)
    return dealt
