"""The words that clusters are called by."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.act.clustering.run import NOISE
from streams.act.clustering.terms import keywords

WORDS = st.sampled_from(["fever", "vaccine", "yoga", "liberia", "heart", "the", "http://t.co/abc"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(WORDS, max_size=6), st.integers(-1, 2)), min_size=1, max_size=20))
def test_keywords_are_the_weightiest_terms(documents: list[tuple[list[str], int]]) -> None:
    texts = [" ".join(words) for words, _ in documents]
    labels = np.array([label for _, label in documents], dtype=np.int32)
    counts = [Counter[str]() for _ in range(3)]
    total: Counter[str] = Counter()
    for words, label in documents:
        kept = [word for word in words if word != "the" and not word.startswith("http")]
        total.update(kept)
        if label >= 0:
            counts[label].update(kept)
    found = keywords(texts, labels, 3)
    for cluster in range(3):
        said = sum(counts[cluster].values())
        weights = {
            word: many / said * math.log(many / said / (total[word] / sum(total.values())))
            for word, many in counts[cluster].items()
        }
        more = {word: weight for word, weight in weights.items() if weight > 1e-9}
        expected = more or {word: many / said for word, many in counts[cluster].items()}
        assert sorted(found[cluster]) == sorted(expected)
        told = [expected[word] for word in found[cluster]]
        assert told == pytest.approx(sorted(told, reverse=True), rel=1e-5)


def test_words_that_everybody_says_are_no_keywords() -> None:
    texts = [f"officials said {'oil prices' if n % 2 else 'red sox'} new" for n in range(40)] + ["said new"] * 10
    found = keywords(texts, np.array([n % 2 for n in range(40)] + [NOISE] * 10, dtype=np.int32), 2)
    assert [set(words[:2]) for words in found] == [{"red", "sox"}, {"oil", "prices"}]
    assert not {"said", "new"} & {word for words in found for word in words}
