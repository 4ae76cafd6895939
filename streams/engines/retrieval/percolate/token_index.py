"""Words by inverted index: single tokens, adjacent tokens, and stems of tokens."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Numbers: TypeAlias = tuple[int, ...]


class TokenIndex:
    """Phrases → the requirements that hold for a text, given as its tokens."""

    __slots__ = ("_longer", "_pairs", "_single")

    def __init__(self) -> None:
        self._single: dict[str, Numbers] = {}
        self._pairs: dict[str, dict[str, Numbers]] = {}
        self._longer: dict[tuple[str, str], list[tuple[tuple[str, ...], int]]] = {}
        """By their first two tokens, phrases of more."""

    def add(self, phrase: Sequence[str], number: int) -> None:
        """Let the requirement ``number`` hold for texts with these tokens one after the other."""
        if len(phrase) == 1:
            self._single[phrase[0]] = (*self._single.get(phrase[0], ()), number)
            return
        followers = self._pairs.setdefault(phrase[0], {})
        held = followers.get(phrase[1], ())
        if len(phrase) == 2:
            followers[phrase[1]] = (*held, number)
            return
        followers[phrase[1]] = held
        self._longer.setdefault((phrase[0], phrase[1]), []).append((tuple(phrase), number))

    def find(self, tokens: Sequence[str], found: list[int]) -> None:
        """Append the requirements that hold; one may come twice."""
        if self._single:
            for numbers in filter(None, map(self._single.get, set(tokens))):
                found += numbers
        if not self._pairs:
            return
        followers_of = self._pairs.get
        for at, (first, second) in enumerate(pairwise(tokens)):
            followers = followers_of(first)
            if followers is None:
                continue
            numbers_ = followers.get(second)
            if numbers_ is None:
                continue
            found += numbers_
            if self._longer and (longer := self._longer.get((first, second))):
                for phrase, number in longer:
                    if tuple(tokens[at : at + len(phrase)]) == phrase:
                        found.append(number)
