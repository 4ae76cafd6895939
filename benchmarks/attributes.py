"""10,000 attribute alerts (eq, in, starts_with, ranges, ne, exists) on records, through ``tidewatch check``.

With ``--data`` the alerts and documents are the real ones, vulnerability records of 0.9 kB and short posts, and
every pair is compared with the answers of AWS Event Ruler; without, generated records are compared with plain
evaluation. The figure is check's own, with reading, decoding and writing the matches. The baseline is a loop that
reads and decodes every line, writes one for each, and does nothing else: no engine in this language can pass it,
so the ratio says which share of that is left with the alerts on.

    python -m benchmarks.attributes [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from benchmarks.checking import arguments, finish, measured, scratch
from benchmarks.generated import attributes
from benchmarks.sets import ruler


def main() -> None:
    """Read the arguments, print the result."""
    given = arguments(__doc__ or "", alerts=10_000, documents=10_000).parse_args()
    with scratch() as folder:
        if given.data is None:
            sets = [attributes(folder, given.alerts, given.documents)]
        else:
            sets = [ruler(given.data, which, folder) for which in ("cve", "tweets")]
        results = {found.name: measured(found, folder, given.rounds) for found in sets}
    finish(results, sets[0].name)


if __name__ == "__main__":
    main()
