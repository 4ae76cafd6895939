"""Vector alerts of 384 dimensions beside the bare matrix product that no exact search can do without.

1,000 and 10,000 alerts, each with a threshold that about one of them reaches per document, on batches of 512
documents in memory: the percolator (unit vectors, product, thresholds, exact scores of what was found) and, on the
same float32 arrays, ``documents @ alerts.T`` alone. Both in one thread and in turns; the ratio is the share of the
bare product's documents per second. Every hit and score of a sample is compared with plain evaluation.

    python -m benchmarks.vectors [--rounds N] [--largest N] [--documents N]

``--data`` is accepted and changes nothing: the vectors are generated. The last line is one JSON object. Exits 1
when an answer is wrong.
"""

import os

# Before numpy is loaded: one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.checking import arguments, finish
from schemas.events.document import UPSERTED, DocumentEvent
from streams.cli.process import settle_in
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.percolator import Hit, Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.percolate.reference import check

DIMENSIONS, BATCH = 384, 512
SIZES = {1_000: 40_960, 10_000: 10_240}
"""Number of alerts → of documents."""
URI = "mixpeek://passthrough_extractor@v1/embedding"
MIN_SCORE = 0.7
NOW = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """A standing vector."""

    number: int
    plan: Plan


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1."""
    lengths: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths


def measure(count: int, documents: int, rounds: int) -> dict[str, Any]:
    """One number of alerts."""
    chance = np.random.default_rng(1)
    queries = unit(chance.normal(size=(count, DIMENSIONS)))
    noise = unit(chance.normal(size=(documents, DIMENSIONS)))
    vectors = unit(queries[chance.integers(count, size=documents)] + 0.6 * noise).astype(np.float32)
    events = [
        DocumentEvent(UPSERTED, "ns", "col", f"d{row}", NOW, payload={}, features={URI: vectors[row]})
        for row in range(documents)
    ]
    started = time.perf_counter()
    percolator = Percolator([alert(number, query) for number, query in enumerate(queries)], lambda item: item.plan)
    compiled = time.perf_counter() - started
    product = np.ascontiguousarray(queries.astype(np.float32).T)
    # As in a worker; else looking for garbage among the documents of the benchmark costs a tenth.
    settle_in()
    sample = range(0, documents, max(1, documents // 20))
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        for start in range(0, documents, BATCH):
            vectors[start : start + BATCH] @ product
        bare.append(documents / (time.perf_counter() - started))
        started = time.perf_counter()
        matches = 0
        hits: dict[int, list[Hit[Alert]]] = {}
        # As a worker does, only what is looked at later is kept.
        for start in range(0, documents, BATCH):
            found = percolator.match(events[start : start + BATCH])
            matches += sum(map(len, found))
            hits.update((row, found[row - start]) for row in sample if start <= row < start + BATCH)
        ours.append(documents / (time.perf_counter() - started))
        print(
            f"{count:>6} alerts: {ours[-1]:>9,.0f} documents/s, bare {bare[-1]:>9,.0f}",
            file=sys.stderr,
            flush=True,
        )
    wrong = 0
    plans = [alert(number, query).plan for number, query in enumerate(queries)]
    for row in sample:
        wanted = {
            number: verdict.score
            for number, plan in enumerate(plans)
            if (verdict := check(plan, events[row])) is not None
        }
        wrong += len(set(wanted.items()) ^ {(hit.alert.number, hit.score) for hit in hits[row]})
    rate, base = statistics.median(ours), statistics.median(bare)
    return {
        "documents_per_second": round(rate),
        "baseline_documents_per_second": round(base),
        "ratio": round(rate / base, 3),
        "alerts": count,
        "documents": documents,
        "matches_per_document": round(matches / documents, 2),
        "compile_seconds": round(compiled, 3),
        "mismatches": wrong,
    }


def alert(number: int, query: NDArray[np.float64]) -> Alert:
    """The alert of one vector."""
    search = {"feature_uri": URI, "query": query.tolist(), "min_score": MIN_SCORE}
    config = {"stage_id": "feature_search", "parameters": {"searches": [search]}}
    return Alert(number, compile_plan({"stages": [{"stage_name": "search", "config": config}]}, {}))


def main() -> None:
    """Read the arguments, print the result."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--largest", type=int, default=max(SIZES), help="stop at this many alerts")
    parser.add_argument("--documents", type=int, default=max(SIZES.values()), help="no more than these")
    given = parser.parse_args()
    results = {
        f"{count:,} alerts": measure(count, min(documents, given.documents), given.rounds)
        for count, documents in SIZES.items()
        if count <= max(given.largest, min(SIZES))
    }
    finish(results, "1,000 alerts")


if __name__ == "__main__":
    main()
