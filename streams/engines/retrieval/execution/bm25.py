"""BM25 over the words of texts, with Lucene's idf and defaults (Robertson and Zaragoza 2009, "The probabilistic
relevance framework")."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from streams.engines.retrieval.filters.tokens import tokens

K = TypeVar("K", str, int)

K1: Final = 1.2
B: Final = 0.75
DIGITS: Final = 6
"""Scores are rounded to this many decimals."""


@dataclass(slots=True)
class Postings(Generic[K]):
    """Word → which texts have it how often."""

    words: dict[str, dict[K, int]] = field(default_factory=dict)
    lengths: dict[K, int] = field(default_factory=dict)
    """Text → its number of words; texts without words are not counted."""
    total: int = 0
    """Words of all texts."""
    only: frozenset[str] | None = None
    """The words that will be asked for, where they are known: texts without any of them are counted and not kept,
    and none can be taken out again."""
    texts: int = 0
    """Texts that have words."""

    def add(self, key: K, text: str) -> None:
        """Take a text in; the key must be new."""
        found = tokens(text)
        if not found:
            return
        self.texts += 1
        self.total += len(found)
        if self.only is not None and self.only.isdisjoint(found):
            return
        self.lengths[key] = len(found)
        for word, many in Counter(found if self.only is None else filter(self.only.__contains__, found)).items():
            self.words.setdefault(word, {})[key] = many

    def remove(self, key: K, text: str) -> None:
        """Take the text out that was added for the key."""
        if key not in self.lengths:
            return
        self.texts -= 1
        self.total -= self.lengths.pop(key)
        for word in set(tokens(text)):
            having = self.words[word]
            del having[key]
            if not having:
                del self.words[word]


def scores(parts: Sequence[Postings[K]], query: str) -> list[dict[K, float]]:
    """For each part the texts that have a word of the query, with their score; frequencies are those of all parts
    together, so that parts compare."""
    words = sorted(set(tokens(query)))
    count = sum(part.texts for part in parts)
    if not count:
        return [{} for _ in parts]
    average = sum(part.total for part in parts) / count
    weights = {word: _idf(count, sum(len(part.words.get(word, ())) for part in parts)) for word in words}
    return [_scored(part, weights, average) for part in parts]


def rank(texts: Sequence[str], query: str) -> list[tuple[int, float]]:
    """Indices of the texts that have a word of the query, best first, equal ones as they stand."""
    postings: Postings[int] = Postings()
    for at, text in enumerate(texts):
        postings.add(at, text)
    return sorted(scores([postings], query)[0].items(), key=lambda item: (-item[1], item[0]))


def _idf(count: int, having: int) -> float:
    return math.log(1 + (count - having + 0.5) / (having + 0.5))


def _scored(part: Postings[K], weights: Mapping[str, float], average: float) -> dict[K, float]:
    terms: dict[K, list[float]] = {}
    for word, weight in weights.items():
        for key, many in part.words.get(word, {}).items():
            norm = K1 * (1 - B + B * part.lengths[key] / average)
            terms.setdefault(key, []).append(weight * many * (K1 + 1) / (many + norm))
    return {key: round(math.fsum(values), DIGITS) for key, values in terms.items()}
