"""What a value of a field meets, as a unit that is found once and used for every document with the value."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from streams.engines.retrieval.percolate.growing import Integers

NOTHING: Final[Integers] = np.zeros(0, dtype=np.int32)


class Cell:
    """Requirements by number, and what they lead to once ``Conjunctions.prepare`` has looked."""

    __slots__ = ("candidates", "numbers", "places", "prepared")

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.prepared = False
        self.candidates: Integers = NOTHING
        """Conjunctions found through the requirements."""
        self.places: Integers = NOTHING
        """Where the requirements are marked in the table of what documents meet."""


EMPTY: Final = Cell(())
EMPTY.prepared = True
