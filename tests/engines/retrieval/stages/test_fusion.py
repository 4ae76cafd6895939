"""Fusion of ranked lists against the formulas (contract section 6)."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.fusion import Fusion, fuse

HOW: list[Fusion] = ["rrf", "dbsf", "weighted", "max"]


@st.composite
def lists(draw: st.DrawFn) -> list[tuple[list[tuple[int, float]], float]]:
    made = []
    for _ in range(draw(st.integers(1, 4))):
        keys = draw(st.lists(st.integers(0, 12), unique=True, max_size=8))
        scores = sorted((round(draw(st.floats(-1, 1)), 6) for _ in keys), reverse=True)
        made.append((list(zip(keys, scores, strict=True)), draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))))
    return made


def plain(how: str, given_lists: list[tuple[list[tuple[int, float]], float]]) -> dict[int, float]:
    keys = {key for ranked, _ in given_lists for key, _ in ranked}
    found: dict[int, float] = {}
    for key in keys:
        terms = []
        for ranked, weight in given_lists:
            scores = [score for _, score in ranked]
            for rank, (one, score) in enumerate(ranked, start=1):
                if one != key:
                    continue
                if how == "rrf":
                    terms.append(weight / (60 + rank))
                elif how == "weighted":
                    terms.append(weight * score)
                elif how == "max":
                    terms.append(score)
                else:
                    mean = math.fsum(scores) / len(scores)
                    sigma = math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / len(scores))
                    scaled = 0.5 if sigma < 1e-12 else (score - mean + 3 * sigma) / (6 * sigma)
                    terms.append(weight * min(1.0, max(0.0, scaled)))
        found[key] = max(terms) if how == "max" else math.fsum(terms)
    return found


@given(lists(), st.sampled_from(HOW))
def test_fusion_is_its_formula(given_lists: Any, how: Fusion) -> None:
    fused = fuse(how, given_lists)
    expected = plain(how, given_lists)
    assert {key for key, _ in fused} == set(expected)
    assert all(score == pytest.approx(expected[key], abs=1e-9) for key, score in fused)
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))


@given(lists(), st.sampled_from(HOW), st.randoms())
def test_the_order_of_searches_does_not_matter(given_lists: Any, how: Fusion, randoms: Any) -> None:
    shuffled = list(given_lists)
    randoms.shuffle(shuffled)
    assert fuse(how, shuffled) == fuse(how, given_lists)


def test_figures_by_hand() -> None:
    one, other = ([(1, 0.9), (2, 0.5)], 1.0), ([(2, 0.8)], 0.5)
    assert fuse("rrf", [one, other]) == [(2, 1 / 62 + 0.5 / 61), (1, 1 / 61)]
    assert fuse("weighted", [one, other]) == [(1, 0.9), (2, 0.9)]
    assert fuse("max", [one, other]) == [(1, 0.9), (2, 0.8)]
    assert dict(fuse("dbsf", [one, other])) == pytest.approx({1: 2 / 3, 2: 1 / 3 + 0.25})
