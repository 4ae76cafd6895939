"""A mergeable sketch of categories: how often each value came, for a bounded number of values.

Up to :data:`NAMED` distinct values have a count of their own. Beyond that, the values with the smallest hashes
keep theirs and the rest is counted together in :data:`REST` cells, by hash: which value is kept depends only on
the values, never on the order or on the cut in which they came (a value that is kept in the whole was kept in
every part), so merging is associative and commutative to the bit, which "the most frequent so far" is not. A
frequent value that is not kept still moves its cell, so a change of it is not hidden.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from streams.engines.drift.codec import SketchError, frame, pack_integers, read_frame, unpack_integers
from streams.engines.drift.sketch import SeriesSketch

CATEGORY: Final = 3
"""The kind of a category series' sketch in its bytes."""
NAMED: Final = 32
"""Most values with a count of their own."""
REST: Final = 256
"""Cells in which all other values are counted."""
MAX_NAME: Final = 128
"""Characters of a value that are kept; longer ones are cut and told apart by a hash of the whole."""

_HEADER: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class CategorySketch:
    """What is kept of ``count`` values."""

    count: int
    named: Mapping[str, int]
    """How often each value with a count of its own came."""
    rest: NDArray[np.int64]
    """How often any of the others came, by hash, shape ``(REST,)``."""

    @classmethod
    def empty(cls) -> "CategorySketch":
        """The sketch of no values."""
        return cls(0, {}, np.zeros(REST, dtype=np.int64))

    def emptied(self) -> "CategorySketch":
        """The sketch of no values."""
        return CategorySketch.empty()

    @property
    def other(self) -> int:
        """How many of the ``count`` values have no count of their own."""
        return int(self.rest.sum())

    def add(self, values: Iterable[str]) -> "CategorySketch":
        """This sketch with ``values``."""
        found = Counter(map(_name, values))
        return _kept(Counter(self.named) + found, self.rest) if found else self

    def merge(self, *others: SeriesSketch) -> "CategorySketch":
        """The sketch of the values of all."""
        names, counts, rest = list(self.named), list(self.named.values()), self.rest.copy()
        for other in others:
            if not isinstance(other, CategorySketch):
                raise SketchError("a sketch of categories merges with categories only")
            names.extend(other.named)
            counts.extend(other.named.values())
            rest += other.rest
        distinct = dict.fromkeys(names)
        numbers = dict(zip(distinct, range(len(distinct)), strict=True))
        places = np.fromiter(map(numbers.__getitem__, names), dtype=np.intp, count=len(names))
        sums = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(sums, places, np.array(counts, dtype=np.int64))
        return _kept(dict(zip(distinct, sums.tolist(), strict=True)), rest)

    def restricted(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The counts of ``names`` in their order, then the cells of all others: shape ``(names + REST,)``."""
        left = dict(self.named)
        own = np.array([left.pop(name, 0) for name in names], dtype=np.int64)
        return np.concatenate([own, _folded(left, self.rest)])

    def to_bytes(self) -> bytes:
        """A compact, versioned form."""
        names = orjson.dumps(self.named, option=orjson.OPT_SORT_KEYS)
        return frame(CATEGORY, self.count) + _HEADER.pack(len(names)) + names + pack_integers(self.rest)

    @classmethod
    def from_bytes(cls, data: bytes) -> "CategorySketch":
        """Read :meth:`to_bytes`. Raises :class:`SketchError` saying what is wrong with the bytes."""
        kind, count, body = read_frame(data)
        if kind != CATEGORY:
            raise SketchError("the sketch is not one of categories")
        if len(body) < _HEADER.size:
            raise SketchError("the sketch ends too early")
        (length,) = _HEADER.unpack_from(body)
        try:
            named = orjson.loads(body[_HEADER.size : _HEADER.size + length])
        except orjson.JSONDecodeError as error:
            raise SketchError(f"the sketch's categories are damaged: {error}") from error
        rest, body = unpack_integers(body[_HEADER.size + length :], REST)
        if body or not _sound(named, rest) or sum(named.values()) + int(rest.sum()) != count:
            raise SketchError("the sketch's counts are damaged")
        return cls(count, named, rest)


def _sound(named: Any, rest: NDArray[np.int64]) -> bool:
    return (
        isinstance(named, dict)
        and len(named) <= NAMED
        and set(map(type, named.values())) <= {int}
        and min(named.values(), default=1) > 0
        and bool(rest.min() >= 0)
    )


def _name(value: str) -> str:
    """The value as it is kept: characters that are none are replaced, a long one is cut."""
    if len(value) <= MAX_NAME and value.isascii():
        return value
    whole = value.encode("utf-8", "replace")
    clear = whole.decode()
    return clear if len(clear) <= MAX_NAME else f"{clear[:MAX_NAME]}…{blake2b(whole, digest_size=8).hexdigest()}"


@lru_cache(maxsize=65_536)
def _rank(name: str) -> tuple[int, str]:
    """Hash and name: the name settles the order of two equal hashes, so that it is the same everywhere."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()), name


def _folded(names: Mapping[str, int], rest: NDArray[np.int64]) -> NDArray[np.int64]:
    """``rest`` with ``names`` counted into their cells."""
    cells = [_rank(name)[0] % REST for name in names]
    folded = rest.copy()
    np.add.at(folded, np.array(cells, dtype=np.intp), np.array(list(names.values()), dtype=np.int64))
    return folded


def _kept(named: dict[str, int], rest: NDArray[np.int64]) -> CategorySketch:
    count = sum(named.values()) + int(rest.sum())
    if len(named) > NAMED:
        order = sorted(named, key=_rank)
        rest = _folded({name: named[name] for name in order[NAMED:]}, rest)
        named = {name: named[name] for name in order[:NAMED]}
    return CategorySketch(count, named, rest)
