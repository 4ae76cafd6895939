"""A list of integers that is appended to one by one and read as an array."""

from array import array

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]


class GrowingArray:
    """Integers of 32 bits, shape ``(n,)``. Appending is cheap; reading copies once after additions."""

    __slots__ = ("_items", "_read")

    def __init__(self) -> None:
        self._items = array("i")
        self._read: Integers = np.zeros(0, dtype=np.int32)

    @classmethod
    def of(cls, values: Integers) -> "GrowingArray":
        """A list of these to begin with."""
        made = cls()
        made._items.frombytes(np.ascontiguousarray(values, dtype=np.int32).tobytes())
        return made

    def __len__(self) -> int:
        return len(self._items)

    def append(self, value: int) -> None:
        """Add one at the end."""
        self._items.append(value)

    def extend(self, values: list[int]) -> None:
        """Add several at the end."""
        self._items.extend(values)

    @property
    def values(self) -> Integers:
        """All of them, in order; not to be written to."""
        if len(self._read) != len(self._items):
            self._read = np.array(self._items, dtype=np.int32)
        return self._read
