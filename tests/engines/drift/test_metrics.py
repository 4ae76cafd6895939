"""Metrics: unbiased where a plain distance of means is not, sensitive to real drift, silent on too little."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.engines.drift.metrics import METRICS, Measurement, mean_product, measure, squared_mean
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.sketch import Sketch

WORDS = 200


def topics(rng: np.random.Generator, n: int, shift: int = 0) -> NDArray[np.float32]:
    """Documents like headlines: ten words each from a skewed vocabulary, l2-normalised counts."""
    weights = 1.0 / np.arange(1, WORDS + 1)
    weights /= weights.sum()
    rows = np.zeros((n, WORDS))
    words = (rng.choice(WORDS, size=(n, 10), p=weights) + shift) % WORDS
    for column in words.T:
        rows[np.arange(n), column] += 1.0
    normal = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(normal, dtype=np.float32)


def sketch(vectors: NDArray[np.float32]) -> Sketch:
    return Sketch.empty(vectors.shape[1]).add(vectors)


def plain_cosine(one: Sketch, other: Sketch) -> float:
    norms = float(np.linalg.norm(one.total) * np.linalg.norm(other.total))
    return 1.0 - float(one.total @ other.total) / norms


def value(metric: str, baseline: Sketch, current: Sketch) -> float:
    measurement = measure(metric, baseline, current, min_sample=2)
    assert measurement.value is not None, measurement.reason
    return measurement.value


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 5))
def test_squared_mean_is_the_mean_product_of_all_different_pairs(seed: int, n: int, dimensions: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, dimensions))
    pairs = [float(rows[i] @ rows[j]) for i in range(n) for j in range(n) if i != j]
    assert math.isclose(squared_mean(sketch_of(rows)), sum(pairs) / len(pairs), abs_tol=1e-6)


def sketch_of(rows: NDArray[np.float64]) -> Sketch:
    return Sketch.empty(rows.shape[1]).add(rows)


def test_the_estimates_are_unbiased() -> None:
    rng = np.random.default_rng(1)
    mean, draws = np.array([0.3, -0.2, 0.1, 0.0]), 4_000
    squares = [squared_mean(sketch_of(mean + rng.normal(size=(4, 4)))) for _ in range(draws)]
    products = [
        mean_product(sketch_of(mean + rng.normal(size=(3, 4))), sketch_of(mean + rng.normal(size=(5, 4))))
        for _ in range(draws)
    ]
    for estimates in (squares, products):
        error = np.std(estimates) / math.sqrt(draws)
        assert abs(np.mean(estimates) - mean @ mean) < 4 * error


def test_without_drift_small_samples_read_about_zero_where_the_plain_cosine_does_not() -> None:
    rng = np.random.default_rng(2)
    pairs = [(sketch(topics(rng, 100)), sketch(topics(rng, 100))) for _ in range(100)]
    plain = [plain_cosine(one, other) for one, other in pairs]
    for metric in METRICS:
        corrected = [value(metric, one, other) for one, other in pairs]
        if not METRICS[metric].squared:
            corrected = [reading * abs(reading) for reading in corrected]
        error = float(np.std(corrected)) / math.sqrt(len(pairs))
        assert abs(np.mean(corrected)) < max(4 * error, 0.001) < 0.01, metric
    assert np.mean(plain) > 0.015


@pytest.mark.parametrize("n", [30, 300, 3_000])
def test_drift_reads_the_same_whatever_the_sample_size(n: int) -> None:
    rng = np.random.default_rng(3)
    truth = value("cosine_drift", sketch(topics(rng, 40_000)), sketch(topics(rng, 40_000, shift=20)))
    readings = [value("cosine_drift", sketch(topics(rng, n)), sketch(topics(rng, n, shift=20))) for _ in range(30)]
    assert truth > 0.3
    assert abs(float(np.mean(readings)) - truth) < 0.05


def test_the_others_see_a_change_around_one_mean_that_the_cosine_does_not() -> None:
    rng = np.random.default_rng(4)
    before = sketch_of(np.eye(8)[0] + 0.2 * rng.normal(size=(2_000, 8)))
    after = sketch_of(np.eye(8)[0] + 0.6 * rng.normal(size=(2_000, 8)))
    assert abs(value("cosine_drift", before, after)) < 0.02
    for metric in METRICS:
        assert metric == "cosine_drift" or value(metric, before, after) > 0.01, metric


@given(st.sampled_from(sorted(METRICS)), st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 30))
def test_every_metric_is_symmetric_and_says_why(metric: str, seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = sketch(topics(rng, n)), sketch(topics(rng, m))
    there, back = (measure(metric, *pair, min_sample=2) for pair in ((one, other), (other, one)))
    assert there.insufficient == back.insufficient == (there.value is None)
    assert there.reason
    assert (there.baseline_count, there.current_count) == (n, m)
    if there.value is not None and back.value is not None:
        assert math.isclose(there.value, back.value, abs_tol=1e-12)
        assert math.isfinite(there.value)


def test_too_small_a_sample_is_insufficient() -> None:
    rng = np.random.default_rng(5)
    small, large = sketch(topics(rng, 99)), sketch(topics(rng, 100))
    assert measure("cosine_drift", large, large, min_sample=100).insufficient is False
    for pair in ((small, large), (large, small)):
        measurement = measure("cosine_drift", *pair, min_sample=100)
        assert measurement.insufficient
        assert measurement.value is None
        assert "99 documents" in measurement.reason
    one = sketch(topics(rng, 1))
    assert measure("cosine_drift", one, one, min_sample=0).insufficient


def test_a_mean_lost_in_noise_is_insufficient() -> None:
    opposite = sketch_of(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    clear = sketch_of(np.ones((5, 2)))
    measurement = measure("cosine_drift", clear, opposite, min_sample=2)
    assert measurement.insufficient
    assert "current window" in measurement.reason
    empty = sketch_of(np.zeros((5, 2)))
    assert "baseline" in measure("cosine_drift", empty, clear, min_sample=2).reason


def test_a_feature_of_other_dimensions_is_insufficient() -> None:
    measurement = measure("mmd", sketch_of(np.ones((3, 2))), sketch_of(np.ones((3, 4))), min_sample=2)
    assert measurement == Measurement("mmd", None, 3, 3, True, measurement.reason)
    assert "dimensions" in measurement.reason


@pytest.mark.parametrize("metric", ["mmd", "psi", "js", "ks", "wasserstein"])
@pytest.mark.parametrize("largest", [1e160, 1.7e308])
def test_a_number_too_large_for_a_metric_is_told(metric: str, largest: float) -> None:
    usual = NumberSketch.empty().add([1.0, 2.0] * 50)
    made = measure(metric, usual, usual.add([largest, -largest]), min_sample=100)
    assert made.insufficient == (made.value is None)
    if made.value is None:
        assert "too large" in made.reason
        assert metric in ("mmd", "wasserstein")
    else:
        assert math.isfinite(made.value)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown metric 'x'; known metrics: cosine_drift, js, ks, mmd, psi, w"):
        measure("x", Sketch.empty(2), Sketch.empty(2), min_sample=2)
