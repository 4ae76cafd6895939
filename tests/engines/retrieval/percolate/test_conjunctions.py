"""Conjunctions hold as their literals say, however often they were put in order in between."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engines.retrieval.percolate.conjunctions import Conjunctions

Literal = tuple[int, bool]
REQUIREMENTS = 12

literals = st.lists(
    st.tuples(st.integers(1, REQUIREMENTS), st.booleans()), max_size=7, unique_by=lambda literal: literal[0]
).map(lambda found: sorted(found, key=lambda literal: literal[1]))


def found(index: Conjunctions, documents: list[list[int]]) -> set[tuple[int, int]]:
    numbers = np.array([number for met in documents for number in met], dtype=np.int32)
    whose = np.repeat(np.arange(len(documents), dtype=np.int32), [len(met) for met in documents])
    where, owners = index.holding(numbers, whose, len(documents))
    return set(zip(where.tolist(), owners.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(literals, min_size=1, max_size=30),
    st.lists(st.lists(st.integers(1, REQUIREMENTS), unique=True), min_size=1, max_size=5),
    st.integers(1, 700),
    st.integers(1, 3_000),
)
def test_order_changes_no_answer(
    several: list[list[Literal]], documents: list[list[int]], every: int, count: int
) -> None:
    index = Conjunctions()
    settled = 0
    for owner in range(count):
        index.add(several[owner % len(several)], owner)
        if owner % every == 0:
            settled += index.settle()
    settled += index.settle()
    assert settled > 0 or count <= 1_024
    holding = [
        [all((requirement in met) is not negated for requirement, negated in asked) for asked in several]
        for met in documents
    ]
    wanted = {
        (document, owner)
        for document, holds in enumerate(holding)
        for owner in range(count)
        if holds[owner % len(several)]
    }
    assert found(index, documents) == wanted


def test_candidates_of_a_witness_follow_each_other() -> None:
    index = Conjunctions()
    for owner in range(5_000):
        index.add([(1 + owner % 50, False)], owner)
    assert index.settle()
    assert not index.settle()
    assert index.owners.tolist() == [owner for first in range(50) for owner in range(first, 5_000, 50)]
