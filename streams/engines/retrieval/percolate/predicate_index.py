"""Which of many predicates hold for a document, without evaluating those that cannot.

Equal predicates are one; each is found through its witness (``witness.py``) and then evaluated, with equal
conditions tested once per document. A predicate without a witness is evaluated for every document.
"""

from collections.abc import Callable, Iterable, Sequence

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not
from streams.engines.retrieval.percolate.equality_index import EqualityIndex
from streams.engines.retrieval.percolate.range_index import RangeIndex
from streams.engines.retrieval.percolate.substring_index import SubstringIndex
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.percolate.witness import Bound, Equality, choose

Check = Callable[[View], bool]


class PredicateSet:
    """Interned predicates, each compiled to a check that shares its conditions with the others."""

    def __init__(self) -> None:
        self._numbers: dict[Node, int] = {}
        self._conditions: dict[Condition, int] = {}
        self.checks: list[Check] = []
        self.nodes: list[Node] = []

    def number(self, node: Node) -> int:
        """The predicate's number; equal predicates have one."""
        found = self._numbers.get(node)
        if found is None:
            found = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
            self.checks.append(self._compile(node))
        return found

    def _compile(self, node: Node) -> Check:
        if isinstance(node, Condition):
            return self._condition(node)
        if isinstance(node, Not):
            part = self._compile(node.part)
            return lambda view: not part(view)
        parts = [self._compile(child) for child in node.parts]
        if isinstance(node, And):
            return lambda view: all(part(view) for part in parts)
        return lambda view: any(part(view) for part in parts)

    def _condition(self, condition: Condition) -> Check:
        number = self._conditions.setdefault(condition, len(self._conditions))
        path, test = condition.path, condition.test

        def check(view: View) -> bool:
            known = view.truth.get(number)
            if known is None:
                known = view.truth[number] = test(view.values(path))
            return known

        return check


class PredicateIndex:
    """Finds the predicates that hold, out of those it was given."""

    def __init__(self, predicates: PredicateSet, numbers: Iterable[int]) -> None:
        self._predicates = predicates
        self._equality = EqualityIndex()
        self._substring = SubstringIndex()
        self._range = RangeIndex()
        self._always: list[int] = []
        for number in dict.fromkeys(numbers):
            self._add(number)
        self._substring.seal()
        self._range.seal()

    def _add(self, number: int) -> None:
        choice = choose(self._predicates.nodes[number])
        if choice is None:
            self._always.append(number)
            return
        for witness in choice.witnesses:
            if isinstance(witness, Equality):
                self._equality.add(witness, number)
            elif isinstance(witness, Bound):
                self._range.add(witness, number)
            else:
                self._substring.add(witness, number)

    def holding(self, views: Sequence[View]) -> list[list[int]]:
        """For each document the numbers of the predicates that hold, in no particular order."""
        nominated = [set(self._always) for _ in views]
        for index, view in enumerate(views):
            for numbers in self._equality.nominate(view):
                nominated[index].update(numbers)
            for numbers in self._range.nominate(view):
                nominated[index].update(numbers)
        for index, numbers in self._substring.nominate(views):
            nominated[index].update(numbers)
        checks = self._predicates.checks
        return [
            [number for number in numbers if checks[number](view)]
            for view, numbers in zip(views, nominated, strict=True)
        ]
