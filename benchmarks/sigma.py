"""Detection rules on log events through ``tidewatch check``: nested contains, regex and the like, in any case.

With ``--data`` 3,638 Sigma rules, and 10,000 with altered copies, on real events of 1 kB; every pair of the first
is compared with the answers of RSigma. Without, generated rules and events are compared with plain evaluation.
Figure and baseline are those of ``benchmarks.attributes``.

    python -m benchmarks.sigma [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checking import run
from benchmarks.generated import logs
from benchmarks.sets import Set, sigma


def sets(given: Namespace, folder: Path) -> Iterator[Set]:
    """The real sets, or a generated one."""
    if given.data is None:
        yield logs(folder, given.alerts, given.documents)
        return
    for extra in (False, True):
        yield sigma(given.data, folder, extra=extra)


def main() -> None:
    """Read the arguments, print the result."""
    run(__doc__ or "", sets, alerts=3_600, documents=20_000)


if __name__ == "__main__":
    main()
