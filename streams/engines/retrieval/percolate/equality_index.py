"""Equality by hash: one look-up per value, however many conditions ask."""

from collections.abc import Hashable
from typing import Any

from streams.engines.retrieval.filters.values import fold


class EqualityIndex:
    """Keys of values (``values.fold``) → the requirements that hold for a value with that key."""

    __slots__ = ("_exact", "_folded")

    def __init__(self) -> None:
        self._exact: dict[Hashable, tuple[int, ...]] = {}
        self._folded: dict[Hashable, tuple[int, ...]] = {}

    def add(self, key: Hashable, case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for values with this key."""
        keys = self._exact if case_sensitive else self._folded
        keys[key] = (*keys.get(key, ()), number)

    def find_exact(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string in its case."""
        found += self._exact.get(text, ())

    def find_folded(self, folded: str, found: list[int]) -> None:
        """Append the requirements that hold for a string in any case, given in lower case."""
        found += self._folded.get(folded, ())

    def find(self, value: Any, found: list[int]) -> None:
        """Append the requirements that hold for a whole value."""
        if self._exact:
            found += self._exact.get(value if type(value) is str else fold(value, case_sensitive=True), ())
        if self._folded:
            found += self._folded.get(fold(value), ())
