"""What ``benchmarks.drift`` compares: our metrics with calibrated thresholds, and detectors of other libraries.

- ADWIN and KSWIN of River watch one number a document, its cosine similarity to the mean of the baseline, and see
  the baseline first. They know no baseline: they compare the recent with the less recent. They run with the
  settings of their documentation, where River is installed (``pip install river``).
- MMDDriftOnline of Alibi Detect compares a window with the baseline by the maximum mean discrepancy, after each
  document. It is told to raise false alarms as often as our thresholds: one in a hundred checks, in documents
  (``ert``). Its bootstrap looks at each of 2 ``ert`` samples by itself, once for every document of a window: so
  that it ends within minutes, a window is ours on average and at most 50 documents, and at most 500 documents of
  the baseline are known, evenly spread (with 100 and 1,000 it did not end within a quarter of an hour). It needs
  an older numpy than the project, so it runs in an environment of its own, which
  ``benchmarks.drift --alibi-detect venv-alibi/bin/python`` names::

      python -m venv venv-alibi && venv-alibi/bin/pip install alibi-detect==0.13.0 'tensorflow-cpu<2.16' \\
          'tensorflow-probability<0.24'
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.drift_streams import Stream
from streams.engines.drift.calibration import DEFAULT_FALSE_ALARM_RATE, calibrate
from streams.engines.drift.metrics import METRICS, measure
from streams.engines.drift.sketch import Sketch, merge_all

KNOWN, WINDOW = 500, 50
"""Most documents of the baseline that MMDDriftOnline knows, and of its window."""
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


def others(stream: Stream, alibi_detect: Path | None) -> Iterator[tuple[str, Alarms | None]]:
    """Detectors of other libraries; ``None`` where the library is not installed. ``alibi_detect`` is the
    interpreter of an environment that has it."""
    for name in ("ADWIN", "KSWIN"):
        yield f"river {name}", _river(stream, name) if _installed("river") else None
    yield "alibi-detect MMDDriftOnline", None if alibi_detect is None else _alibi_detect(stream, alibi_detect)


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


def _alibi_detect(stream: Stream, python: Path) -> Alarms:
    first = stream.first
    # A check a bucket.
    bucket = first / stream.baseline
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stream.npz"
        np.savez(
            path,
            known=stream.vectors[: first : -(-first // KNOWN)],
            after=stream.vectors[first:],
            window=min(WINDOW, round(bucket * stream.window)),
            ert=round(bucket / DEFAULT_FALSE_ALARM_RATE),
        )
        script = Path(__file__).with_name("drift_mmd_online.py")
        run = subprocess.run([python, script, path], stdout=subprocess.PIPE, check=True)
    found = set(json.loads(run.stdout.splitlines()[-1]))
    return _alarms(stream, lambda place: place - first in found)


def _alarms(stream: Stream, alarm: Callable[[int], bool]) -> Alarms:
    """Documents after the baseline one by one."""
    return [int(stream.buckets[place]) for place in range(stream.first, len(stream.buckets)) if alarm(place)]
