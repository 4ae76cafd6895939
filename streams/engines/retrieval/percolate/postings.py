"""Postings: key → values, both small integers, looked up for many keys at once."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.percolate.growing import GrowingArray, Integers

_RECENT: Final = 1_024
_SHARE: Final = 8


class Postings:
    """A multimap in compressed rows, with what was added since the last compression beside them.

    One addition costs no rebuild: recent pairs are looked up in a small map of their own until they are more
    than a share of all.
    """

    def __init__(self) -> None:
        self._keys = GrowingArray()
        self._values = GrowingArray()
        self._starts: Integers = np.zeros(2, dtype=np.int32)
        """Where the row of each key begins and the one before ends in ``_rows``; the last row is empty."""
        self._rows: Integers = np.zeros(0, dtype=np.int32)
        self._recent: dict[int, list[int]] = {}
        """What came after the rows were made."""
        self._seen = 0
        self._has_recent: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    @classmethod
    def of(cls, keys: Integers, values: Integers) -> "Postings":
        """A multimap of these pairs to begin with."""
        made = cls()
        made._keys, made._values = GrowingArray.of(keys), GrowingArray.of(values)
        return made

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def pairs(self) -> tuple[Integers, Integers]:
        """All keys, and their values; not to be written to."""
        return self._keys.values, self._values.values

    def add(self, key: int, value: int) -> None:
        """Add a pair."""
        self._keys.append(key)
        self._values.append(value)

    def gather(self, keys: Integers) -> tuple[Integers, Integers]:
        """For every value of every key: the key's position in ``keys``, ascending, and the value."""
        if self._seen < len(self):
            self._take_in()
        positions, values = self._compressed(keys)
        if not self._recent:
            return positions, values
        more = [
            (position, value)
            for position in np.flatnonzero(self._has_recent[np.minimum(keys, len(self._has_recent) - 1)]).tolist()
            for value in self._recent.get(int(keys[position]), ())
        ]
        if not more:
            return positions, values
        extra = np.array(more, dtype=np.int32)
        positions, values = np.concatenate([positions, extra[:, 0]]), np.concatenate([values, extra[:, 1]])
        order = np.argsort(positions, kind="stable")
        return positions[order], values[order]

    def _compressed(self, keys: Integers) -> tuple[Integers, Integers]:
        # The last row is empty: it stands for every key beyond.
        bounded = np.minimum(keys, len(self._starts) - 2)
        starts = self._starts[bounded]
        counts = self._starts[bounded + 1] - starts
        positions = np.repeat(np.arange(len(keys), dtype=np.int32), counts)
        shifts = starts + counts - np.cumsum(counts, dtype=np.int32)
        return positions, self._rows[np.arange(len(positions), dtype=np.int32) + shifts[positions]]

    def _take_in(self) -> None:
        keys, values = self._keys.values, self._values.values
        if len(keys) - len(self._rows) > max(_RECENT, len(self._rows) // _SHARE):
            self._rows = values[np.argsort(keys, kind="stable")]
            counts = np.bincount(keys, minlength=int(keys.max()) + 2)
            self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
            self._recent = {}
        else:
            for key, value in zip(keys[self._seen :].tolist(), values[self._seen :].tolist(), strict=True):
                self._recent.setdefault(key, []).append(value)
            # The last place stays false: it stands for every key beyond.
            self._has_recent = np.zeros(max(self._recent) + 2, dtype=np.bool_)
            self._has_recent[list(self._recent)] = True
        self._seen = len(keys)
