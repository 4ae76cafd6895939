"""Which conjunctions hold, given the requirements that documents meet: for a batch at once, in whole arrays.

Each conjunction is found through one of its positive requirements, its *witness*, the one that documents meet
least often; the others are then looked up. What the batch's documents meet lies in a table of documents by
requirements, so a look-up is one read. The work is that of the requirements met and the candidates found,
however many conjunctions there are. Compare F. Fabret et al., "Filtering algorithms and implementation for very
fast publish/subscribe systems", SIGMOD 2001.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.percolate.growing import GrowingArray, Integers
from streams.engines.retrieval.percolate.postings import Postings

_CELLS: Final = 1 << 24
"""The table of what a batch meets has at most about this many cells; larger batches are cut."""
_FEWEST: Final = 16


class Conjunctions:
    """Conjunctions of numbered requirements, each with an owner."""

    def __init__(self) -> None:
        self._alone = Postings()
        """Requirement → owners of conjunctions that ask nothing else."""
        self._witnessed = Postings()
        """Requirement → conjunctions found through it."""
        self._unwitnessed = GrowingArray()
        """Conjunctions of negated requirements only."""
        self._owners = GrowingArray()
        self._starts = GrowingArray()
        """Per conjunction where its other literals begin in ``_literals``; one more than there are."""
        self._starts.extend([0])
        self._literals = GrowingArray()
        """Twice the place of a requirement in the table, plus one for a negated one."""
        self._places: Integers = np.full(16, -1, dtype=np.int64)
        """Requirement → its place in the table, -1 for one that is never looked up."""
        self._width = 0
        self._table: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def add(self, literals: Sequence[tuple[int, bool]], owner: int) -> None:
        """Add a conjunction: requirements and whether each is negated, the witness first."""
        if len(literals) == 1 and not literals[0][1]:
            self._alone.add(literals[0][0], owner)
            return
        number = len(self._owners)
        self._owners.extend([owner])
        if literals and not literals[0][1]:
            self._witnessed.add(literals[0][0], number)
            literals = literals[1:]
        else:
            self._unwitnessed.extend([number])
        self._literals.extend([2 * self._place(requirement) + negated for requirement, negated in literals])
        self._starts.extend([len(self._literals)])

    def _place(self, requirement: int) -> int:
        # The last place stays -1: it stands for every requirement beyond.
        if requirement >= len(self._places) - 1:
            places = np.full(2 * requirement + 2, -1, dtype=np.int64)
            places[: len(self._places)] = self._places
            self._places = places
        if self._places[requirement] < 0:
            self._places[requirement] = self._width
            self._width += 1
        return int(self._places[requirement])

    def holding(self, documents: int, met: Integers, whose: Integers) -> tuple[Integers, Integers]:
        """Documents and owners of conjunctions that hold for them; a pair may come twice.

        ``met`` are requirements that documents meet, ``whose`` the index of each one's document, ascending.
        """
        found = [self._find(first, last, met, whose) for first, last in self._cuts(documents)]
        return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])

    def _cuts(self, documents: int) -> Iterator[tuple[int, int]]:
        step = max(_FEWEST, _CELLS // max(1, self._width))
        for first in range(0, max(1, documents), step):
            yield first, min(documents, first + step)

    def _find(self, first: int, last: int, met: Integers, whose: Integers) -> tuple[Integers, Integers]:
        if last - first < whose.max(initial=-1) + 1 or first:
            start, stop = np.searchsorted(whose, (first, last))
            met, whose = met[start:stop], whose[start:stop]
        at, owners = self._alone.gather(met)
        documents = whose[at]
        at, candidates = self._witnessed.gather(met)
        where = whose[at]
        if len(self._unwitnessed):
            everywhere = self._unwitnessed.values
            candidates = np.concatenate([candidates, np.tile(everywhere, last - first)])
            where = np.concatenate([where, np.repeat(np.arange(first, last), len(everywhere))])
        if len(candidates):
            where, candidates = self._verified(first, last, met, whose, where, candidates)
            documents = np.concatenate([documents, where])
            owners = np.concatenate([owners, self._owners.values[candidates]])
        return documents, owners

    def _verified(
        self, first: int, last: int, met: Integers, whose: Integers, where: Integers, candidates: Integers
    ) -> tuple[Integers, Integers]:
        """Those of the candidates whose other literals hold too."""
        table, cells = self._fill(first, last, met, whose)
        starts = self._starts.values
        literals = self._literals.values
        at, end = starts[candidates], starts[candidates + 1]
        rows = (where - first) * self._width
        settled = []
        while True:
            done = at == end
            if done.any():
                settled.append((where[done], candidates[done]))
                going = ~done
                at, end, rows = at[going], end[going], rows[going]
                where, candidates = where[going], candidates[going]
            if not len(at):
                break
            literal = literals[at]
            holds = table[rows + (literal >> 1)] != (literal & 1).astype(np.bool_)
            at, end, rows = at[holds] + 1, end[holds], rows[holds]
            where, candidates = where[holds], candidates[holds]
        table[cells] = False
        if not settled:
            return where, candidates
        return np.concatenate([pair[0] for pair in settled]), np.concatenate([pair[1] for pair in settled])

    def _fill(self, first: int, last: int, met: Integers, whose: Integers) -> tuple[NDArray[np.bool_], Integers]:
        """The table, with what the documents meet marked, and the cells to clear again."""
        size = (last - first) * self._width
        if len(self._table) < size:
            self._table = np.zeros(size, dtype=np.bool_)
        places = self._places[np.minimum(met, len(self._places) - 1)]
        kept = places >= 0
        cells = (whose[kept] - first) * self._width + places[kept]
        self._table[cells] = True
        return self._table, cells
