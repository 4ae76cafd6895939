"""Prefixes and suffixes by hash: one look-up per length that occurs, however many conditions ask."""

from bisect import insort
from typing import TypeAlias

from streams.engines.retrieval.filters.values import fold

Texts: TypeAlias = dict[str, tuple[int, ...]]


class _Affixes:
    """Affixes of one kind by length."""

    __slots__ = ("by_length", "lengths")

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.by_length: dict[int, Texts] = {}

    def add(self, affix: str, number: int) -> None:
        length = len(affix)
        if length not in self.by_length:
            self.by_length[length] = {}
            insort(self.lengths, length)
        texts = self.by_length[length]
        texts[affix] = (*texts.get(affix, ()), number)


class AffixIndex:
    """Beginnings and ends of strings → the requirements that hold for a string with them."""

    __slots__ = ("_exact", "_folded")

    def __init__(self) -> None:
        self._exact = (_Affixes(), _Affixes())
        self._folded = (_Affixes(), _Affixes())

    def add(self, affix: str, suffix: bool, case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for strings that begin with ``affix``, or end with it."""
        (self._exact if case_sensitive else self._folded)[suffix].add(affix, number)

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string."""
        _find(self._exact, text, found)
        if self._folded[0].lengths or self._folded[1].lengths:
            _find(self._folded, str(fold(text)), found)


def _find(affixes: tuple[_Affixes, _Affixes], text: str, found: list[int]) -> None:
    prefixes, suffixes = affixes
    size = len(text)
    by_length = prefixes.by_length
    for length in prefixes.lengths:
        if length > size:
            break
        if (hit := by_length[length].get(text[:length])) is not None:
            found += hit
    by_length = suffixes.by_length
    for length in suffixes.lengths:
        if length > size:
            break
        if (hit := by_length[length].get(text[size - length :])) is not None:
            found += hit
