"""Equality by hash: one look-up per value, however many conditions ask."""

from collections.abc import Hashable
from typing import Any

from streams.engines.retrieval.filters.values import fold
from streams.engines.retrieval.percolate.numbers import Numbers, append, joined


class EqualityIndex:
    """Keys of values (``values.fold``) → the requirements that hold for a value with that key."""

    __slots__ = ("_exact", "_folded")

    def __init__(self) -> None:
        self._exact: dict[Hashable, Numbers] = {}
        self._folded: dict[Hashable, Numbers] = {}

    def add(self, key: Hashable, case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for values with this key."""
        keys = self._exact if case_sensitive else self._folded
        keys[key] = joined(keys.get(key), number)

    def find_exact(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string in its case."""
        if (numbers := self._exact.get(text)) is not None:
            append(numbers, found)

    def find_folded(self, folded: str, found: list[int]) -> None:
        """Append the requirements that hold for a string in any case, given in lower case."""
        if (numbers := self._folded.get(folded)) is not None:
            append(numbers, found)

    def find(self, value: Any, found: list[int]) -> None:
        """Append the requirements that hold for a whole value."""
        for keys, sensitive in ((self._exact, True), (self._folded, False)):
            if keys and (numbers := keys.get(fold(value, case_sensitive=sensitive))) is not None:
                append(numbers, found)
