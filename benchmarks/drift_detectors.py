"""What ``benchmarks.drift`` compares: our metrics with calibrated thresholds, and detectors of other libraries.

The others run where they are installed (``pip install river``; ``pip install alibi-detect 'tensorflow-cpu<2.16'
'tensorflow-probability<0.24'``) with the settings their documentation gives:

- ADWIN and KSWIN of River watch one number a document, its cosine similarity to the mean of the baseline, and see
  the baseline first. They know no baseline: they compare the recent with the less recent.
- MMDDriftOnline of Alibi Detect compares a window with the baseline by the maximum mean discrepancy. Its window is
  ours on average, at most 100 documents, it is to raise one false alarm in 500 documents, and it knows at most
  1,000 documents of the baseline, evenly spread: its bootstrap is slow, and takes many minutes a stream even so.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.drift_streams import Stream
from streams.engines.drift.calibration import calibrate
from streams.engines.drift.metrics import METRICS, measure
from streams.engines.drift.sketch import Sketch, merge_all

MIN_SAMPLE = 100
"""As a trigger's ``min_sample`` when left out."""

Alarms = list[int]
"""The bucket in which each alarm begins."""


def ours(stream: Stream) -> Iterator[tuple[str, float | None, Alarms]]:
    """Every metric: its calibrated threshold, and where it begins to exceed it."""
    edges = np.searchsorted(stream.buckets, np.arange(stream.buckets[-1] + 2))
    empty = Sketch.empty(stream.vectors.shape[1])
    buckets = [empty.add(stream.vectors[begin:end]) for begin, end in pairwise(edges)]
    baseline = merge_all(buckets[: stream.baseline])
    assert baseline is not None
    ends = range(stream.baseline + stream.window, len(buckets) + 1)
    windows = [(end - 1, merge_all(buckets[end - stream.window : end])) for end in ends]
    for metric in METRICS:
        calibration = calibrate(
            buckets[: stream.baseline], metric, window_buckets=stream.window, min_sample=MIN_SAMPLE
        )
        threshold = calibration.threshold
        alarms: Alarms = []
        over = False
        for bucket, window in windows:
            assert window is not None
            value = measure(metric, baseline, window, min_sample=MIN_SAMPLE).value
            was, over = over, value is not None and threshold is not None and value > threshold
            if over and not was:
                alarms.append(bucket)
        yield metric, threshold, alarms


def others(stream: Stream) -> Iterator[tuple[str, Alarms | None]]:
    """Detectors of other libraries; ``None`` where the library is not installed."""
    for name in ("ADWIN", "KSWIN"):
        yield f"river {name}", _river(stream, name) if _installed("river") else None
    tensorflow = _installed("alibi_detect") and _installed("tensorflow")
    yield "alibi-detect MMDDriftOnline", _alibi_detect(stream) if tensorflow else None


def _installed(name: str) -> bool:
    return find_spec(name) is not None


def _river(stream: Stream, name: str) -> Alarms:
    drift = import_module("river.drift")
    detector = drift.ADWIN() if name == "ADWIN" else drift.KSWIN(seed=1)
    centre = stream.vectors[: stream.first].mean(axis=0)
    similarities = stream.vectors @ (centre / np.linalg.norm(centre))

    def alarm(place: int) -> bool:
        detector.update(float(similarities[place]))
        return bool(detector.drift_detected)

    for place in range(stream.first):
        alarm(place)
    return _alarms(stream, alarm)


def _alibi_detect(stream: Stream) -> Alarms:
    size = min(100, round(stream.first / stream.baseline * stream.window))
    known = stream.vectors[: stream.first : -(-stream.first // 1_000)]
    detector: Any = import_module("alibi_detect.cd").MMDDriftOnline(
        known, ert=500, window_size=size, n_bootstraps=1_000, verbose=False
    )

    def alarm(place: int) -> bool:
        found = bool(detector.predict(stream.vectors[place])["data"]["is_drift"])
        if found:
            # After an alarm a new window is filled.
            detector.reset_state()
        return found

    return _alarms(stream, alarm)


def _alarms(stream: Stream, alarm: Callable[[int], bool]) -> Alarms:
    """Documents after the baseline one by one."""
    return [int(stream.buckets[place]) for place in range(stream.first, len(stream.buckets)) if alarm(place)]
