"""Attribute alerts from 1,000 to 1,000,000 through ``tidewatch check``: documents per second and memory an alert.

Three populations, generated: *few*, where almost no document matches anything; *hundred*, where about 100 alerts
match every document whatever their number; *field*, where all alerts ask the same field. Each size runs in a
process of its own. Bytes an alert are what the peak of the process grew by from the smallest size, definitions
being read included. The baseline of a population is its own smallest size: ``ratio`` is the worst share that is
left at the largest (1 means the number of alerts costs nothing). A sample of pairs is compared with plain
evaluation at the smallest size, the number of matches with what was generated at every size.

    python -m benchmarks.scale [--largest N] [--documents N]

``--data`` is accepted and changes nothing: the sets are generated. The last line is one JSON object. Exits 1 when
an answer is wrong.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.checking import arguments, check, compared, finish, scratch
from benchmarks.sets import Json, Set, alert, write

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MATCHES = 100
Leaves = Callable[[Random, int, int], list[Json]]


def few(chance: Random, number: int, size: int) -> list[Json]:
    """A user of many millions, and an amount."""
    user = {"field": "user", "operator": "eq", "value": f"u{chance.randrange(10**8)}"}
    return [user, {"field": "amount", "operator": "gte", "value": chance.randrange(1_000)}]


def hundred(chance: Random, number: int, size: int) -> list[Json]:
    """One of so many groups that every document's has about 100 alerts."""
    return [{"field": "group", "operator": "eq", "value": f"g{number % (size // MATCHES)}"}]


def field(chance: Random, number: int, size: int) -> list[Json]:
    """A value of the one field, of as many as there are alerts."""
    if number % 10 == 0:
        return [{"field": "user", "operator": "starts_with", "value": f"v{number}/"}]
    return [{"field": "user", "operator": "eq", "value": f"v{number}/{number % 7}"}]


POPULATIONS: dict[str, Leaves] = {"few": few, "hundred": hundred, "field": field}


def generated(name: str, size: int, documents: int, folder: Path) -> Set:
    """One population of one size."""
    chance = Random(17)
    alerts = (alert(f"a{number}", {"AND": POPULATIONS[name](chance, number, size)}) for number in range(size))

    def records() -> Iterator[Json]:
        for number in range(documents):
            one = chance.randrange(size)
            yield {
                "document_id": f"d{number}",
                "user": f"v{one}/{one % 7}" if name == "field" else f"u{chance.randrange(10**8)}",
                "group": f"g{chance.randrange(size // MATCHES)}" if name == "hundred" else "none",
                "amount": chance.randrange(1_000),
                "country": f"c{chance.randrange(200)}",
                "tags": [f"t{chance.randrange(5_000)}" for _ in range(3)],
                "note": f"a note of some length about order {number}, which nobody asks for",
            }

    return Set(
        f"{name}-{size}",
        write(folder / "alerts.jsonl", alerts),
        write(folder / "documents.jsonl", records()),
    )


def measure(name: str, sizes: tuple[int, ...], documents: int, rounds: int) -> dict[str, Any]:
    """One population over the sizes."""
    rates: dict[int, float] = {}
    peaks: dict[int, int] = {}
    wrong = 0
    with scratch() as folder:
        for size in sizes:
            found, out = generated(name, size, documents, folder), folder / "out.jsonl"
            runs = [check(found, out) for _ in range(rounds)]
            rates[size] = max(run["documents_per_second"] for run in runs)
            peaks[size] = min(run["peak_memory_bytes"] for run in runs)
            each = runs[0]["matches"] / documents
            expected = {"few": each < 0.1, "hundred": abs(each - MATCHES) < 1, "field": each == 1}[name]
            wrong += not expected
            if size == sizes[0]:
                wrong += compared(found, out)
            print(
                f"{found.name}: {rates[size]:>9,.0f} documents/s, {each:.2f} matches each,"
                f" compiled in {runs[0]['compile_seconds']:.1f} s, {peaks[size] / 2**20:,.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    first, last = sizes[0], sizes[-1]
    return {
        "documents_per_second": round(rates[last]),
        "baseline_documents_per_second": round(rates[first]),
        "ratio": round(rates[last] / rates[first], 3),
        "falls_by": round(rates[first] / rates[last], 2),
        "bytes_per_alert": round((peaks[last] - peaks[first]) / (last - first)) if last > first else None,
        "by_size": {str(size): round(rate) for size, rate in rates.items()},
        "mismatches": wrong,
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = arguments(__doc__ or "", rounds=1)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="stop at this many alerts")
    parser.add_argument("--documents", type=int, default=20_000)
    given = parser.parse_args()
    sizes = tuple(size for size in SIZES if size <= max(given.largest, SIZES[0]))
    results = {name: measure(name, sizes, given.documents, given.rounds) for name in POPULATIONS}
    finish(results, min(results, key=lambda name: results[name]["ratio"]))


if __name__ == "__main__":
    main()
