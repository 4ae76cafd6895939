"""10,000 attribute alerts (eq, in, starts_with, ranges, ne, exists) on records, through ``tidewatch check``.

With ``--data`` the alerts and documents are the real ones, vulnerability records of 0.9 kB and short posts, and
every pair is compared with the answers of AWS Event Ruler; without, generated records are compared with plain
evaluation. The figure is check's own, with reading, decoding and writing the matches. The baseline is a loop that
reads and decodes every line, writes one for each, and does nothing else: no engine in this language can pass it,
so the ratio says which share of that is left with the alerts on.

    python -m benchmarks.attributes [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checking import run
from benchmarks.generated import attributes
from benchmarks.sets import Set, ruler


def sets(given: Namespace, folder: Path) -> Iterator[Set]:
    """The real sets, or a generated one."""
    if given.data is None:
        yield attributes(folder, given.alerts, given.documents)
        return
    for which in ("cve", "tweets"):
        yield ruler(given.data, which, folder)


def main() -> None:
    """Read the arguments, print the result."""
    run(__doc__ or "", sets, alerts=10_000, documents=10_000)


if __name__ == "__main__":
    main()
