"""One document while its predicates are evaluated: its root fields, and what was found out about them."""

from collections.abc import Mapping
from typing import Any

from streams.engines.retrieval.filters.nodes import Condition, Node, evaluate
from streams.engines.retrieval.filters.paths import Path, resolve


class View:
    """Root fields with every path resolved at most once and every condition tested at most once."""

    __slots__ = ("_root", "_truth", "_values")

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._values: dict[Path, list[Any]] = {}
        self._truth: dict[Condition, bool] = {}

    def holds(self, predicate: Node) -> bool:
        """Whether a predicate holds, as ``filters.parse.matches`` says."""
        return evaluate(predicate, self._holds)

    def _holds(self, condition: Condition) -> bool:
        known = self._truth.get(condition)
        if known is None:
            values = self._values.get(condition.path)
            if values is None:
                values = self._values[condition.path] = resolve(self._root, condition.path)
            known = self._truth[condition] = condition.test(values)
        return known
