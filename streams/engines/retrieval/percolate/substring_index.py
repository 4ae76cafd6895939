"""Substrings by Aho-Corasick: one pass over a text, however many conditions ask.

A. V. Aho, M. J. Corasick, "Efficient string matching", CACM 18 (1975) 333-340.
"""

from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation

_FANOUT: Final = 8
_SMALLEST: Final = 64


class _Tier:
    """Patterns with an automaton of their own, built when it is first needed."""

    __slots__ = ("_automaton", "patterns")

    def __init__(self, patterns: dict[str, tuple[int, ...]]) -> None:
        self.patterns = patterns
        self._automaton: tuple[AhoCorasick, list[tuple[int, ...]]] | None = None

    def find(self, text: str, found: list[int]) -> None:
        if self._automaton is None:
            kind = Implementation.ContiguousNFA
            self._automaton = AhoCorasick(list(self.patterns), implementation=kind), list(self.patterns.values())
        automaton, numbers = self._automaton
        # The few patterns that occur are few indeed: duplicates are cheaper to drop than to look for.
        for pattern in {hit[0] for hit in automaton.find_matches_as_indexes(text, overlapping=True)}:
            found += numbers[pattern]


class SubstringIndex:
    """Parts of strings → the requirements that hold for a string that contains them.

    An automaton cannot be added to, so there are several of growing size, as in a log-structured merge tree: an
    addition rebuilds the smallest, and each pattern is rebuilt a logarithmic number of times.
    """

    __slots__ = ("_everywhere", "_tiers")

    def __init__(self) -> None:
        self._tiers: list[_Tier] = []
        self._everywhere: list[int] = []

    def add(self, part: str, number: int) -> None:
        """Let the requirement ``number`` hold for strings that contain ``part``."""
        if not part:
            self._everywhere.append(number)
            return
        self._tiers.append(_Tier({part: (number,)}))
        while len(self._tiers) > 1 and self._merges():
            last = self._tiers.pop().patterns
            merged = self._tiers.pop().patterns
            for text, numbers in last.items():
                merged[text] = (*merged.get(text, ()), *numbers)
            self._tiers.append(_Tier(merged))

    def _merges(self) -> bool:
        left, right = len(self._tiers[-2].patterns), len(self._tiers[-1].patterns)
        return left < _SMALLEST or left < _FANOUT * right

    def find(self, text: str, found: list[int]) -> None:
        """Append the requirements that hold for a text, folded or not as its parts are."""
        found += self._everywhere
        for tier in self._tiers:
            tier.find(text, found)
