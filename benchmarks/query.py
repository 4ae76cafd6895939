"""How fast results are read over HTTP while more come: the real service on the embedded database.

A million executions of 10,000 alerts are in the view; the real query service (uvicorn, materialiser) runs in a
process of its own, and a feeder goes on publishing results to a real Kafka, which it materialises meanwhile. From
another process:

- the latest result of an alert, 200 requests a second, each timed from when it was due; in the same way, before
  and after, an endpoint that does nothing, for what of it is not ours;
- the whole list by cursor, 1,000 a page, while executions arrive: every execution that was there when the listing
  began must come exactly once, and the total must never fall;
- pages of 50 at five depths of that list, in turns.

    python -m benchmarks.query [--kafka HOST:PORT] [--executions N] [--rate N] [--seconds N] [--feed N]

The last line is one JSON object; ``mismatches`` counts executions that are missing or listed twice, requests that
failed, and totals that are wrong.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp

from benchmarks.materialise import ALERTS, COLLECTION, NS, publish, records, stored
from benchmarks.pipeline import servers
from benchmarks.serving import answering, at_rate, environment, free_port, milliseconds, running, session
from schemas.ids import ExecutionHasher, execution_id
from schemas.topics import ALERT_RESULTS
from streams.query.results import ResultReader
from streams.query.rows import Rows
from streams.query.store import write
from streams.runtime.broker import Broker
from streams.runtime.database import Database, fetch_value
from streams.settings import Settings

HITS: Final = 10
PART: Final = 2_000
PAGE: Final = 50
ROUNDS: Final = 40
_DEFINE: Final = """
INSERT INTO definitions (kind, namespace_id, id, name, number, body, version)
SELECT 'alert', %(ns)s, 'alt_' || lpad(n::text, 16, '0'), 'alert ' || n, n, jsonb_build_object(
    'retriever_id', 'ret_' || lpad(n::text, 16, '0'), 'enabled', true,
    'notification_config', jsonb_build_object('channels', '[]'::jsonb, 'include_matches', true)), n
FROM generate_series(1, %(alerts)s) AS n
"""


async def prepare(database: Database, executions: int) -> None:
    """Alerts, and their executions in the view, written as the station writes them."""
    async with database.transaction() as connection:
        await connection.execute(_DEFINE.encode(), {"ns": NS, "alerts": ALERTS})
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('definitions', 'number'), %s)", (ALERTS + 1_000,)
        )
        await connection.execute(
            "INSERT INTO definitions (kind, namespace_id, id, name, body, version)"
            " VALUES ('namespace', '', %s, 'bench', '{}', 1)",
            (NS,),
        )
    reader, rows = ResultReader(), None
    found = records(0, executions // HITS, HITS)
    done = False
    while not done:
        rows = Rows(reader)
        for _ in range(PART):
            record = next(found, None)
            if record is None:
                done = True
                break
            rows.add(ALERT_RESULTS.name, record[2])
        async with database.transaction() as connection:
            await write(connection, rows)
    async with database.connection() as connection:
        await connection.execute("VACUUM ANALYZE")


def feed(environment: dict[str, Any], first: int, rate: int, stop: Any) -> None:
    """A process that publishes ``rate`` executions a second until it is told to stop."""

    async def main() -> None:
        settings, at = Settings(**environment), first
        begun = time.monotonic()
        while not stop.is_set():
            due = int((time.monotonic() - begun) * rate) // HITS - (at - first)
            if due > 0:
                await publish(settings, at, due, HITS)
                at += due
            await asyncio.sleep(0.05)

    asyncio.run(main())


class Asked:
    """What requests found wrong."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.failed = 0

    async def get(self, path: str) -> Any:
        """The body of an answer."""
        async with self.http.get(path) as response:
            body = await response.read()
            if response.status != 200:
                self.failed += 1
            return json.loads(body)

    async def timed(self, path: str) -> float:
        """Seconds of one request."""
        begun = time.perf_counter()
        async with self.http.get(path) as response:
            await response.read()
            self.failed += response.status != 200
        return time.perf_counter() - begun


