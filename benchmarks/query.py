"""How fast results are read over HTTP while more come: the real service on the embedded database.

A million executions of 10,000 alerts are in the view; the real query service (``tidewatch query``: HTTP and the
materialiser) runs in processes of its own, on the machine that also runs Kafka, PostgreSQL, and what asks. What
"while materialising" means is measured twice:

- **steady**: a feeder goes on publishing ``--feed`` executions a second, ten a document, and the view keeps up;
- **catching up**: ``--backlog`` executions lie in the topic when the service starts, and it materialises them as
  fast as it can, for as long as is asked (``backlog_left`` says how many were still to do at the end: at 0 the
  window was longer than the backlog).

In both, from another process: the latest result of an alert, ``--rate`` requests a second, each timed from when
it was due; in the steady state in the same way, before and after, an endpoint that does nothing, for what of it is
not ours. Then, in the steady state:

- the whole list by cursor, 1,000 a page, while executions arrive: every execution that was there when the listing
  began must come exactly once, and the total must never fall;
- pages of 50 at five depths of that list, in turns.

    python -m benchmarks.query [--kafka HOST:PORT] [--executions N] [--rate N] [--seconds N] [--feed N]
        [--backlog N]

The last line is one JSON object; ``mismatches`` counts executions that are missing or listed twice, requests that
failed, totals that are wrong, and executions of the backlog that did not come, or came twice.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp

from benchmarks.materialise import ALERTS, COLLECTION, NS, publish, publishing, records, stored
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
WARM_UP: Final = 200
"""Requests, at the rate, that are not counted: the service has just started."""
PATIENCE_SECONDS: Final = 120.0
SPAWN: Final = multiprocessing.get_context("spawn")
_DEFINE: Final = """
INSERT INTO definitions (kind, namespace_id, id, name, number, body, version)
SELECT 'alert', %(ns)s, 'alt_' || lpad(n::text, 16, '0'), 'alert ' || n, n, jsonb_build_object(
    'retriever_id', 'ret_' || lpad(n::text, 16, '0'), 'enabled', true,
    'notification_config', jsonb_build_object('channels', '[]'::jsonb, 'include_matches', true)), n
FROM generate_series(1, %(alerts)s) AS n
"""
_ATTACH: Final = """
INSERT INTO definitions (kind, namespace_id, id, name, body, version)
SELECT 'collection', %(ns)s, %(collection)s, 'bench', jsonb_build_object('enabled', true, 'alert_applications',
    jsonb_agg(jsonb_build_object('alert_id', 'alt_' || lpad(n::text, 16, '0'), 'execution_mode', 'on_ingest'))), 1
FROM generate_series(1, %(alerts)s) AS n
"""
_CHECKED: Final = """
INSERT INTO match_progress (partition, namespace_id, collection_id, next_offset, occurred_at, appended_at,
    definitions_version) SELECT n, %(ns)s, %(collection)s, 1, now(), now(), 20000 FROM generate_series(0, 3) AS n
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
        await connection.execute(_ATTACH.encode(), {"ns": NS, "collection": COLLECTION, "alerts": ALERTS})
        await connection.execute(_CHECKED.encode(), {"ns": NS, "collection": COLLECTION})
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


def feed(environment: dict[str, Any], first: int, rate: int, stop: Any, answer: Any) -> None:
    """A process that publishes ``rate`` executions a second until it is told to stop. It answers how many records
    that were."""

    async def main() -> None:
        settings = Settings(**environment)
        found, sent = records(first, sys.maxsize, HITS), 0
        async with publishing(settings) as send:
            begun = time.monotonic()
            while not stop.is_set():
                due = int((time.monotonic() - begun) * rate) // HITS - sent
                await send(islice(found, due))
                sent += due
                await asyncio.sleep(0.02)
        answer.send(sent)

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


