"""An array of integers that grows at its end."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]


class GrowingArray:
    """Integers, shape ``(n,)``; appending is amortised constant time."""

    __slots__ = ("_count", "_room")

    def __init__(self) -> None:
        self._room: Integers = np.zeros(16, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, values: Sequence[int]) -> None:
        """Add values at the end."""
        end = self._count + len(values)
        if end > len(self._room):
            room = np.zeros(max(end, 2 * len(self._room)), dtype=np.int32)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : end] = values
        self._count = end

    @property
    def values(self) -> Integers:
        """All of them, in order: a view, which the next addition may leave behind."""
        return self._room[: self._count]
