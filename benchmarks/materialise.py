"""How fast the view takes results in: executions per second of the query station, beside a bare binary ``COPY``.

Records of ``alert-results`` as match writes them, with one execution each or with eighty, lie in a real Kafka: of
10,000 alerts, over four partitions. The real station reads them, decodes and checks them, copies document parts
and executions into the view, adds to the counters of alerts, moves its positions and commits, in a process of its
own.

The baseline copies the very rows the station has stored, document parts and executions, read back in the binary
format and sent again in buffers of the same size, into empty tables with the same columns and indexes. It decodes,
decides and counts nothing.

    python -m benchmarks.materialise [--kafka HOST:PORT] [--hits 1|80] [--executions N] [--rounds N]

The last line is one JSON object; ``mismatches`` counts executions and counted executions that are not there, or
twice.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from benchmarks.pipeline import servers
from schemas.events.alert_result import ExecutionWriter, ResultWriter
from schemas.ids import ExecutionHasher, document_key
from schemas.times import format_instant
from schemas.topics import ALERT_RESULTS
from streams.cli.process import settle_in
from streams.query.results import DOCUMENT_COLUMNS, EXECUTION_COLUMNS
from streams.query.station import PART_BYTES, PART_RECORDS, build
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Connection, Database, fetch_value
from streams.settings import Settings

NS, COLLECTION = "ns_benchbenchbench", "col_benchbench"
ALERTS: Final = 10_000
STORED: Final = {"result_documents": DOCUMENT_COLUMNS, "alert_executions": EXECUTION_COLUMNS}
VIEW: Final = (*STORED, "alert_execution_counts", "positions")


def records(first: int, count: int, hits: int) -> Iterator[tuple[int, bytes, bytes]]:
    """So many records: source partition, key and value each. Documents of 2014, one a millisecond."""
    alerts = [
        ExecutionWriter(number, f"alt_{number:016}", 3, f"ret_{number:016}").write(
            1.0, f"code is c{number % 125}-x"
        )
        for number in range(1, ALERTS + 1)
    ]
    hasher = ExecutionHasher("benchmark")
    begun = datetime(2014, 10, 1, tzinfo=UTC)
    writer = ResultWriter(NS, COLLECTION, "documents", begun, 3, 20_000)
    for number in range(first, first + count):
        at = begun + timedelta(milliseconds=number)
        document = {
            "document_id": f"d{number:09}",
            "collection_id": COLLECTION,
            "title": f"Document {number}",
            "lang": "en",
            "code": f"c{number % 500}-x",
            "price": number % 1_000 / 8,
            "text": "A document about nothing in particular, as long as a headline is.",
        }
        start = number * 7_919 % ALERTS
        found = [alerts[(start + 125 * step) % ALERTS] for step in range(hits)]
        value = writer.write(
            hasher.base(NS, None, "documents", number % 4, number),
            document["document_id"],  # type: ignore[arg-type]
            number % 4,
            number,
            at,
            format_instant(at),
            found,
            document=document,
        )
        yield number % 4, document_key(NS, COLLECTION, f"d{number:09}"), value


Send = Callable[[Iterable[tuple[int, bytes, bytes]]], Awaitable[None]]


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Send]:
    """What puts records into the topic as match does, in batches, compressed; it returns when they are there."""
    broker = Broker(settings)
    producer: AIOKafkaProducer = broker.producer(linger_ms=20, max_batch_size=900_000, compression="zstd")

    async def send(found: Iterable[tuple[int, bytes, bytes]]) -> None:
        topic = broker.topic(ALERT_RESULTS)
        futures = [
            await producer.send(topic, value, key=key, partition=partition) for partition, key, value in found
        ]
        await asyncio.gather(*futures)

    async with producer:
        yield send


async def publish(settings: Settings, first: int, count: int, hits: int) -> None:
    """Put records into the topic."""
    async with publishing(settings) as send:
        await send(records(first, count, hits))


async def materialise(settings: Settings, expected: int) -> tuple[float, float]:
    """Seconds until the station has stored so many records, and its processor seconds."""
    async with Database(settings) as database:
        station = build(Context(settings, Broker(settings), database))
        task = asyncio.create_task(station.run())
        # From when it has joined its group: the first position is written with the first part.
        while not (had := await stored(database)):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        begun, cpu = time.perf_counter(), time.process_time()
        while (now := await stored(database)) < expected:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        share = (now - had) / expected
        seconds, spent = (time.perf_counter() - begun) / share, (time.process_time() - cpu) / share
        station.stop()
        await task
        return seconds, spent


async def stored(database: Database) -> int:
    """Records behind the station's positions."""
    async with database.connection() as connection:
        return int(await fetch_value(connection, "SELECT coalesce(sum(next_offset), 0) FROM positions"))


