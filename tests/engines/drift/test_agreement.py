"""The distances are those of scipy, Evidently and Alibi Detect, before they are corrected for sample size."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

from streams.engines.drift import distances
from streams.engines.drift.category_sketch import CategorySketch
from streams.engines.drift.comparison import Pair, kernel_views, pair
from streams.engines.drift.number_sketch import CELLS, NumberSketch
from streams.engines.drift.sketch import Sketch
from tests.engines.drift.golden.make import BANDWIDTHS
from tests.engines.drift.golden.samples import CATEGORIES, MANY_NUMBERS, NUMBERS, VECTORS

FIGURES = json.loads((Path(__file__).parent / "golden" / "figures.json").read_text())

SAMPLE = st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), min_size=2, max_size=60)


def numbers(baseline: Any, current: Any) -> Pair:
    return pair(NumberSketch.empty().add(baseline), NumberSketch.empty().add(current))


def ks(common: Pair) -> float:
    return math.sqrt(distances.ks_squares(common.baseline, common.current)[0])


def wasserstein(common: Pair) -> float:
    return math.sqrt(distances.wasserstein_squares(common.baseline, common.current, common.positions)[0])


def js(common: Pair) -> float:
    return math.sqrt(max(0.0, distances.js_divergence(*common.bins())))


@given(SAMPLE, SAMPLE)
def test_ks_and_wasserstein_of_numbers_are_scipy_s(one: list[float], other: list[float]) -> None:
    common = numbers(one, other)
    assert math.isclose(ks(common), ks_2samp(one, other, method="asymp").statistic, abs_tol=1e-12)
    expected = wasserstein_distance(one, other)
    assert math.isclose(wasserstein(common), expected, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_beyond_what_a_sketch_tells_apart_they_are_close_to_scipy_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=8 * CELLS), rng.normal(0.3, 1.4, size=6 * CELLS)
    common = numbers(one, other)
    assert abs(ks(common) - ks_2samp(one, other, method="asymp").statistic) < 0.02
    assert math.isclose(wasserstein(common), wasserstein_distance(one, other), rel_tol=0.02)


COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=30).filter(
    lambda rows: all(sum(column) > 0 for column in zip(*rows, strict=True))
)


@given(COUNTS)
def test_js_of_counts_is_scipy_s(rows: list[tuple[int, int]]) -> None:
    one, other = np.array(rows, dtype=np.int64).T
    found = distances.js_divergence(one[np.newaxis], other[np.newaxis])
    assert math.isclose(max(found, 0.0), float(jensenshannon(one, other)) ** 2, abs_tol=1e-12)


@pytest.mark.parametrize("case", sorted(NUMBERS))
def test_golden_figures_of_numbers(case: str) -> None:
    common = numbers(*NUMBERS[case])
    for package in ("scipy", "alibi_detect"):
        assert math.isclose(ks(common), FIGURES[package]["ks"][case], abs_tol=1e-6), package
    assert math.isclose(wasserstein(common), FIGURES["scipy"]["wasserstein"][case], rel_tol=1e-9)
    deviation = float(np.std(NUMBERS[case][0]))
    normed = FIGURES["evidently"]["wasserstein / deviation of the baseline"][case]
    assert math.isclose(wasserstein(common) / deviation, normed, rel_tol=2e-3)
    views = kernel_views(common.positions, BANDWIDTHS[case])
    mmd = distances.mmd(common.baseline, common.current, views)
    assert math.isclose(mmd, FIGURES["alibi_detect"]["mmd"][case], rel_tol=0.03, abs_tol=2e-4)


@pytest.mark.parametrize("case", sorted(MANY_NUMBERS))
def test_golden_figures_of_numbers_in_bins(case: str) -> None:
    """Evidently cuts bins of equal width, here they are of equal share: they agree on how large a change is."""
    common = numbers(*MANY_NUMBERS[case])
    assert math.isclose(js(common), FIGURES["evidently"]["js"][case], rel_tol=0.1, abs_tol=0.02)
    psi = distances.psi(*common.bins())
    assert math.isclose(psi, FIGURES["evidently"]["psi"][case], rel_tol=0.3, abs_tol=0.01)


@pytest.mark.parametrize("case", sorted(CATEGORIES))
def test_golden_figures_of_categories(case: str) -> None:
    common = pair(*(CategorySketch.empty().add(values) for values in CATEGORIES[case]))
    assert math.isclose(js(common), FIGURES["evidently"]["js of categories"][case], rel_tol=1e-6)
    psi = distances.psi(*common.bins())
    assert math.isclose(psi, FIGURES["evidently"]["psi of categories"][case], rel_tol=0.01, abs_tol=1e-6)


@pytest.mark.parametrize("case", sorted(VECTORS))
def test_golden_figures_of_vectors(case: str) -> None:
    common = pair(*(Sketch.empty(16).add(vectors) for vectors in VECTORS[case]))
    mmd = distances.mmd(common.baseline, common.current, common.views())
    assert math.isclose(mmd, FIGURES["alibi_detect"]["mmd of vectors"][case], rel_tol=0.2, abs_tol=2e-3)
