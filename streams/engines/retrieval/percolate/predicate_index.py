"""Which of many predicates hold for each document of a batch, at a cost that does not grow with those that
cannot."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from operator import itemgetter
from typing import Final

import numpy as np

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.filters.nodes import Condition, Node
from streams.engines.retrieval.percolate.conjunctions import Conjunctions
from streams.engines.retrieval.percolate.field_index import APART, FieldIndex
from streams.engines.retrieval.percolate.fields import Fields
from streams.engines.retrieval.percolate.growing import Integers
from streams.engines.retrieval.percolate.met import Met
from streams.engines.retrieval.percolate.normal import Interval, Requirement, Stem, normal_form

_GUESSES: Final = {**dict.fromkeys(("gt", "gte", "lt", "lte"), 0.5), "exists": 0.9, "regex": 0.2}
_COMMON: Final = 0.5
_BETWEEN: Final = 0.1
_VALUES: Final = 100
"""How many values a field is taken to have as long as little is known."""
_WORDS: Final = 20
"""How many words a text is taken to have."""
_RANK: Final = itemgetter(0, 1)
"""Requirements that are asked for before negated ones, the rarest first."""


class Exactness(Enum):
    """What finding a predicate means."""

    EXACT = "it holds"
    APART = "it holds unless words of several strings were looked at together"
    NECESSARY = "it may hold, and has to be evaluated"


class PredicateIndex:
    """Predicates by the number of whom they belong to."""

    def __init__(self) -> None:
        self._numbers: dict[Requirement, int] = {}
        self._met = Met()
        self._fields = Fields(self._number, self._met)
        self._conjunctions = Conjunctions()
        self._uses: list[int] = [0]
        """Per requirement how many conjunctions ask for it; the first stands for ``APART``."""
        self._field_of: list[FieldIndex | None] = [None]
        """Per requirement the index of its field."""
        self._apart = False

    def add(self, predicate: Node, owner: int) -> Exactness:
        """Add a predicate."""
        form = normal_form(predicate)
        for conjunction in form.conjunctions:
            ranked = []
            for requirement, negated in conjunction:
                number = self._number(requirement)
                ranked.append((negated, self._frequency(requirement, number), number))
            ranked.sort(key=_RANK)
            for _, _, number in ranked:
                self._uses[number] += 1
                self._field(number).uses += 1
            self._conjunctions.add([(number, negated) for negated, _, number in ranked], owner)
        if not form.exact:
            return Exactness.NECESSARY
        if form.exact_apart:
            return Exactness.EXACT
        self._apart = True
        return Exactness.APART

    def selective(self, predicate: Node, most: int) -> bool:
        """Whether every document a predicate holds for meets a requirement that no more than ``most``
        conjunctions ask for, so that finding it that way is cheap."""
        return all(
            any(not negated and self._uses[self._numbers.get(part, 0)] < most for part, negated in conjunction)
            for conjunction in normal_form(predicate).conjunctions
        )

    def _number(self, requirement: Requirement) -> int:
        number = self._numbers.get(requirement)
        if number is None:
            number = self._numbers[requirement] = len(self._uses)
            field = self._fields.index(requirement.path)
            self._uses.append(0)
            self._field_of.append(field)
            field.add(requirement, number)
        return number

    def _field(self, number: int) -> FieldIndex:
        field = self._field_of[number]
        assert field is not None
        return field

    def _frequency(self, requirement: Requirement, number: int) -> float:
        """What share of documents meets a requirement, roughly: the rarest nominates. Values are guessed to be as
        common in documents as alerts that ask for them are among those that ask about the field."""
        if type(requirement) is Interval:
            return _BETWEEN
        if type(requirement) is Condition:
            if requirement.operator in _GUESSES:
                return _GUESSES[requirement.operator]
            words = requirement.operator == "phrase"
        else:
            words = type(requirement) is Stem
            if not words:
                return _COMMON
        share = (1 + self._uses[number]) / (_VALUES + self._field(number).uses)
        return share * _WORDS if words else share

    @property
    def owners(self) -> Integers:
        """All there ever were, those whose predicates are found together next to each other; an owner may come
        several times."""
        return self._conjunctions.owners

    def settle(self) -> None:
        """Do the work that many additions have left."""
        self._conjunctions.settle()

    def holding(self, events: Sequence[DocumentEvent]) -> tuple[Integers, Integers, frozenset[int]]:
        """Indices of documents and owners of predicates that hold for them; a pair may come twice. And the
        documents that ``Exactness.APART`` speaks of."""
        self.settle()
        step = self._conjunctions.documents_at_once
        asked = events if len(self._conjunctions) else ()
        found = [self._some(asked, first, first + step) for first in range(0, len(asked), step)]
        if not found:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), frozenset()
        wheres, owners, aparts = zip(*found, strict=True)
        return np.concatenate(wheres), np.concatenate(owners), frozenset().union(*aparts)

    def _some(
        self, events: Sequence[DocumentEvent], first: int, last: int
    ) -> tuple[Integers, Integers, AbstractSet[int]]:
        if self._met.full:
            self._fields.forget()
            self._met.clear()
        some = events[first:last]
        numbers, whose = self._met.numbers(*self._fields.met(some))
        where, owners = self._conjunctions.holding(numbers, whose, len(some))
        apart = set((whose[numbers == APART] + first).tolist()) if self._apart else frozenset()
        return where + first, owners, apart
