"""Range witnesses by sorted bounds: a value's true bounds are a prefix or a suffix."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, Final, cast

from streams.engines.retrieval.filters.paths import Path
from streams.engines.retrieval.filters.values import OrderKind, ordered, scalars
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.percolate.witness import Bound

_SIDES: Final = {"gt": bisect_left, "gte": bisect_right, "lt": bisect_right, "lte": bisect_left}


class RangeIndex:
    """Bounds on a field, by operator and kind of value → the predicates they are a witness of."""

    def __init__(self) -> None:
        self._bounds: dict[tuple[Path, str, str], list[tuple[Any, int]]] = {}
        self._sorted: list[tuple[Path, str, OrderKind, list[Any], list[int]]] = []

    def add(self, witness: Bound, predicate: int) -> None:
        """Let the witness nominate a predicate; before :meth:`seal`."""
        key = (witness.path, witness.operator, witness.kind)
        self._bounds.setdefault(key, []).append((witness.bound, predicate))

    def seal(self) -> None:
        """Sort the bounds."""
        for (path, operator, kind), pairs in self._bounds.items():
            pairs.sort()
            bounds, predicates = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            self._sorted.append((path, operator, cast(OrderKind, kind), bounds, predicates))

    def nominate(self, view: View) -> Iterator[list[int]]:
        """Predicates with a true witness, in lists."""
        for path, operator, kind, bounds, predicates in self._sorted:
            for item in scalars(view.values(path)):
                value = ordered(item, kind, False)
                if value is None:
                    continue
                cut = _SIDES[operator](bounds, value)
                yield predicates[:cut] if operator in ("gt", "gte") else predicates[cut:]
