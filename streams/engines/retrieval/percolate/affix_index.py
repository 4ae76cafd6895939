"""Prefixes and suffixes by hash: a look-up per length that can occur, however many conditions ask."""

from streams.engines.retrieval.percolate.numbers import Numbers, append, joined


class AffixIndex:
    """Beginnings, or ends, of strings → the requirements that hold for a string with them.

    They are grouped by as many characters as the shortest has, the *head*: most strings are done with after one
    look-up, and within a group only its own lengths are tried.
    """

    __slots__ = ("_everywhere", "_groups", "_head", "_suffix")

    def __init__(self, suffix: bool) -> None:
        self._suffix = suffix
        self._head = 0
        self._groups: dict[str, dict[int, dict[str, Numbers]]] = {}
        self._everywhere: tuple[int, ...] = ()

    def add(self, affix: str, number: int) -> None:
        """Let the requirement ``number`` hold for strings with this beginning, or end."""
        if not affix:
            self._everywhere += (number,)
            return
        if not self._groups or len(affix) < self._head:
            texts = [
                item for group in self._groups.values() for length in group.values() for item in length.items()
            ]
            self._head, self._groups = len(affix), {}
            for text, numbers in texts:
                self._put(text, numbers)
        self._put(affix, number)

    def _put(self, affix: str, numbers: Numbers) -> None:
        head = affix[-self._head :] if self._suffix else affix[: self._head]
        texts = self._groups.setdefault(head, {}).setdefault(len(affix), {})
        texts[affix] = joined(texts.get(affix), numbers)

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a string."""
        found += self._everywhere
        if self._suffix:
            group = self._groups.get(text[-self._head :])
            if group is not None:
                for length, texts in group.items():
                    if (numbers := texts.get(text[-length:])) is not None:
                        append(numbers, found)
            return
        group = self._groups.get(text[: self._head])
        if group is not None:
            for length, texts in group.items():
                if (numbers := texts.get(text[:length])) is not None:
                    append(numbers, found)
