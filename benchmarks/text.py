"""100,000 text alerts through ``tidewatch check``: half ask for all words of a query, half for two words in a row.

With ``--data`` the queries are real ones and the texts are Reuters stories, AG News and short posts; every pair is
compared with the answers of Lucene Monitor. Without, generated texts are compared with plain evaluation. Figure
and baseline are those of ``benchmarks.attributes``.

    python -m benchmarks.text [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checking import run
from benchmarks.generated import texts
from benchmarks.sets import TEXTS, Set, text


def sets(given: Namespace, folder: Path) -> Iterator[Set]:
    """The real sets, or a generated one."""
    if given.data is None:
        yield texts(folder, given.alerts, given.documents)
        return
    for corpus in TEXTS:
        yield text(given.data, corpus, folder)


def main() -> None:
    """Read the arguments, print the result."""
    run(__doc__ or "", sets, alerts=100_000, documents=5_000)


if __name__ == "__main__":
    main()
