"""Calibration: the threshold covers what the baseline itself shows, at the rate asked for, or says why not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.drift.calibration import (
    DEFAULT_FALSE_ALARM_RATE,
    MOST_BLOCKS,
    Calibration,
    _limit,
    calibrate,
)
from streams.engines.drift.category_sketch import CategorySketch
from streams.engines.drift.metrics import METRICS, measure
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.series import AnySketch
from streams.engines.drift.sketch import Sketch, merge_all

DIMENSIONS = 8


def news(rng: np.random.Generator, days: int, cycle: float, change: float = 0.0) -> list[Sketch]:
    """Daily buckets of 40 documents about topics that come and go: the day's mean wanders by ``cycle`` with a
    memory of two days. ``change`` turns it for good."""
    buckets = []
    mean = np.zeros(DIMENSIONS)
    for _ in range(days):
        mean = 0.6 * mean + 0.8 * rng.normal(size=DIMENSIONS)
        centre = np.eye(DIMENSIONS)[0] * 2 + cycle * mean
        centre[1] += change
        buckets.append(Sketch.empty(DIMENSIONS).add(centre + rng.normal(size=(40, DIMENSIONS))))
    return buckets


def exceeded(calibration: Calibration, metric: str, baseline: Sequence[AnySketch], window: list[Sketch]) -> bool:
    whole, current = merge_all(baseline), merge_all(window)
    assert whole is not None
    assert current is not None
    assert calibration.threshold is not None, calibration.reason
    value = measure(metric, whole, current, min_sample=2).value
    return value is not None and value > calibration.threshold


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("cycle", [0.0, 0.3])
def test_false_alarms_are_as_rare_as_stated_and_a_change_is_found(metric: str, cycle: float) -> None:
    rng = np.random.default_rng(len(metric))
    alarms = found = 0
    for _ in range(6):
        stream = news(rng, 12 * 7 + 20 * 10, cycle)
        baseline, later = stream[: 12 * 7], stream[12 * 7 :]
        calibration = calibrate(baseline, metric, window_buckets=7, min_sample=100)
        windows = [later[start : start + 7] for start in range(3, len(later), 10)]
        alarms += sum(exceeded(calibration, metric, baseline, window) for window in windows)
        found += exceeded(calibration, metric, baseline, news(rng, 20, cycle, change=2.0)[-7:])
    # 120 checks at 1 %, most of which share a threshold: 6 are out of reach of the stated rate.
    assert alarms <= 6
    assert found == 6


def test_the_variation_of_the_baseline_raises_the_threshold() -> None:
    thresholds = []
    for cycle in (0.0, 0.2, 0.4):
        calibration = calibrate(
            news(np.random.default_rng(4), 90, cycle), "cosine_drift", window_buckets=7, min_sample=100
        )
        thresholds.append(calibration.threshold or 0.0)
    assert thresholds[0] < thresholds[1] / 2 < thresholds[2] / 4


def test_a_lower_rate_and_fewer_windows_raise_the_threshold() -> None:
    stream = news(np.random.default_rng(5), 24 * 7, 0.2)

    def threshold(days: int, rate: float) -> float:
        found = calibrate(stream[-days:], "mmd", window_buckets=7, min_sample=50, false_alarm_rate=rate)
        assert found.threshold is not None
        return found.threshold

    rates = [threshold(24 * 7, rate) for rate in (0.1, 0.05, DEFAULT_FALSE_ALARM_RATE, 0.001)]
    assert rates == sorted(rates)
    # The same spread of readings, but known from fewer windows.
    assert threshold(6 * 7, 0.001) / threshold(6 * 7, 0.1) > threshold(24 * 7, 0.001) / threshold(24 * 7, 0.1)


def test_a_short_baseline_is_cut_into_shorter_blocks() -> None:
    stream = news(np.random.default_rng(6), 30, 0.2)
    calibration = calibrate(stream, "cosine_drift", window_buckets=30, min_sample=100)
    assert calibration.samples == 6
    assert calibration.threshold is not None
    months = calibrate(news(np.random.default_rng(6), 360, 0.2), "cosine_drift", window_buckets=30, min_sample=100)
    assert months.threshold is not None
    assert months.threshold < calibration.threshold


def test_a_baseline_that_is_too_small_says_so() -> None:
    assert calibrate([], "psi", window_buckets=7, min_sample=1).threshold is None
    stream = news(np.random.default_rng(7), 5, 0.1)
    few = calibrate(stream, "mmd", window_buckets=1, min_sample=2)
    assert (few.threshold, few.samples) == (None, 5)
    assert few.reason == "no threshold: 5 windows of the baseline can be measured, 6 are needed"
    thin = calibrate(news(np.random.default_rng(8), 20, 0.1), "mmd", window_buckets=2, min_sample=100)
    assert (thin.threshold, thin.samples) == (None, 0)


def test_windows_with_too_few_documents_are_left_out() -> None:
    stream = news(np.random.default_rng(9), 80, 0.1)
    gap = stream[:20] + [Sketch.empty(DIMENSIONS)] * 20 + stream[20:]
    calibration = calibrate(gap, "mmd", window_buckets=5, min_sample=100)
    assert 15 <= calibration.samples <= 17
    assert calibration.threshold is not None


def test_a_period_that_begins_before_the_stream_is_as_long_as_the_stream() -> None:
    stream, empty = news(np.random.default_rng(11), 80, 0.1), [Sketch.empty(DIMENSIONS)] * 33
    padded, bare = (
        calibrate(buckets, "cosine_drift", window_buckets=5, min_sample=100)
        for buckets in (empty + stream + empty, stream)
    )
    assert padded == bare
    assert calibrate(empty, "mmd", window_buckets=1, min_sample=2).threshold is None


def test_very_many_windows_are_sampled() -> None:
    buckets = [NumberSketch.empty().add(np.random.default_rng(day).normal(size=30)) for day in range(5_000)]
    calibration = calibrate(buckets, "ks", window_buckets=2, min_sample=20)
    assert calibration.samples > MOST_BLOCKS
    assert calibration.threshold is not None
    assert 0 < calibration.threshold < 0.4


@pytest.mark.parametrize("metric", ["psi", "js", "mmd", "cosine_drift"])
def test_categories_of_one_value_have_no_variation(metric: str) -> None:
    calibration = calibrate([CategorySketch.empty().add(["a"] * 50)] * 12, metric, window_buckets=1, min_sample=20)
    assert calibration.threshold is not None
    assert abs(calibration.threshold) < 0.05


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3), max_size=6), max_size=20),
    st.integers(1, 5),
    st.sampled_from(["psi", "js", "ks", "wasserstein", "mmd"]),
)
def test_any_baseline_has_a_finite_threshold_or_a_reason(
    buckets: list[list[float]], window: int, metric: str
) -> None:
    sketches = [NumberSketch.empty().add(values) for values in buckets]
    calibration = calibrate(sketches, metric, window_buckets=window, min_sample=2)
    assert calibration.reason
    assert calibration.threshold is None or np.isfinite(calibration.threshold)
    assert (calibration.threshold is None) == (calibration.samples < 6)


def test_what_makes_no_sense_is_refused() -> None:
    numbers = [NumberSketch.empty().add([1.0, 2.0])] * 10
    for rate in (0.0, 0.5, -1.0, float("nan")):
        with pytest.raises(ValueError, match="false alarm rate"):
            calibrate(numbers, "psi", window_buckets=1, min_sample=2, false_alarm_rate=rate)
    with pytest.raises(ValueError, match="does not apply to numbers"):
        calibrate(numbers, "cosine_drift", window_buckets=1, min_sample=2)
    with pytest.raises(ValueError, match="window"):
        calibrate(numbers, "psi", window_buckets=0, min_sample=2)


def test_a_threshold_does_not_depend_on_the_process() -> None:
    stream = news(np.random.default_rng(10), 60, 0.2)
    again = [Sketch.from_bytes(bucket.to_bytes()) for bucket in stream]
    one, other = (calibrate(buckets, "mmd", window_buckets=5, min_sample=50) for buckets in (stream, again))
    assert one == other


def test_readings_too_large_to_be_squared_give_no_threshold() -> None:
    """One number of 1e155 in a field must not stop the checks of all triggers."""
    values = [1e160 * (number % 3 + 1) if number % 4 else 1.0 for number in range(40)]
    buckets = [NumberSketch.empty().add([value / 1e8, value / 2e8]) for value in values]
    found = calibrate(buckets, "wasserstein", window_buckets=2, min_sample=2)
    assert found.threshold is None or math.isfinite(found.threshold)
    for readings, squared in (([1e154, 1e150] * 6, False), ([1e300, 1.0, 1e307] * 4, True)):
        assert not math.isfinite(_limit(np.array(readings), squared, 6, 1e-9))
