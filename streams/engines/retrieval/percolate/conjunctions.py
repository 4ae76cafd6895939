"""Which conjunctions hold, given the requirements that documents meet: for a batch at once, in whole arrays.

Each conjunction is found through one of its positive requirements, its *witness*, the one that documents meet
least often; the others are then looked up. What the documents of a batch meet lies in a table of documents by
requirements, so a look-up is one read. The work is that of the requirements met and the candidates found,
however many conjunctions there are. Conjunctions with one witness get numbers in a row, so that candidates that
come together are read from memory together, where the arrays are larger than any cache. Compare F. Fabret et al.,
"Filtering algorithms and implementation for very fast publish/subscribe systems", SIGMOD 2001.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.percolate.growing import GrowingArray, Integers
from streams.engines.retrieval.percolate.postings import Postings

MAX_DOCUMENTS: Final = 512
"""Of a batch: fewer cost more for each, in calls on short arrays."""
_CELLS: Final = 1 << 24
"""The table has at most about this many cells: batches are smaller when very many requirements are looked up."""
_FEWEST: Final = 16
_UNSETTLED: Final = 1_024
_SHARE: Final = 8
"""One of so many conjunctions may be new before all are put in order again."""
_COLUMNS: Final = 3
_TRUE: Final = 1
"""The literal that always holds: place 0, which no document marks, negated."""


class Conjunctions:
    """Conjunctions of numbered requirements, each with an owner."""

    def __init__(self) -> None:
        self._found_by = Postings()
        """Requirement → conjunctions it is the witness of."""
        self._unwitnessed = GrowingArray()
        """Conjunctions of negated requirements only."""
        self._settled = 0
        """How many conjunctions there were when they were last put in order."""
        self._owners = GrowingArray()
        self._columns = tuple(GrowingArray() for _ in range(_COLUMNS))
        """Per conjunction its first literals besides the witness. A literal is twice the place of a requirement
        in the table, plus one for a negated one."""
        self._ends = GrowingArray()
        """Per conjunction where those beyond end in ``_further``; they begin where the last ones end."""
        self._further = GrowingArray()
        self._most = 0
        """The greatest number of literals besides the witness."""
        self._places: Integers = np.full(16, -1, dtype=np.int32)
        """Requirement → its place in the table, -1 for one that is never looked up; the last stays -1 and stands
        for every requirement beyond."""
        self._width = 1
        self._table: NDArray[np.int8] = np.zeros(0, dtype=np.int8)

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, literals: Sequence[tuple[int, bool]], owner: int) -> None:
        """Add a conjunction: requirements and whether each is negated, the witness first."""
        number = len(self._owners)
        self._owners.append(owner)
        if literals and not literals[0][1]:
            self._found_by.add(literals[0][0], number)
            literals = literals[1:]
        else:
            self._unwitnessed.append(number)
        coded = [2 * self._place(requirement) + negated for requirement, negated in literals]
        for at, column in enumerate(self._columns):
            column.append(coded[at] if at < len(coded) else _TRUE)
        self._further.extend(coded[_COLUMNS:])
        self._ends.append(len(self._further))
        self._most = max(self._most, len(coded))

    def _place(self, requirement: int) -> int:
        if requirement >= len(self._places) - 1:
            places = np.full(2 * requirement + 2, -1, dtype=np.int32)
            places[: len(self._places)] = self._places
            self._places = places
        place = int(self._places[requirement])
        if place < 0:
            place = self._places[requirement] = self._width
            self._width += 1
        return place

    @property
    def owners(self) -> Integers:
        """The owners of all conjunctions, by number; not to be written to."""
        return self._owners.values

    def settle(self) -> bool:
        """Number the conjunctions so that those with one witness follow each other, where enough have come for
        that; ``True`` when they have other numbers now."""
        count = len(self)
        if count - self._settled <= max(_UNSETTLED, self._settled // _SHARE):
            return False
        self._settled = count
        witnesses, found = self._found_by.pairs
        keys = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
        keys[found] = witnesses
        order = np.argsort(keys, kind="stable").astype(np.int32)
        witnessed = len(found)
        self._found_by = Postings.of(keys[order[:witnessed]], np.arange(witnessed, dtype=np.int32))
        self._unwitnessed = GrowingArray.of(np.arange(witnessed, count, dtype=np.int32))
        self._owners = GrowingArray.of(self._owners.values[order])
        self._columns = tuple(GrowingArray.of(column.values[order]) for column in self._columns)
        ends = self._ends.values
        lengths = np.diff(ends, prepend=np.int32(0))[order]
        moved = np.cumsum(lengths, dtype=np.int32)
        places = np.repeat(ends[order] - moved, lengths) + np.arange(len(self._further), dtype=np.int32)
        self._further = GrowingArray.of(self._further.values[places])
        self._ends = GrowingArray.of(moved)
        return True

    @property
    def documents_at_once(self) -> int:
        """How many documents :meth:`holding` takes at most."""
        return max(_FEWEST, min(MAX_DOCUMENTS, _CELLS // self._width))

    def holding(self, numbers: Integers, whose: Integers, documents: int) -> tuple[Integers, Integers]:
        """Documents and owners of conjunctions that hold for them; a pair may come twice.

        ``numbers`` are the requirements met, ``whose`` the index of each one's document, below ``documents``.
        """
        positions, candidates = self._found_by.gather(numbers)
        where = whose[positions]
        if len(self._unwitnessed):
            everywhere = self._unwitnessed.values
            candidates = np.concatenate([candidates, np.tile(everywhere, documents)])
            where = np.concatenate([where, np.repeat(np.arange(documents, dtype=np.int32), len(everywhere))])
        if self._most:
            table, marked = self._marked(numbers, whose, documents)
            candidates, where = self._verified(table, candidates, where)
            table[marked] = 0
        return where, self._owners.values[candidates]

    def _marked(
        self, numbers: Integers, whose: Integers, documents: int
    ) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
        """The table with what the documents meet marked, and where, to be cleared again."""
        if len(self._table) < documents * self._width:
            self._table = np.zeros(self.documents_at_once * self._width, dtype=np.int8)
        places = self._places[np.minimum(numbers, len(self._places) - 1)]
        looked_up = np.flatnonzero(places >= 0)
        marked = whose[looked_up].astype(np.intp) * self._width + places[looked_up]
        self._table[marked] = 1
        return self._table, marked

    def _verified(
        self, table: NDArray[np.int8], candidates: Integers, where: Integers
    ) -> tuple[Integers, Integers]:
        """Those of the candidates whose other literals hold too."""
        rows = where * self._width
        for column in self._columns[: self._most]:
            literals = column.values[candidates]
            holding = np.flatnonzero(table[rows + (literals >> 1)] != (literals & 1))
            candidates, where, rows = candidates[holding], where[holding], rows[holding]
        if self._most <= _COLUMNS:
            return candidates, where
        ends = self._ends.values
        at = np.where(candidates > 0, ends[candidates - 1], 0)
        left = ends[candidates] - at
        alive = np.ones(len(candidates), dtype=np.bool_)
        pending = np.flatnonzero(left)
        step = 0
        while len(pending):
            literals = self._further.values[at[pending] + step]
            holds = table[rows[pending] + (literals >> 1)] != (literals & 1)
            alive[pending[~holds]] = False
            step += 1
            pending = pending[holds & (left[pending] > step)]
        return candidates[alive], where[alive]
