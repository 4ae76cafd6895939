from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.mmr import FeatureLikeness, FieldLikeness, Metric, Parameters, mmr
from tests.engines.retrieval.stages.rows import row

VECTORS = st.lists(
    st.one_of(st.none(), st.lists(st.integers(-2, 2), min_size=3, max_size=3)), min_size=1, max_size=7
)


def naive(
    relevance: Sequence[float], vectors: Sequence[list[int] | None], weight: float, top_k: int, metric: str
) -> list[tuple[int, float]]:
    """The definition, pair by pair."""

    def alike(one: list[int] | None, other: list[int] | None) -> float:
        if one is None or other is None:
            return 0.0
        left, right = np.array(one, dtype=np.float64), np.array(other, dtype=np.float64)
        if metric == "euclidean":
            return round(float(1 / (1 + np.linalg.norm(left - right))), 6)
        if metric == "cosine":
            left, right = (part / (np.linalg.norm(part) or 1.0) for part in (left, right))
        return round(float(left @ right), 6)

    chosen: list[tuple[int, float]] = []
    while len(chosen) < min(top_k, len(relevance)):
        scores = {}
        for at in range(len(relevance)):
            if at not in [place for place, _ in chosen]:
                nearest = max((alike(vectors[at], vectors[place]) for place, _ in chosen), default=0.0)
                scores[at] = weight * relevance[at] - (1 - weight) * nearest
        best = max(scores, key=lambda at: (scores[at], -at))
        chosen.append((best, scores[best]))
    return chosen


@given(
    VECTORS,
    st.lists(st.integers(0, 4), min_size=7, max_size=7),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(1, 7),
    st.sampled_from(["cosine", "dot", "euclidean"]),
)
def test_choices_are_those_of_the_definition(
    vectors: list[list[int] | None], scores: list[int], weight: float, top_k: int, metric: Metric
) -> None:
    relevance = [score / 4 for score in scores[: len(vectors)]]
    arrays = [None if one is None else np.array(one, dtype=np.float32) for one in vectors]
    found = mmr(relevance, [(1.0, FeatureLikeness(arrays, metric))], weight, top_k)
    expected = naive(relevance, vectors, weight, top_k, metric)
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert len({at for at, _ in found}) == len(found)


def test_by_fields_categories_alternate() -> None:
    rows = [row(str(at), c="x" if at < 3 else "y") for at in range(5)]
    found = mmr([1.0, 0.99, 0.98, 0.97, 0.96], [(1.0, FieldLikeness(rows, "c"))], 0.5, 5)
    assert [at for at, _ in found] == [0, 3, 1, 2, 4]
    assert found[0][1] == pytest.approx(0.5)


def test_weights_are_shares() -> None:
    rows = [row("a", x=1, y=1), row("b", x=1, y=2), row("c", x=2, y=1)]
    measures = [(3.0, FieldLikeness(rows, "x")), (1.0, FieldLikeness(rows, "y"))]
    found = mmr([1.0, 1.0, 1.0], measures, 0.0, 3)
    assert found == [(0, 0.0), (2, -0.25), (1, -0.75)]


def test_lambda_one_is_relevance_alone() -> None:
    vectors = [np.ones(2, dtype=np.float32)] * 3
    found = mmr([0.1, 0.9, 0.5], [(1.0, FeatureLikeness(vectors, "cosine"))], 1.0, 3)
    assert [at for at, _ in found] == [1, 2, 0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"diversity_feature_uri": "u", "diversity_fields": ["a"]}, "give one of"),
        ({"diversity_fields": ["a"], "diversity_field_weights": {"b": 1}}, "b is none of diversity_fields"),
        ({"diversity_fields": ["a"], "diversity_field_weights": {"a": 0}}, "above 0"),
        ({"diversity_features": [{"feature_uri": "u", "weight": 0}]}, "above 0"),
        ({"lambda": 1.1}, "less than or equal to 1"),
        ({"lambda": 0.5, "lambda_": 0.6}, "mean the same"),
    ],
)
def test_what_contradicts_itself_is_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameters.model_validate(bad)
