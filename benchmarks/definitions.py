"""100,000 alerts from file to index, and one more added to them while documents pass.

*compile* is what ``tidewatch check`` says it took to read, check and index the alerts, in a process of its own.
*add* is one alert added to the 100,000 in memory: the time of ``Percolator.add`` and of the first batch after it,
less that of the same batch once more; its largest over many additions counts. Documents per second are those of
batches of 64 with one alert added before each; the baseline is the same batches without additions, so the ratio
says what changes cost. Every added alert must match the document made for it, and none before.

    python -m benchmarks.definitions [--data DIR] [--alerts N] [--additions N]

With ``--data`` the alerts are real text queries, else generated attribute alerts. The last line is one JSON
object. Exits 1 when an answer is wrong.
"""

import statistics
import sys
import time
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from benchmarks.checking import arguments, check, finish, scratch
from benchmarks.generated import attributes
from benchmarks.sets import Set, alert, text
from schemas.events.document import DocumentEvent
from schemas.manifest import ManifestObject, Place
from streams.cli.check_definitions import CheckedAlert, read_alerts
from streams.cli.check_documents import read_document
from streams.cli.manifests import iter_manifest
from streams.engines.retrieval.percolate.percolator import Percolator

NOW = datetime(2024, 1, 1, tzinfo=UTC)
BATCH = 64


def fresh(number: int) -> CheckedAlert:
    """An alert nobody has yet."""
    body = alert(
        f"new {number}", {"AND": [{"lot": f"lot {number}"}, {"field": "n", "operator": "gte", "value": 1}]}
    )
    (found,) = read_alerts([ManifestObject(Place("added", number), body)])
    return found


def additions(found: Set, most: int) -> dict[str, Any]:
    """One alert added before each of ``most`` batches."""
    percolator = Percolator(read_alerts(iter_manifest([found.definitions])), attrgetter("plan"))
    lines = found.documents.read_bytes().splitlines()[: BATCH * most]
    documents = [event for number, line in enumerate(lines, 1) if (event := read_document(line, number, NOW))]
    batches = [documents[start : start + BATCH] for start in range(0, len(documents), BATCH)]
    extra: list[float] = []
    adding = steady = wrong = 0.0
    for number, batch in enumerate(batches):
        made = fresh(number)
        proof = DocumentEvent("document.upserted", "", "", "proof", NOW, {"lot": f"lot {number}", "n": 1})
        whole = [*batch, proof]
        before = percolator.match(whole)[-1]
        started = time.perf_counter()
        percolator.match(whole)
        again = time.perf_counter()
        percolator.add(made)
        after = percolator.match(whole)[-1]
        ended = time.perf_counter()
        steady += again - started
        adding += ended - again
        extra.append((ended - again) - (again - started))
        wrong += [hit.alert for hit in after] != [*(hit.alert for hit in before), made]
    count = len(batches) * (BATCH + 1)
    return {
        "documents_per_second": round(count / adding),
        "baseline_documents_per_second": round(count / steady),
        "ratio": round(steady / adding, 3),
        "add_milliseconds": round(max(extra) * 1_000, 2),
        "add_milliseconds_median": round(statistics.median(extra) * 1_000, 3),
        "mismatches": int(wrong),
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = arguments(__doc__ or "", rounds=1, alerts=100_000)
    parser.add_argument("--additions", type=int, default=200, metavar="N", help="batches, each with a new alert")
    given = parser.parse_args()
    with scratch() as folder:
        count = BATCH * given.additions
        found = text(given.data, "agnews", folder) if given.data else attributes(folder, given.alerts, count)
        summary = check(found, folder / "out.jsonl")
        print(f"{found.name}: compiled in {summary['compile_seconds']:.1f} s", file=sys.stderr, flush=True)
        result = {
            "alerts": summary["alerts"],
            "compile_seconds": summary["compile_seconds"],
            "peak_memory_bytes": summary["peak_memory_bytes"],
            **additions(found, given.additions),
        }
    finish({found.name: result}, found.name)


if __name__ == "__main__":
    main()
