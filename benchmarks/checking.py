"""What the benchmarks of percolation share: ``tidewatch check`` in a process of its own, a bare loop beside it,
and whether its answers are right."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson

from benchmarks.sets import Set
from streams.cli.check_definitions import read_alerts
from streams.cli.check_documents import read_document
from streams.cli.manifests import iter_manifest
from streams.engines.retrieval.percolate.reference import check as plain

SHOWN = 5


def arguments(
    doc: str, *, rounds: int = 3, alerts: int | None = None, documents: int | None = None
) -> argparse.ArgumentParser:
    """The options every one of them has; how many ``alerts`` and ``documents`` are generated, where that is asked
    in the same way."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the real sets; generated ones when left out")
    parser.add_argument("--rounds", type=int, default=rounds, help="runs whose median counts")
    for name, count in (("--alerts", alerts), ("--documents", documents)):
        if count is not None:
            parser.add_argument(name, type=int, default=count, metavar="N", help=f"of generated sets ({count:,})")
    return parser


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the files of a run."""
    with tempfile.TemporaryDirectory(prefix="tidewatch-bench-") as folder:
        yield Path(folder)


def check(found: Set, out: Path) -> dict[str, Any]:
    """One run of check; its summary."""
    command = [sys.executable, "-m", "streams.cli.main", "check", str(found.definitions), str(found.documents)]
    run = subprocess.run([*command, "--out", str(out), "--json"], stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise SystemExit(f"check failed on {found.name}")
    summary: dict[str, Any] = orjson.loads(run.stdout)
    return summary


def bare(found: Set, out: Path) -> float:
    """Documents per second of a loop that reads and decodes every line, writes one for each, and does nothing
    else: what no engine in this language can pass."""
    count = 0
    started = time.perf_counter()
    with found.documents.open("rb") as lines, out.open("wb") as file:
        for line in lines:
            raw = orjson.loads(line)
            file.write(b'{"document_id":"%d","matches":[]}\n' % len(raw))
            count += 1
    return count / (time.perf_counter() - started)


def compared(found: Set, out: Path) -> int:
    """Pairs of a document and an alert that differ from the known answers, the first of them shown; without
    known answers, from plain evaluation of a sample."""
    answers = {row["document_id"]: frozenset(hit["alert"] for hit in row["matches"]) for row in _lines(out)}
    if not found.expected:
        return _sampled(found, answers)
    wrong = shown = 0
    for document, wanted in found.expected.items():
        given = answers.get(document, frozenset())
        if found.known is not None:
            given &= found.known
        if given != wanted:
            wrong += len(given ^ wanted)
            if shown < SHOWN:
                shown += 1
                missing, extra = sorted(wanted - given), sorted(given - wanted)
                print(
                    f"{found.name}: document {document}: missing {missing[:9]}, too many {extra[:9]}",
                    file=sys.stderr,
                )
    return wrong


def _sampled(found: Set, answers: Mapping[str, frozenset[str]], pairs: int = 20_000) -> int:
    alerts = read_alerts(iter_manifest([found.definitions]))
    documents = [
        document
        for number, line in enumerate(found.documents.read_bytes().splitlines(), 1)
        if (document := read_document(line, number, datetime.now(UTC))) is not None
    ]
    chance, wrong = Random(7), 0
    for _ in range(pairs):
        document, alert = chance.choice(documents), chance.choice(alerts)
        given = alert.name in answers.get(document.document_id, ())
        wrong += given != (plain(alert.plan, document) is not None)
    # Random pairs seldom match: every answer of some documents is looked at too.
    plans = {alert.name: alert.plan for alert in alerts}
    for document in chance.sample(documents, min(200, len(documents))):
        for name in answers.get(document.document_id, ()):
            wrong += plain(plans[name], document) is None
    return wrong


def _lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def measured(found: Set, folder: Path, rounds: int) -> dict[str, Any]:
    """Check and the bare loop in turns, medians; the answers compared."""
    out = folder / "out.jsonl"
    rates: list[float] = []
    bases: list[float] = []
    for _ in range(rounds):
        bases.append(bare(found, out))
        summary = check(found, out)
        rates.append(summary["documents_per_second"])
        print(
            f"{found.name}: {rates[-1]:>9,.0f} documents/s, bare {bases[-1]:>9,.0f}", file=sys.stderr, flush=True
        )
    rate, base = statistics.median(rates), statistics.median(bases)
    return {
        "documents_per_second": round(rate),
        "baseline_documents_per_second": round(base),
        "ratio": round(rate / base, 4),
        "documents": summary["documents"],
        "alerts": summary["alerts"],
        "matches_per_document": round(summary["matches"] / max(1, summary["documents"]), 2),
        "compile_seconds": summary["compile_seconds"],
        "peak_memory_bytes": summary["peak_memory_bytes"],
        "mismatches": compared(found, out),
        "known_answers": len(found.expected),
    }


def run(
    doc: str, sets: Callable[[argparse.Namespace, Path], Iterable[Set]], *, alerts: int, documents: int
) -> None:
    """The whole of a benchmark that measures sets with check: read the arguments, print the result. ``sets`` makes
    them in a folder one after another, each when the one before is done with."""
    given = arguments(doc, alerts=alerts, documents=documents).parse_args()
    with scratch() as folder:
        results = {found.name: measured(found, folder, given.rounds) for found in sets(given, folder)}
    finish(results, next(iter(results)))


def finish(results: Mapping[str, dict[str, Any]], main: str) -> None:
    """Print one JSON object: the figures of ``main``, and all by name. Exits 1 when an answer was wrong."""
    print(json.dumps({**results[main], "sets": results}))
    if any(result.get("mismatches") for result in results.values()):
        raise SystemExit(1)
