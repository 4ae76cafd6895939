"""Prefixes and suffixes by hash: a look-up per length that can occur, however many conditions ask."""

from typing import TypeAlias

from streams.engines.retrieval.filters.values import fold

Numbers: TypeAlias = tuple[int, ...]


class _Affixes:
    """Beginnings, or ends, of texts. They are grouped by as many characters as the shortest has, the *head*: most
    texts are done with after one look-up, and within a group only its own lengths are tried."""

    __slots__ = ("everywhere", "groups", "head", "suffix")

    def __init__(self, suffix: bool) -> None:
        self.suffix = suffix
        self.head = 0
        self.groups: dict[str, dict[int, dict[str, Numbers]]] = {}
        self.everywhere: Numbers = ()

    def add(self, affix: str, number: int) -> None:
        if not affix:
            self.everywhere += (number,)
            return
        if not self.groups or len(affix) < self.head:
            texts = [
                item for group in self.groups.values() for length in group.values() for item in length.items()
            ]
            self.head, self.groups = len(affix), {}
            for text, numbers in texts:
                self._put(text, numbers)
        self._put(affix, (number,))

    def _put(self, affix: str, numbers: Numbers) -> None:
        head = affix[-self.head :] if self.suffix else affix[: self.head]
        texts = self.groups.setdefault(head, {}).setdefault(len(affix), {})
        texts[affix] = texts.get(affix, ()) + numbers

    def find(self, text: str, found: list[int]) -> None:
        found += self.everywhere
        if self.suffix:
            group = self.groups.get(text[-self.head :])
            if group is not None:
                for length, texts in group.items():
                    found += texts.get(text[-length:], ())
            return
        group = self.groups.get(text[: self.head])
        if group is not None:
            for length, texts in group.items():
                found += texts.get(text[:length], ())


class AffixIndex:
    """Beginnings and ends of strings → the requirements that hold for a string with them."""

    __slots__ = ("_exact", "_folded")

    def __init__(self) -> None:
        self._exact: dict[bool, _Affixes] = {}
        self._folded: dict[bool, _Affixes] = {}

    def add(self, affix: str, suffix: bool, case_sensitive: bool, number: int) -> None:
        """Let the requirement ``number`` hold for strings that begin with ``affix``, or end with it."""
        held = self._exact if case_sensitive else self._folded
        held.setdefault(suffix, _Affixes(suffix)).add(affix, number)

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string."""
        for affixes in self._exact.values():
            affixes.find(text, found)
        if self._folded:
            folded = str(fold(text))
            for affixes in self._folded.values():
                affixes.find(folded, found)