class Load:
    """What is asked, in the measuring process."""

    def __init__(self, http: aiohttp.ClientSession, arguments: argparse.Namespace) -> None:
        self._asked = Asked(http)
        self._arguments = arguments
        self._count = int(arguments.rate * arguments.seconds)
        chance = Random(1)
        self._paths = [f"/v1/alerts/alt_{chance.randint(1, ALERTS):016}/results" for _ in range(10_000)]

    async def steady(self) -> dict[str, Any]:
        """While executions come at a rate."""
        await self._at_rate(WARM_UP, self._latest)
        empty = await self._at_rate(self._count // 2, self._nothing)
        taken = await self._at_rate(self._count, self._latest)
        empty += await self._at_rate(self._count // 2, self._nothing)
        walk = await walked(self._asked, self._arguments.executions)
        depths = await deep(self._asked, walk.pop("cursors"))
        return {
            "latest_ms": milliseconds(taken),
            "empty_endpoint_ms": milliseconds(empty),
            **walk,
            **depths,
            "failed": self._asked.failed,
        }

    async def catching_up(self) -> dict[str, Any]:
        """While the service has a backlog before it."""
        await self._at_rate(WARM_UP, self._latest)
        taken = await self._at_rate(self._count // 2, self._latest)
        return {"latest_catching_up_ms": milliseconds(taken), "failed": self._asked.failed}

    async def _at_rate(self, count: int, ask: Callable[[int], Awaitable[None]]) -> list[float]:
        return await at_rate(self._arguments.rate, count, ask)

    async def _latest(self, number: int) -> None:
        await self._asked.timed(self._paths[number % len(self._paths)])

    async def _nothing(self, _: int) -> None:
        await self._asked.timed("/v1/health")


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


def child(port: int, arguments: argparse.Namespace, what: str, answer: Any) -> None:
    """The measuring process."""

    async def main() -> dict[str, Any]:
        async with session(port, "bench") as http:
            found: dict[str, Any] = await getattr(Load(http, arguments), what)()
            return found

    answer.send(asyncio.run(main()))


async def measured(port: int, arguments: argparse.Namespace, what: str) -> dict[str, Any]:
    """What a method of :class:`Load` finds, in a process of its own."""
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=child, args=(port, arguments, what, sender))
    process.start()
    sender.close()
    try:
        found: dict[str, Any] = await asyncio.to_thread(receiver.recv)
    except EOFError:
        sys.exit("the measuring process failed; its traceback is above")
    finally:
        await asyncio.to_thread(process.join)
    return found


@asynccontextmanager
async def feeding(settings: Settings, first: int, rate: int, sent: list[int]) -> AsyncIterator[None]:
    """With a feeder beside; at the end ``sent`` holds how many records it published."""
    stop, (receiver, sender) = SPAWN.Event(), SPAWN.Pipe(duplex=False)
    feeder = SPAWN.Process(target=feed, args=(settings.model_dump(), first, rate, stop, sender))
    feeder.start()
    try:
        yield
    finally:
        stop.set()
        sent.append(await asyncio.to_thread(receiver.recv))
        await asyncio.to_thread(feeder.join)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """With the query service, which answers; yields its port."""
    port = free_port()
    variables = environment(settings, PORT=str(port))
    async with running(variables, "query"), session(port, "bench") as http:
        await answering(http)
        yield port


async def moved(database: Database, beyond: int) -> int:
    """Records behind the view's positions, as soon as they are more than so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (now := await stored(database)) <= beyond:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return now


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        async with servers(arguments.kafka, Path(folder)) as settings, Database(settings) as database:
            await Broker(settings).create_topics()
            await prepare(database, arguments.executions)
            print(f"{arguments.executions:,} executions of {COLLECTION} are there", file=sys.stderr, flush=True)
            first, sent = arguments.executions // HITS, list[int]()
            async with serving(settings) as port:
                async with feeding(settings, first, arguments.feed, sent):
                    answer = await measured(port, arguments, "steady")
                await moved(database, sent[0] - 1)
            backlog = arguments.backlog // HITS
            await publish(settings, first + sent[0], backlog, HITS)
            async with serving(settings) as port:
                at = await moved(database, sent[0])
                begun = time.monotonic()
                behind = await measured(port, arguments, "catching_up")
                now, seconds = await stored(database), time.monotonic() - begun
                await moved(database, sent[0] + backlog - 1)
            async with database.connection() as connection:
                rows = int(await fetch_value(connection, "SELECT count(*) FROM alert_executions"))
                counted = int(await fetch_value(connection, "SELECT sum(executions) FROM alert_execution_counts"))
    wrong = [answer.pop(name) for name in ("missing", "twice", "wrong_totals", "failed")] + [behind.pop("failed")]
    expected = (first + sent[0] + backlog) * HITS
    return {
        **answer,
        **behind,
        "executions": arguments.executions,
        "materialised_meanwhile": sent[0] * HITS,
        "fed_per_second": arguments.feed,
        "caught_up_per_second": round((now - at) * HITS / seconds),
        "backlog_left": (sent[0] + backlog - now) * HITS,
        "requests_per_second": arguments.rate,
        "mismatches": sum(wrong) + abs(rows - expected) + abs(counted - expected),
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of requests at that rate")
    parser.add_argument("--feed", type=int, default=10_000, help="executions a second that come meanwhile")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="executions that wait when it starts again")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
