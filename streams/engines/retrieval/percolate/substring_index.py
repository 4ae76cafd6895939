"""Substring witnesses by one Aho-Corasick automaton per field, run once over the texts of a whole batch.

A. V. Aho, M. J. Corasick, "Efficient string matching", CACM 18 (1975) 333-340.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ahocorasick_rs import AhoCorasick, Implementation

from streams.engines.retrieval.filters.paths import Path
from streams.engines.retrieval.filters.values import strings
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.percolate.witness import Substring

_BETWEEN = "\x00"
"""Between texts. A match across it is possible for a pattern that holds it, and only nominates too much."""


class SubstringIndex:
    """Folded text in a field → the predicates it is a witness of."""

    def __init__(self) -> None:
        self._fields: dict[Path, dict[str, list[int]]] = {}
        self._automata: list[tuple[Path, AhoCorasick, list[list[int]]]] = []

    def add(self, witness: Substring, predicate: int) -> None:
        """Let the witness nominate a predicate; before :meth:`seal`."""
        self._fields.setdefault(witness.path, defaultdict(list))[witness.text].append(predicate)

    def seal(self) -> None:
        """Build the automata."""
        for path, patterns in self._fields.items():
            automaton = AhoCorasick(list(patterns), implementation=Implementation.ContiguousNFA)
            self._automata.append((path, automaton, list(patterns.values())))

    def nominate(self, views: Sequence[View]) -> Iterator[tuple[int, list[int]]]:
        """Pairs of a document's index and predicates with a true witness, in lists."""
        for path, automaton, predicates in self._automata:
            starts: list[int] = []
            owners: list[int] = []
            texts: list[str] = []
            position = 0
            for index, view in enumerate(views):
                for text in strings(view.values(path)):
                    folded = text.casefold()
                    starts.append(position)
                    owners.append(index)
                    texts.append(folded)
                    position += len(folded) + 1
            if not texts:
                continue
            seen: set[tuple[int, int]] = set()
            for pattern, start, _ in automaton.find_matches_as_indexes(_BETWEEN.join(texts), overlapping=True):
                pair = (owners[bisect_right(starts, start) - 1], pattern)
                if pair not in seen:
                    seen.add(pair)
                    yield pair[0], predicates[pattern]
