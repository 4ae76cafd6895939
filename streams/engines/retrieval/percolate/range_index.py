"""Ordered comparisons by bisection: the bounds that hold for a value are a prefix or a suffix of all."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any, Final

from streams.engines.retrieval.filters.values import OrderKind, ordered

_SIDES: Final = {"gt": bisect_left, "gte": bisect_right, "lt": bisect_right, "lte": bisect_left}


class _Bounds:
    """The bounds of one operator on values of one kind."""

    __slots__ = ("bounds", "case_sensitive", "kind", "numbers", "operator", "pairs", "sorted")

    def __init__(self, operator: str, kind: OrderKind, case_sensitive: bool) -> None:
        self.operator = operator
        self.kind: OrderKind = kind
        self.case_sensitive = case_sensitive
        self.pairs: list[tuple[Any, int]] = []
        self.bounds: list[Any] = []
        self.numbers: list[int] = []

    def find(self, value: Any, found: list[int]) -> None:
        comparable = ordered(value, self.kind, self.case_sensitive)
        if comparable is None:
            return
        if len(self.bounds) < len(self.pairs):
            # Nearly sorted already: linear.
            self.pairs.sort()
            self.bounds = [bound for bound, _ in self.pairs]
            self.numbers = [number for _, number in self.pairs]
        cut = _SIDES[self.operator](self.bounds, comparable)
        found += self.numbers[:cut] if self.operator in ("gt", "gte") else self.numbers[cut:]


class RangeIndex:
    """Bounds → the requirements that hold for a value on their side."""

    __slots__ = ("_bounds",)

    def __init__(self) -> None:
        self._bounds: dict[tuple[str, OrderKind, bool], _Bounds] = {}

    def add(self, operator: str, operand: tuple[OrderKind, Any], case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for values in this relation to a bound."""
        kind, bound = operand
        key = (operator, kind, case_sensitive and kind == "string")
        held = self._bounds.get(key)
        if held is None:
            held = self._bounds[key] = _Bounds(*key)
        held.pairs.append((bound, number))

    def find(self, values: Iterable[Any], found: list[int]) -> None:
        """Append the requirements that hold for any of some scalars; one may come twice."""
        for value in values:
            for held in self._bounds.values():
                held.find(value, found)
