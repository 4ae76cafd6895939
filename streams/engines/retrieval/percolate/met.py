"""What values meet, found once and used for every document that has the value."""

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from streams.engines.retrieval.percolate.growing import Integers

NOTHING: Final = 0
"""The code of meeting nothing."""
_MOST: Final = 1 << 22
"""Numbers that are kept, 16 MB."""


class Met:
    """Lists of requirements by number, each known by a small number of its own, its *code*."""

    def __init__(self) -> None:
        self._numbers = array("i")
        self._ends = array("i", (0, 0))
        """Where the list of each code begins; it ends where the next begins."""

    def code(self, numbers: Sequence[int]) -> int:
        """A code for a list of requirements."""
        if not numbers:
            return NOTHING
        self._numbers.extend(numbers)
        self._ends.append(len(self._numbers))
        return len(self._ends) - 2

    @property
    def full(self) -> bool:
        """Whether it is time for :meth:`clear`."""
        return len(self._numbers) > _MOST

    def clear(self) -> None:
        """Forget all lists; codes given before mean nothing from now on."""
        del self._numbers[:], self._ends[2:]

    def numbers(self, codes: Integers, whose: Integers) -> tuple[Integers, Integers]:
        """All requirements of many codes, and for each the ``whose`` of its code."""
        # The views must be gone before another list is added.
        ends = np.frombuffer(self._ends, dtype=np.int32)
        first = ends[codes]
        counts = ends[codes + 1] - first
        total = np.cumsum(counts, dtype=np.int32)
        if not len(total) or not total[-1]:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        places = np.repeat(first - total + counts, counts)
        places += np.arange(total[-1], dtype=np.int32)
        return np.frombuffer(self._numbers, dtype=np.int32)[places], np.repeat(whose, counts)
