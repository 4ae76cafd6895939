"""The index of searches nominates every pair whose exact cosine reaches its bound, while searches come and go."""

import random

import numpy as np
import pytest

from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.percolate.vector_index import VectorIndex
from streams.engines.retrieval.vectors.cosine import DIGITS, cosines, unit_rows
from streams.engines.retrieval.vectors.feature_batch import Block


@pytest.mark.parametrize("dimensions", [1, 3, 384])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_equals_every_pair_by_itself(dimensions: int, scale: float) -> None:
    chance, choose = np.random.default_rng(dimensions), random.Random(dimensions)
    vectors = (chance.normal(size=(700, dimensions)) * scale).astype(np.float32)
    block = Block(np.arange(700) * 2, vectors)
    unit = unit_rows(vectors)
    queries = unit_rows(chance.normal(size=(1_100, dimensions)))
    # Bounds that some document reaches to the last digit, and queries that several alerts share.
    entries = []
    for number in range(1_300):
        query = queries[number % 1_100]
        probe = float(cosines(unit[number % 700][None, :], query[None, :])[0])
        entries.append((Search("f", query, None), round(probe, DIGITS), number))
    index = VectorIndex()
    held: list[tuple[Search, float, int]] = []
    for step in range(3):
        some = choose.sample(held, len(held) // 2)
        for entry in some:
            index.remove(*entry)
            held.remove(entry)
        new = entries[step * 400 : step * 400 + 400]
        for entry in new:
            index.add(*entry)
        held += new
        found = {(document, number): cosine for document, number, cosine in index.search("f", {dimensions: block})}
        numbers = {number for _, _, number in held}
        assert {number for _, number in found} <= numbers
        for search, bound, number in held:
            exact = cosines(unit, np.broadcast_to(search.query, unit.shape))
            for row in np.flatnonzero(exact > bound - 1e-5).tolist():
                if round(float(exact[row]), DIGITS) >= bound:
                    assert found[2 * row, number] == exact[row]
    for entry in held:
        index.remove(*entry)
    assert index.features == []
