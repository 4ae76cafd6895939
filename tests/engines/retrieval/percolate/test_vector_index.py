"""The index of searches nominates every pair whose exact cosine reaches its bound, while searches come and go."""

import random
from typing import Any

import numpy as np
import pytest

from streams.engines.retrieval.percolate.plan import Search
from streams.engines.retrieval.percolate.vector_index import VectorIndex
from streams.engines.retrieval.vectors.cosine import DIGITS, ROUNDING, cosines, unit_rows
from streams.engines.retrieval.vectors.feature_batch import Block

DOCUMENTS, QUERIES, ENTRIES = 600, 530, 720
"""More of each than one tile takes, and queries that several alerts share."""


@pytest.mark.parametrize(
    ("dimensions", "scale", "noise", "level"),
    [
        (1, 1.0, 1.0, 2),
        (3, 1e-25, 1.0, 2),
        (3, 1.0, 1.0, 2),
        (3, 1e25, 1.0, 2),
        # The lower the bounds, the more dimensions it takes to rule a pair out.
        (384, 1.0, 0.6, 0),
        (384, 1.0, 1.7, 1),
        (384, 1.0, 6.0, 2),
    ],
)
def test_equals_every_pair_by_itself(dimensions: int, scale: float, noise: float, level: int) -> None:
    chance, choose = np.random.default_rng(dimensions), random.Random(dimensions)
    queries = unit_rows(chance.normal(size=(QUERIES, dimensions)))
    apart = noise * unit_rows(chance.normal(size=(DOCUMENTS, dimensions)))
    vectors = ((queries[np.arange(DOCUMENTS) % QUERIES] + apart) * scale).astype(np.float32)
    block, unit = Block(np.arange(DOCUMENTS) * 2, vectors), unit_rows(vectors)
    exact = np.stack([cosines(unit, np.broadcast_to(query, unit.shape)) for query in queries])
    exact = exact[np.arange(ENTRIES) % QUERIES]
    # Bounds that some document reaches to the last digit.
    bounds = [round(float(exact[number, number % QUERIES]), DIGITS) for number in range(ENTRIES)]
    reached = exact > np.array(bounds)[:, None]
    for number, row in np.argwhere(np.abs(exact - np.array(bounds)[:, None]) < 1e-5).tolist():
        reached[number, row] = round(float(exact[number, row]), DIGITS) >= bounds[number]
    assert reached.any(axis=1).all()
    entries = [
        (Search("f", queries[number % QUERIES], None), bound, number) for number, bound in enumerate(bounds)
    ]
    index = VectorIndex()
    held: list[tuple[Search, float, int]] = []
    for step in range(3):
        for entry in choose.sample(held, len(held) // 2):
            index.remove(*entry)
            held.remove(entry)
        new = entries[step * 240 : step * 240 + 240]
        for entry in new:
            index.add(*entry)
        held += new
        numbers = [number for _, _, number in held]
        wanted = np.zeros_like(reached)
        wanted[numbers] = reached[numbers]
        (question,) = index.ask("f", {dimensions: block})
        nominated = list(question.nominations())
        documents = np.concatenate([near.documents for near in nominated])
        owners = np.concatenate([near.owners for near in nominated])
        assert set(owners.tolist()) <= set(numbers)
        found = np.full(exact.shape, np.nan)
        found[owners, documents // 2] = np.concatenate([near.cosines for near in nominated])
        assert np.array_equal(found[wanted], exact[wanted])
        assert np.nanmin(found - np.array(bounds)[:, None]) > -2 * ROUNDING
    assert index._matrices["f", dimensions]._share == level
    for entry in held:
        index.remove(*entry)
    assert index.features == []


def test_a_search_whose_products_are_taken_meanwhile_takes_nothing_from_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As another thread does it, between a product and its comparison."""
    index = VectorIndex()
    queries = np.eye(4)
    for number, query in enumerate(queries):
        index.add(Search("f", query, None), 0.9, number)
    documents = np.arange(4)
    (near,) = index.ask("f", {4: Block(documents, queries.astype(np.float32))})
    (far,) = index.ask("f", {4: Block(documents, -queries.astype(np.float32))})
    compare = np.greater_equal

    def meanwhile(*arguments: Any, **out: Any) -> Any:
        monkeypatch.undo()
        far.multiply()
        return compare(*arguments, **out)

    monkeypatch.setattr(np, "greater_equal", meanwhile)
    (found,) = near.nominations()
    assert found.documents.tolist() == found.owners.tolist() == [0, 1, 2, 3]
    assert np.greater_equal is compare
    assert list(far.nominations()) == []
