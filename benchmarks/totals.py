"""What the total of a list costs: a sum of the ledger (``streams.runtime.list_counts``) beside counting the rows.

Executions of one retriever are in the view, on the embedded database with fsync on, the table vacuumed and the
ledger folded as they are in the long run. ``ratio`` is the time of ``count(*)`` by that of the sum, medians of
both in turns. *Written* is what a row costs, in microseconds, with the ledger's triggers and without, each row in
a statement of its own and all in one transaction.

    python -m benchmarks.totals [--rows N] [--written N] [--rounds N]

The last line is one JSON object. Exits 1 when a sum is not what counting says.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.checking import finish, scratch
from streams.runtime.database import Connection, Database, fetch_value, migrate
from streams.runtime.dev.database import embedded_database
from streams.runtime.list_counts import fold, listed
from streams.settings import Settings

NS, RETRIEVER = "ns_bench", "ret_bench"
_FILL: Final = (
    "INSERT INTO retriever_executions (execution_id, namespace_id, retriever_id, status, created_at, completed_at,"
    " detail) SELECT 'exec_' || n, %(ns)s, %(retriever)s, 'completed', now() - n * interval '1 s', now(), '{}'"
    " FROM generate_series(%(first)s::int, %(last)s::int) AS n"
)
_COUNT: Final = (
    "SELECT count(*) FROM retriever_executions WHERE namespace_id = %(ns)s AND retriever_id = %(retriever)s"
)
_WHOSE: Final = {"ns": NS, "retriever": RETRIEVER}


async def milliseconds(ask: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    """What a question takes, and its answer."""
    began = time.perf_counter()
    answer = await ask()
    return 1e3 * (time.perf_counter() - began), answer


async def written(connection: Connection, first: int, rows: int) -> float:
    """Microseconds a row."""
    began = time.perf_counter()
    async with connection.transaction():
        for number in range(first, first + rows):
            await connection.execute(_FILL.encode(), {**_WHOSE, "first": number, "last": number}, prepare=True)
    return 1e6 * (time.perf_counter() - began) / rows


async def measured(folder: Path, rows: int, writes: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Reads, then writes."""
    async with embedded_database(folder) as dsn:
        await migrate(dsn)
        async with Database(Settings(database=dsn)) as database, database.connection() as connection:
            await connection.execute(_FILL.encode(), {**_WHOSE, "first": 1, "last": rows})
            await connection.execute("VACUUM ANALYZE retriever_executions")
            await fold(connection)

            async def counting() -> int:
                return int(await fetch_value(connection, _COUNT, _WHOSE))

            async def summing() -> int:
                return await listed(connection, "retriever_execution", NS, RETRIEVER)

            taken: dict[str, list[float]] = {"counted": [], "summed": []}
            wrong = 0
            for _ in range(rounds):
                for name, ask in (("counted", counting), ("summed", summing)):
                    spent, answer = await milliseconds(ask)
                    taken[name].append(spent)
                    wrong += answer != rows
            costs: dict[str, list[float]] = {"with": [], "without": []}
            following = rows + 1
            for _ in range(rounds):
                for name in costs:
                    switch = "ENABLE" if name == "with" else "DISABLE"
                    await connection.execute(f"ALTER TABLE retriever_executions {switch} TRIGGER USER".encode())
                    costs[name].append(await written(connection, following, writes))
                    following += writes
                await fold(connection)
            wrong += await summing() != rows + rounds * writes
    found = {name: round(statistics.median(each), 3) for name, each in taken.items()}
    each_row = {f"{name}_microseconds": round(statistics.median(each), 1) for name, each in costs.items()}
    return {
        "totals": {
            "ratio": round(found["counted"] / found["summed"], 1),
            "rows": rows,
            **{f"{name}_milliseconds": each for name, each in found.items()},
            "mismatches": wrong,
        },
        "written": {
            "ratio": round(each_row["with_microseconds"] / each_row["without_microseconds"], 2),
            **each_row,
            "mismatches": 0,
        },
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="executions of the retriever")
    parser.add_argument("--written", type=int, default=5_000, help="rows written in a round")
    parser.add_argument("--rounds", type=int, default=5, help="runs whose median counts")
    given = parser.parse_args()
    with scratch() as folder:
        results = asyncio.run(measured(folder, given.rows, given.written, given.rounds))
    finish(results, "totals")


if __name__ == "__main__":
    main()
