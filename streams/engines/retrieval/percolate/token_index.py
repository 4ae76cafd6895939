"""Words by inverted index: single tokens, adjacent tokens, and longer phrases by their first two."""

from collections.abc import Sequence
from itertools import pairwise


class TokenIndex:
    """Phrases → the requirements that hold for a text, given as its tokens; one requirement per phrase."""

    __slots__ = ("_followers", "_longer", "_single")

    def __init__(self) -> None:
        self._single: dict[str, int] = {}
        self._followers: dict[str, dict[str, int]] = {}
        """First token → second token → requirement."""
        self._longer: dict[tuple[str, str], list[tuple[tuple[str, ...], int]]] = {}
        """By their first two tokens, phrases of more."""

    def add(self, phrase: Sequence[str], number: int) -> None:
        """Let the requirement ``number``, not 0, hold for texts with these tokens one after the other."""
        if len(phrase) == 1:
            self._single[phrase[0]] = number
            return
        if len(phrase) == 2:
            self._followers.setdefault(phrase[0], {})[phrase[1]] = number
            return
        self._longer.setdefault((phrase[0], phrase[1]), []).append((tuple(phrase), number))

    def find(self, tokens: Sequence[str], found: list[int]) -> None:
        """Append the requirements that hold; one may come twice."""
        if self._single:
            found.extend(filter(None, map(self._single.get, set(tokens))))
        if self._followers:
            followers_of = self._followers.get
            for first, second in pairwise(tokens):
                if (followers := followers_of(first)) is not None and second in followers:
                    found.append(followers[second])
        if self._longer:
            self._find_longer(tokens, found)

    def _find_longer(self, tokens: Sequence[str], found: list[int]) -> None:
        longer_of = self._longer.get
        for at, pair in enumerate(pairwise(tokens)):
            for phrase, number in longer_of(pair, ()):
                if tuple(tokens[at : at + len(phrase)]) == phrase:
                    found.append(number)
