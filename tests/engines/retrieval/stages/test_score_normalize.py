import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.stages.score_normalize import Method, Parameters, normalised

SCORES = st.lists(st.one_of(st.none(), st.floats(-100, 100)), max_size=10)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10, unique=True))
def test_methods_against_their_formulas(scores: list[float]) -> None:
    low, high = min(scores), max(scores)
    assert normalised(scores, "min_max") == pytest.approx([(x - low) / (high - low) for x in scores], abs=1e-6)
    mean, deviation = statistics.fmean(scores), statistics.pstdev(scores)
    if deviation > 1e-9:
        assert normalised(scores, "z_score") == pytest.approx([(x - mean) / deviation for x in scores], abs=1e-4)
    assert sum(normalised(scores, "softmax")) == pytest.approx(1)
    assert sum(x * x for x in normalised(scores, "l2")) == pytest.approx(1)


@pytest.mark.parametrize(("method", "expected"), [("min_max", 1.0), ("z_score", 0.0)])
@pytest.mark.parametrize("scores", [[0.3], [0.3, 0.3, 0.3], [0.0], [1e308, 1e308]])
def test_one_or_equal_scores(method: Method, expected: float, scores: list[float]) -> None:
    assert normalised(scores, method) == [expected] * len(scores)


@given(SCORES, st.sampled_from(["min_max", "z_score", "softmax", "l2"]))
def test_order_is_kept_and_missing_is_zero(scores: list[float | None], method: Method) -> None:
    found = normalised(scores, method)
    assert len(found) == len(scores)
    assert all(new == 0.0 for old, new in zip(scores, found, strict=True) if old is None)
    pairs = sorted((old, new) for old, new in zip(scores, found, strict=True) if old is not None)
    assert all(left[1] <= right[1] + 1e-12 for left, right in itertools.pairwise(pairs))


def test_bounds_of_ones_own() -> None:
    assert normalised([0.0, 5.0, 20.0], "min_max", 0, 10) == [0.0, 0.5, 1.0]
    assert normalised([1.0, 2.0], "min_max", low=5) == [0.0, 0.0]
    assert normalised([1.0, 2.0], "min_max", high=0.5) == [1.0, 1.0]
    assert normalised([-1e308, 0.0, 1e308], "min_max") == [0.0, 0.5, 1.0]
    assert normalised([1e308, 1e308, -1e308], "z_score")[0] == pytest.approx(2**-0.5)
    with pytest.raises(ValueError, match="below"):
        Parameters.model_validate({"min_value": 1, "max_value": 1})