def child(environment: dict[str, Any], expected: int, answer: Any) -> None:
    """The measured process."""
    settle_in()
    answer.send(asyncio.run(materialise(Settings(**environment), expected)))


async def measured(settings: Settings, expected: int) -> tuple[float, float]:
    """:func:`materialise` in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=child, args=(settings.model_dump(), expected, sender))
    process.start()
    sender.close()
    try:
        seconds, cpu = await asyncio.to_thread(receiver.recv)
    except EOFError:
        sys.exit("the measuring process failed; its traceback is above")
    await asyncio.to_thread(process.join)
    return seconds, cpu


async def bare(connection: Connection, hits: int) -> float:
    """Seconds of copying the stored rows into empty tables."""
    buffers: dict[str, list[bytes]] = {}
    for table, columns in STORED.items():
        await connection.execute(f"DROP TABLE IF EXISTS bare_{table}".encode())
        await connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
        buffers[table] = [
            await taken_out(connection, table, columns, low, PART_RECORDS if hits == 1 else PART_BYTES // 17_000)
            async for low in starts(connection, PART_RECORDS if hits == 1 else PART_BYTES // 17_000)
        ]
    await connection.execute("CHECKPOINT")
    started = time.perf_counter()
    for parts in zip(*buffers.values(), strict=True):
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            for (table, columns), part in zip(STORED.items(), parts, strict=True):
                statement = f"COPY bare_{table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()
                async with connection.cursor().copy(statement) as copy:
                    await copy.write(part)
    seconds = time.perf_counter() - started
    for table in STORED:
        await connection.execute(f"DROP TABLE bare_{table}".encode())
    return seconds


async def starts(connection: Connection, size: int) -> Any:
    """Where parts of so many documents begin."""
    count = int(await fetch_value(connection, "SELECT count(*) FROM result_documents"))
    for low in range(0, count, size):
        yield low


async def taken_out(connection: Connection, table: str, columns: str, low: int, size: int) -> bytes:
    """Rows of some documents in the binary format."""
    begun = datetime(2014, 10, 1, tzinfo=UTC)
    span = [begun + timedelta(milliseconds=number) for number in (low, low + size)]
    query = f"COPY (SELECT {columns} FROM {table} WHERE appended_at >= '{span[0]}' AND appended_at < '{span[1]}')"
    async with connection.cursor().copy(f"{query} TO STDOUT (FORMAT BINARY)".encode()) as copy:
        return b"".join([bytes(part) async for part in copy])


async def mismatches(connection: Connection, executions: int) -> int:
    """Executions and counts that are not as published."""
    rows = int(await fetch_value(connection, "SELECT count(*) FROM alert_executions"))
    counted = int(await fetch_value(connection, "SELECT sum(executions) FROM alert_execution_counts"))
    return abs(rows - executions) + abs(counted - executions)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    documents = arguments.executions // arguments.hits
    executions = documents * arguments.hits
    with tempfile.TemporaryDirectory() as folder:
        async with servers(arguments.kafka, Path(folder)) as settings:
            await Broker(settings).create_topics()
            await publish(settings, 0, documents, arguments.hits)
            rates: dict[str, list[float]] = {"bare": [], "query": []}
            spent: list[float] = []
            wrong = 0
            async with Database(settings) as database, database.connection() as connection:
                for _ in range(arguments.rounds):
                    await connection.execute(f"TRUNCATE {', '.join(VIEW)}".encode())
                    seconds, cpu = await measured(settings, documents)
                    rates["query"].append(executions / seconds)
                    spent.append(cpu / executions * 1e6)
                    wrong += await mismatches(connection, executions)
                    rates["bare"].append(executions / await bare(connection, arguments.hits))
                    for name, found in rates.items():
                        print(f"{name:>6}: {found[-1]:>9,.0f} executions/s", file=sys.stderr, flush=True)
    ours, baseline = statistics.median(rates["query"]), statistics.median(rates["bare"])
    return {
        "executions_per_second": round(ours),
        "baseline_executions_per_second": round(baseline),
        "ratio": round(ours / baseline, 3),
        "microseconds_of_processor_per_execution": round(statistics.median(spent), 2),
        "executions_per_document": arguments.hits,
        "executions": executions,
        "rounds": arguments.rounds,
        "mismatches": wrong,
    }


def main() -> None:
    """Read the arguments, print the result."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--hits", type=int, choices=(1, 80), default=80, help="executions of a document")
    parser.add_argument("--executions", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
