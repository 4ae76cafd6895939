"""Drift: false alarms and delay of every metric beside other detectors, and what one check costs.

The table gives, for each stream, the threshold as calibrated with the documented defaults (none is set by hand),
the alarms before the change, the first alarm after it, and how many documents and buckets after. Streams are
generated; with ``--data DIR`` they are real: see ``benchmarks.drift_streams``. ADWIN, KSWIN and MMDDriftOnline run
beside them where there are River and Alibi Detect: see ``benchmarks.drift_detectors``.

A check is what the trigger station does after 10,000, 100,000 and 1,000,000 documents, for every metric, the
database included; ``benchmarks.drift_checks`` says what exactly is counted, and what *warm* and *cold* are.
``ratio`` is the median of a warm check after the most documents to that after the fewest, for the window and
partitions where this is largest, and ``cold_ratio`` the same of the first check of a worker. *Check in memory* is
the engine's part, for every metric on every kind of series, with nothing kept from one check to the next, in
processor time: read the sketches of a window of 200 buckets, merge them, and measure.

    python -m benchmarks.drift [--data DIR] [--rounds N] [--documents N] [--largest N] [--alibi-detect PYTHON]

The last line is one JSON object. Exits 1 when, on a stream whose answer is known, cosine_drift (the default) gives
more false alarms than the calibration states or misses the change.
"""

import asyncio
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checking import arguments, finish
from benchmarks.drift_checks import checks
from benchmarks.drift_detectors import Alarms, others, ours
from benchmarks.drift_streams import Stream, generated, real
from streams.engines.drift.calibration import DEFAULT_FALSE_ALARM_RATE
from streams.engines.drift.metrics import METRICS, measure
from streams.engines.drift.series import SeriesKind, empty_sketch, sketch_from_bytes
from streams.engines.drift.sketch import merge_all

DEFAULT = "cosine_drift"
ROWS = 200
SIZES = (10_000, 100_000, 1_000_000)
DIMENSIONS = 384
KNOWN = ("generated, nothing new", "generated, new topics", "huffpost", "ag news, shuffled", "ag news, by topic")
"""Streams of which it is known when they change and that they do not before."""


def outcome(stream: Stream, alarms: Alarms) -> dict[str, Any]:
    """What the alarms of a detector amount to."""
    found = [] if stream.change is None else [bucket for bucket in alarms if bucket >= stream.change]
    result: dict[str, Any] = {"false_alarms": len(alarms) - len(found)}
    if stream.change is not None:
        result["found"] = stream.when(found[0]) if found else None
    if stream.change is not None and found:
        end = int(np.searchsorted(stream.buckets, found[0] + 1))
        result["delay_documents"] = end - stream.changed
        result["delay_buckets"] = found[0] + 1 - stream.change
    return result


def compared(stream: Stream, alibi_detect: Path | None) -> dict[str, Any]:
    """Every detector on one stream."""
    table: dict[str, Any] = {}
    for metric, threshold, alarms in ours(stream):
        table[metric] = {
            "threshold": None if threshold is None else round(threshold, 4),
            **outcome(stream, alarms),
        }
    for name, found in others(stream, alibi_detect):
        table[name] = "not installed" if found is None else outcome(stream, found)
    for name, row in table.items():
        print(f"{stream.name:24} {name:28} {row}", file=sys.stderr, flush=True)
    quiet = (int(stream.buckets[-1]) + 1 if stream.change is None else stream.change) - stream.baseline
    checks = quiet - stream.window + 1
    default = table[DEFAULT]
    missed = stream.change is not None and default["found"] is None
    excess = max(0, default["false_alarms"] - math.ceil(checks * DEFAULT_FALSE_ALARM_RATE))
    return {
        "documents": len(stream.buckets) - stream.first,
        "change": None if stream.change is None else stream.when(stream.change),
        "checks_before": checks,
        "detectors": table,
        "mismatches": excess + missed if stream.name in KNOWN else 0,
    }


def window(kind: SeriesKind, documents: int) -> list[bytes]:
    """The stored sketches of a window of ``ROWS`` buckets."""
    rng = np.random.default_rng(2)
    draws: dict[SeriesKind, Callable[[int], Any]] = {
        "embedding": lambda size: rng.normal(size=(size, DIMENSIONS)).astype(np.float32),
        "number": lambda size: rng.lognormal(size=size),
        "category": lambda size: [f"source {value % 200}" for value in rng.zipf(1.5, size=size)],
    }
    empty: Any = empty_sketch(kind, DIMENSIONS)
    return [empty.add(draws[kind](documents // ROWS)).to_bytes() for _ in range(ROWS)]


def costs(sizes: list[int], rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    """CPU milliseconds of one check by the number of documents, for every metric on every kind."""
    kinds: tuple[SeriesKind, ...] = ("embedding", "number", "category")
    for kind in kinds:
        stored = {documents: window(kind, documents) for documents in sizes}
        metrics = [name for name in METRICS if kind in METRICS[name].kinds]
        for metric in metrics:
            _check(metric, stored[sizes[0]], 2)
        for metric in metrics:
            times = {f"{documents:,}": _check(metric, rows, rounds) for documents, rows in stored.items()}
            print(f"{kind:10} {metric:14} {times} ms", file=sys.stderr, flush=True)
            yield f"{metric} of {kind}", times


def _check(metric: str, rows: list[bytes], rounds: int) -> float:
    baseline = merge_all(sketch_from_bytes(row) for row in rows)
    assert baseline is not None
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        current = merge_all(sketch_from_bytes(row) for row in rows)
        assert current is not None
        measure(metric, baseline, current, min_sample=100)
        taken.append(1e3 * (time.process_time() - started))
    return round(statistics.median(taken), 2)


def summary(milliseconds: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Times by kind of check and by documents, the worst of them, and how they grow."""
    columns = [list(times.values()) for times in milliseconds.values()]
    return {
        "milliseconds": milliseconds,
        "slowest_milliseconds": max(map(max, columns)),
        "mismatches": 0,
        "ratio": round(max(column[-1] / column[0] for column in columns), 3),
    }


def stored(times: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Checks with their database: by window and partitions, by documents, and all of it."""
    for name, taken in times.items():
        for documents, figures in taken.items():
            print(f"{name:36} {documents:>9} {figures} ms", file=sys.stderr, flush=True)
    warm, cold = (
        summary({name: {size: found[kind] for size, found in taken.items()} for name, taken in times.items()})
        for kind in ("warm", "cold")
    )
    return {
        **warm,
        "p99_milliseconds": max(found["warm_p99"] for taken in times.values() for found in taken.values()),
        "cold_milliseconds": cold["milliseconds"],
        "slowest_cold_milliseconds": cold["slowest_milliseconds"],
        "cold_ratio": cold["ratio"],
        "metrics": times,
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = arguments(__doc__ or "", rounds=40, documents=20_000)
    parser.add_argument(
        "--largest", type=int, default=max(SIZES), metavar="N", help="checks after this many at most"
    )
    parser.add_argument("--alibi-detect", type=Path, metavar="PYTHON", help="of an environment with Alibi Detect")
    given = parser.parse_args()
    streams = generated(given.documents) if given.data is None else real(given.data)
    results = {stream.name: compared(stream, given.alibi_detect) for stream in streams}
    sizes = [size for size in SIZES if size <= max(given.largest, min(SIZES))]
    results["check in memory"] = summary(dict(costs(sizes, given.rounds)))
    results["check"] = stored(asyncio.run(checks(sizes, given.rounds)))
    finish(results, "check")


if __name__ == "__main__":
    main()
