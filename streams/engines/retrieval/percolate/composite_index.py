"""Trees of conditions on one field, evaluated only when one of their conditions is met."""

from collections.abc import Callable
from typing import TypeAlias

from streams.engines.retrieval.filters.nodes import And, Condition, Node, Not, conditions
from streams.engines.retrieval.percolate.normal import Present, Requirement

Check: TypeAlias = Callable[[set[int]], bool]
"""Whether a tree holds, given the numbers of the requirements that are met."""


class CompositeIndex:
    """Trees → the requirements that hold for a value for which the tree does. A tree is false for a field that
    is missing, so it cannot hold where none of its conditions differs from that."""

    __slots__ = ("_number_of", "_with")

    def __init__(self, number_of: Callable[[Requirement], int]) -> None:
        self._number_of = number_of
        self._with: dict[int, list[tuple[int, Check]]] = {}
        """By the number of a condition, the trees it is in."""

    def add(self, node: Node, number: int) -> None:
        """Let the requirement ``number`` hold where a tree does."""
        check = self._compile(node)
        for part in {self._number(condition) for condition in conditions(node)}:
            self._with.setdefault(part, []).append((number, check))

    def find(self, met: list[int]) -> None:
        """Append the requirements that hold, given those met so far."""
        if not self._with:
            return
        known = set(met)
        touched = {entry for number in known for entry in self._with.get(number, ())}
        met += [number for number, check in touched if check(known)]

    def _number(self, condition: Condition) -> int:
        if condition.operator == "is_null":
            return self._number_of(Present(condition.path))
        return self._number_of(condition)

    def _compile(self, node: Node) -> Check:
        if isinstance(node, Condition):
            number, null = self._number(node), node.operator == "is_null"
            return lambda met: (number in met) is not null
        if isinstance(node, Not):
            part = self._compile(node.part)
            return lambda met: not part(met)
        if all(isinstance(child, Condition) and child.operator != "is_null" for child in node.parts):
            numbers = {self._number(child) for child in node.parts if isinstance(child, Condition)}
            return numbers.issubset if isinstance(node, And) else lambda met: not numbers.isdisjoint(met)
        parts = [self._compile(child) for child in node.parts]
        if isinstance(node, And):
            return lambda met: all(part(met) for part in parts)
        return lambda met: any(part(met) for part in parts)
