"""One document while it is checked: its root fields, and what has been found out about it so far."""

from collections.abc import Mapping
from typing import Any

from streams.engines.retrieval.filters.paths import Path, resolve


class View:
    """Root fields with every path resolved at most once and every condition tested at most once."""

    __slots__ = ("_values", "root", "truth")

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self._values: dict[str, list[Any]] = {}
        self.truth: dict[int, bool] = {}
        """Interned condition number → whether it holds."""

    def values(self, path: Path) -> list[Any]:
        """What the path leads to; empty when the document has no such field."""
        found = self._values.get(path.text)
        if found is None:
            found = self._values[path.text] = resolve(self.root, path)
        return found
