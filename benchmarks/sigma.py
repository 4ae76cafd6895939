"""Detection rules on log events through ``tidewatch check``: nested contains, regex and the like, in any case.

With ``--data`` 3,638 Sigma rules, and 10,000 with altered copies, on real events of 1 kB; every pair of the first
is compared with the answers of RSigma. Without, generated rules and events are compared with plain evaluation.
Figure and baseline are those of ``benchmarks.attributes``.

    python -m benchmarks.sigma [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from benchmarks.checking import arguments, finish, measured, scratch
from benchmarks.generated import logs
from benchmarks.sets import sigma


def main() -> None:
    """Read the arguments, print the result."""
    given = arguments(__doc__ or "", alerts=3_600, documents=20_000).parse_args()
    results = {}
    for extra in (False, True) if given.data else (False,):
        with scratch() as folder:
            if given.data:
                found = sigma(given.data, folder, extra=extra)
            else:
                found = logs(folder, given.alerts, given.documents)
            results[found.name] = measured(found, folder, given.rounds)
    finish(results, next(iter(results)))


if __name__ == "__main__":
    main()
