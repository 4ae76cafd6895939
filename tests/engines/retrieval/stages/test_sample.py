import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.sample import Parameters, sample, shares
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import row

STRATEGIES = ["random", "stratified", "reservoir", "systematic"]


def drawn(rows: list[Row], seed: int = 1, **parameters: Any) -> list[str]:
    read = Parameters.model_validate({"stratify_by": "c", **parameters})
    return [one.document_id for one in sample(rows, read, random.Random(seed))]


def rows_of(sizes: list[int]) -> list[Row]:
    kinds = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    return [row(str(at), at / 100, c=kind) for at, kind in enumerate(kinds)]


@given(st.integers(0, 40), st.integers(1, 20), st.sampled_from(STRATEGIES), st.integers(0, 30), st.integers(0, 5))
def test_a_sample_is_a_part_in_order_and_repeatable(
    size: int, count: int, strategy: str, preserve: int, seed: int
) -> None:
    rows = rows_of([size])
    found = drawn(rows, seed, count=count, strategy=strategy, preserve_top_k=preserve)
    assert len(found) == len(set(found)) == min(count, size)
    assert found == sorted(found, key=int)
    assert found == drawn(rows, seed, count=count, strategy=strategy, preserve_top_k=preserve)
    best = sorted(range(size), reverse=True)[: min(preserve, count)]
    assert {str(at) for at in best} <= set(found)


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(0, 40), st.integers(0, 4))
def test_shares_are_proportional_with_a_least(sizes: list[int], wanted: int, least: int) -> None:
    taken = shares(sizes, wanted, least)
    total = sum(sizes)
    assert sum(taken) == min(wanted, total)
    assert all(0 <= one <= size for one, size in zip(taken, sizes, strict=True))
    floor = [min(least, size) for size in sizes]
    if sum(floor) <= wanted:
        assert all(one >= size for one, size in zip(taken, floor, strict=True))
    if least == 0 and total:
        ideal = [size * min(wanted, total) / total for size in sizes]
        assert all(abs(one - share) < 1 + 1e-9 for one, share in zip(taken, ideal, strict=True))


def test_strata_are_taken_by_their_share() -> None:
    rows = rows_of([60, 30, 10])
    found = Counter(int(rows[int(one)].fields["c"]) for one in drawn(rows, strategy="stratified", count=10))
    assert found == {0: 6, 1: 3, 2: 1}
    guide = Parameters.model_validate(
        {"method": "stratified", "size": 20, "group_field": "c", "samples_per_group": 3}
    )
    taken = Counter(int(one.fields["c"]) for one in sample(rows, guide, random.Random(0)))
    assert min(taken.values()) == 3
    assert sum(taken.values()) == 20


@pytest.mark.parametrize("strategy", ["random", "reservoir", "systematic"])
def test_every_row_is_as_likely(strategy: str) -> None:
    rows = rows_of([10])
    seen = Counter(one for seed in range(3_000) for one in drawn(rows, seed, count=3, strategy=strategy))
    assert all(abs(seen[str(at)] - 900) < 130 for at in range(10))


def test_strata_need_a_field() -> None:
    with pytest.raises(ValueError, match="stratify_by"):
        Parameters.model_validate({"strategy": "stratified"})