async def load(port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All that is asked, in the measuring process."""
    async with session(port, "bench") as http:
        asked = Asked(http)
        chance = Random(1)
        paths = [f"/v1/alerts/alt_{chance.randint(1, ALERTS):016}/results" for _ in range(10_000)]
        count = int(arguments.rate * arguments.seconds)

        async def latest(number: int) -> None:
            await asked.timed(paths[number % len(paths)])

        async def nothing(_: int) -> None:
            await asked.timed("/v1/health")

        await at_rate(arguments.rate, 200, latest)
        empty = await at_rate(arguments.rate, count // 2, nothing)
        taken = await at_rate(arguments.rate, count, latest)
        empty += await at_rate(arguments.rate, count // 2, nothing)
        walk = await walked(asked, arguments.executions)
        depths = await deep(asked, walk.pop("cursors"))
        return {
            "latest_ms": milliseconds(taken),
            "empty_endpoint_ms": milliseconds(empty),
            **walk,
            **depths,
            "failed": asked.failed,
        }


async def walked(asked: Asked, executions: int) -> dict[str, Any]:
    """List everything by cursor. Of what was there before, how much was missing or came twice."""
    hasher = ExecutionHasher("benchmark")
    expected: set[str] = set()
    for number in range(executions // HITS):
        base = hasher.base(NS, None, "documents", number % 4, number)
        start = number * 7_919 % ALERTS
        expected.update(execution_id(base, (start + 125 * step) % ALERTS + 1) for step in range(HITS))
    seen: set[str] = set()
    twice = falling = total = 0
    cursors: list[str] = []
    cursor = ""
    begun = time.perf_counter()
    while True:
        page = await asked.get(f"/v1/alerts/executions?limit=1000{cursor}")
        ids = {item["execution_id"] for item in page["results"]}
        twice += len(page["results"]) - len(ids - seen)
        seen |= ids
        falling += page["total_count"] < total
        total = page["total_count"]
        following = page["pagination"]["next_cursor"]
        if following is None:
            break
        cursors.append(following)
        cursor = f"&cursor={following}"
    return {
        "listed": len(seen),
        "listed_per_second": round(len(seen) / (time.perf_counter() - begun)),
        "missing": len(expected - seen),
        "twice": twice,
        "wrong_totals": falling + (total < len(expected)),
        "cursors": [cursors[int(share * (len(cursors) - 1))] for share in (0.25, 0.5, 0.75, 1.0)],
    }


async def deep(asked: Asked, cursors: list[str]) -> dict[str, Any]:
    """Pages at several depths, in turns."""
    paths = [f"/v1/alerts/executions?limit={PAGE}"]
    paths += [f"{paths[0]}&cursor={cursor}" for cursor in cursors]
    taken: list[list[float]] = [[] for _ in paths]
    for _ in range(ROUNDS):
        for path, times in zip(paths, taken, strict=True):
            times.append(await asked.timed(path))
    medians = [statistics.median(times) for times in taken]
    return {
        "page_ms_by_depth": [round(1_000 * value, 2) for value in medians],
        "deepest_to_first": round(max(medians[1:]) / medians[0], 3),
    }


def child(port: int, arguments: argparse.Namespace, answer: Any) -> None:
    """The measuring process."""
    answer.send(asyncio.run(load(port, arguments)))


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        async with servers(arguments.kafka, Path(folder)) as settings, Database(settings) as database:
            await Broker(settings).create_topics()
            await prepare(database, arguments.executions)
            print(f"{arguments.executions:,} executions of {COLLECTION} are there", file=sys.stderr, flush=True)
            port, stop = free_port(), spawn.Event()
            variables = environment(settings, PORT=str(port))
            async with running(variables, "query"), session(port, "bench") as http:
                await answering(http)
                first = arguments.executions // HITS
                feeder = spawn.Process(target=feed, args=(settings.model_dump(), first, arguments.feed, stop))
                feeder.start()
                receiver, sender = spawn.Pipe(duplex=False)
                process = spawn.Process(target=child, args=(port, arguments, sender))
                process.start()
                sender.close()
                before = await stored(database)
                try:
                    answer = await asyncio.to_thread(receiver.recv)
                except EOFError:
                    sys.exit("the measuring process failed; its traceback is above")
                finally:
                    stop.set()
                    await asyncio.to_thread(feeder.join)
                    await asyncio.to_thread(process.join)
                materialised = (await stored(database) - before) * HITS
            async with database.connection() as connection:
                rows = int(await fetch_value(connection, "SELECT count(*) FROM alert_executions"))
                counted = int(await fetch_value(connection, "SELECT sum(executions) FROM alert_execution_counts"))
    wrong = [answer.pop(name) for name in ("missing", "twice", "wrong_totals", "failed")]
    return {
        **answer,
        "executions": arguments.executions,
        "materialised_meanwhile": materialised,
        "requests_per_second": arguments.rate,
        "mismatches": sum(wrong) + abs(rows - counted),
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of requests at that rate")
    parser.add_argument("--feed", type=int, default=2_000, help="executions a second that come meanwhile")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
