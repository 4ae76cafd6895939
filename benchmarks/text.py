"""100,000 text alerts through ``tidewatch check``: half ask for all words of a query, half for two words in a row.

With ``--data`` the queries are real ones and the texts are Reuters stories, AG News and short posts; every pair is
compared with the answers of Lucene Monitor. Without, generated texts are compared with plain evaluation. Figure
and baseline are those of ``benchmarks.attributes``.

    python -m benchmarks.text [--data DIR] [--rounds N] [--alerts N] [--documents N]

The last line is one JSON object. Exits 1 when an answer is wrong.
"""

from benchmarks.checking import arguments, finish, measured, scratch
from benchmarks.generated import texts
from benchmarks.sets import TEXTS, text


def main() -> None:
    """Read the arguments, print the result."""
    given = arguments(__doc__ or "", alerts=100_000, documents=5_000).parse_args()
    with scratch() as folder:
        if given.data is None:
            sets = [texts(folder, given.alerts, given.documents)]
        else:
            sets = [text(given.data, corpus, folder) for corpus in TEXTS]
        results = {found.name: measured(found, folder, given.rounds) for found in sets}
    finish(results, sets[0].name)


if __name__ == "__main__":
    main()
