"""How fast match is, beside a bare loop that only consumes and decodes: documents per second, on real Kafka.

Documents are JSON of about 2.4 kB with a 384-dimensional vector in base64. On their collection stand 1,000 vector
alerts and 10,000 attribute alerts of one to three predicates. With ``--hits 1`` they match about once a document,
half of it by vector; with ``--hits 80`` eighty times, nearly all by attributes. The real match station runs over
the whole topic: consume, decode, match, produce, await, tell its progress, commit. The bare loop is aiokafka,
orjson, base64 and numpy, with nothing else. Both run in processes of their own, in turns, and the medians are
compared, because other work on the machine comes and goes. The first batch counts for neither: the station
compiles its alerts there. What an alert says is written when it first fires, and each fires some ten times in
200,000 documents: with many fewer the beginning is measured.

With ``--processes 2`` the station runs as ``tidewatch worker --processes 2`` runs it: two processes of one
consumer group. What they do counts from when the second of them has compiled its alerts, some three seconds after
the first.

    python -m benchmarks.pipeline [--kafka HOST:PORT] [--documents N] [--hits 1|80] [--alerts N]
                                  [--attribute-alerts N] [--rounds N] [--processes N]

The last line is one JSON object.
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
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pybase64
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent, encode_document_event
from schemas.topics import ALERT_RESULTS, DOCUMENTS
from streams.cli.process import settle_in
from streams.match.station import BATCHES, Match
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database, migrate
from streams.runtime.definitions import put_definition
from streams.runtime.dev.broker import embedded_broker
from streams.runtime.dev.database import embedded_database
from streams.settings import Settings

DIMENSIONS = 384
URI = "mixpeek://passthrough_extractor@v1/embedding"
NS, COLLECTION = "ns_bench", "col_bench"
MIN_SCORE = 0.7
PARTITIONS = 4
Log = list[tuple[float, int]]
"""After each batch of a process the time, in seconds, and how many documents it has had."""


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1."""
    lengths: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths


@asynccontextmanager
async def servers(kafka: str | None, folder: Path) -> AsyncIterator[Settings]:
    """A broker and a database, ours unless ``kafka`` names one."""
    async with AsyncExitStack() as stack:
        if kafka is None:
            kafka = (await stack.enter_async_context(embedded_broker("kafka", folder))).bootstrap
        dsn = await stack.enter_async_context(embedded_database(folder))
        await migrate(dsn)
        prefix = f"bench-{os.getpid()}-"
        yield Settings(kafka=kafka, database=dsn, topic_prefix=prefix, partitions=PARTITIONS, replication=1)


@dataclass(frozen=True)
class Workload:
    """What stands and what comes."""

    documents: int
    vectors: NDArray[np.float64]
    """Of the vector alerts, one row each."""
    attribute_alerts: int
    hits: int

    @property
    def vector_share(self) -> float:
        """The share of documents that come near a vector alert."""
        if not self.attribute_alerts:
            return 1.0
        return 0.5 if self.hits == 1 and len(self.vectors) else 0.0

    @property
    def alike(self) -> int:
        """Attribute alerts that match the same documents."""
        return min(self.hits, self.attribute_alerts)

    @property
    def codes(self) -> int:
        """Different codes that attribute alerts ask for."""
        return self.attribute_alerts // self.alike if self.alike else 0

    def code(self, chance: np.random.Generator) -> str:
        """The code of a document: with one hit a document, every other is asked for by nobody."""
        return f"c{chance.integers(max(1, self.codes * (2 if self.vector_share else 1)))}-x"

    def condition(self, number: int) -> dict[str, Any]:
        """What an attribute alert asks: one to three predicates, all on a code and some on more."""
        code = f"c{number % self.codes}-x"
        exact = {"field": "code", "operator": "eq", "value": code}
        match number % 4:
            case 0:
                return {"AND": [exact]}
            case 1:
                one_of = {"field": "code", "operator": "in", "value": [code, f"never{number}"]}
                return {"AND": [one_of, {"field": "lang", "operator": "eq", "value": "en"}]}
            case 2:
                begins = {"field": "code", "operator": "starts_with", "value": code[:-1]}
                return {"AND": [begins, {"field": "title", "operator": "exists", "value": True}]}
        low = {"field": "price", "operator": "gte", "value": 0}
        return {"AND": [exact, low, {"field": "price", "operator": "lt", "value": 1_000 + number % 10}]}


async def define(settings: Settings, work: Workload) -> None:
    """Write the alerts, each with a retriever of its own, attached to one collection."""
    stages = [
        {
            "stage_id": "feature_search",
            "parameters": {"searches": [{"feature_uri": URI, "query": row.tolist(), "min_score": MIN_SCORE}]},
        }
        for row in work.vectors
    ]
    stages += [
        {"stage_id": "attribute_filter", "parameters": {"conditions": work.condition(number)}}
        for number in range(work.attribute_alerts)
    ]
    applications = []
    async with Database(settings) as database, database.transaction() as connection:
        for number, config in enumerate(stages):
            retriever, alert = f"ret_{number}", f"alt_{number}"
            body: dict[str, Any] = {
                "collection_identifiers": [COLLECTION],
                "stages": [{"stage_name": "only", "config": config}],
            }
            await put_definition(connection, "retriever", NS, retriever, retriever, body)
            await put_definition(
                connection, "alert", NS, alert, alert, {"retriever_id": retriever, "enabled": True}
            )
            applications.append({"alert_id": alert, "execution_mode": "on_ingest"})
        body = {"collection_id": COLLECTION, "alert_applications": applications}
        await put_definition(connection, "collection", NS, COLLECTION, COLLECTION, body)
        await connection.execute("DELETE FROM outbox")


async def publish(settings: Settings, work: Workload) -> int:
    """Publish documents, a share of them noisy copies of one alert's vector. Returns the size of one in bytes."""
    broker = Broker(settings)
    await broker.create_topics()
    chance = np.random.default_rng(2)
    producer: AIOKafkaProducer = broker.producer(linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    size = 0
    try:
        futures = []
        for start in range(0, work.documents, 1_000):
            rows = min(1_000, work.documents - start)
            vectors = unit(chance.normal(size=(rows, DIMENSIONS)))
            if len(work.vectors):
                near = chance.random(rows) < work.vector_share
                some = work.vectors[chance.integers(len(work.vectors), size=int(near.sum()))]
                vectors[near] = unit(some + 0.6 * vectors[near])
            for row in range(rows):
                event = DocumentEvent(
                    "document.upserted",
                    NS,
                    COLLECTION,
                    f"d{start + row}",
                    datetime(2024, 1, 1, tzinfo=UTC),
                    payload={
                        "title": f"Document {start + row}",
                        "lang": "en",
                        "code": work.code(chance),
                        "price": row % 1_000,
                    },
                    text="A document about nothing in particular, as long as a headline is.",
                    features={URI: vectors[row].astype(np.float32)},
                )
                value = encode_document_event(event)
                size = len(value)
                topic = broker.topic(DOCUMENTS)
                futures.append(
                    await producer.send(topic, value, key=event.key, partition=(start + row) % PARTITIONS)
                )
        for future in futures:
            await future
    finally:
        await producer.stop()
    return size


async def bare(settings: Settings, counter: "Counter") -> Log:
    """Consume and decode the topic and do nothing with it."""
    broker = Broker(settings)
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        topic = broker.topic(DOCUMENTS)
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        seen, total = 0, 0
        log: Log = []
        while not counter.done():
            batch = await consumer.getmany(timeout_ms=200, max_records=BATCHES * settings.batch_documents)
            for records in batch.values():
                for record in records:
                    raw = orjson.loads(record.value)
                    vector = np.frombuffer(pybase64.b64decode(raw["features"][URI]["f32"]), dtype="<f4")
                    total += len(vector)
                    seen += 1
            if batch:
                counter.add(seen - (log[-1][1] if log else 0))
                log.append((time.perf_counter(), seen))
        assert total == seen * DIMENSIONS
        return log
    finally:
        await consumer.stop()


class Counter:
    """How many documents the processes of a measurement have had, all together."""

    def __init__(self, wanted: int, seen: Any) -> None:
        self._wanted = wanted
        self._seen = seen

    def add(self, documents: int) -> None:
        """Count documents."""
        with self._seen.get_lock():
            self._seen.value += documents

    def done(self) -> bool:
        """Whether none is left."""
        return bool(self._seen.value >= self._wanted)


class Timed(Match):
    """The station, with a log of its batches."""

    def __init__(self, context: Context, counter: Counter) -> None:
        super().__init__(context)
        self._counter = counter
        self.log: Log = []

    async def handle(self, batch: Any) -> Any:
        rest = await super().handle(batch)
        documents = sum(map(len, batch.values())) - sum(map(len, rest.values()))
        self.log.append((time.perf_counter(), documents + (self.log[-1][1] if self.log else 0)))
        self._counter.add(documents)
        self._stop_at_the_end()
        return rest

    async def idle(self) -> None:
        await super().idle()
        self._stop_at_the_end()

    def _stop_at_the_end(self) -> None:
        if self._counter.done():
            self.stop()


async def match(settings: Settings, counter: Counter) -> Log:
    """The real station over the topic, to the acknowledgement of its last result."""
    broker = Broker(settings)
    async with Database(settings) as database:
        station = Timed(Context(settings, broker, database), counter)
        await station.run()
        return station.log


def rate(logs: list[Log]) -> float:
    """Documents per second of processes together, from when the last of them had its first batch."""
    if not all(logs):
        sys.exit("a process had no documents at all: give more --documents, or fewer --processes")
    begun = max(log[0][0] for log in logs)
    before = sum(max(seen for at, seen in log if at <= begun) for log in logs)
    ended, documents = max(log[-1][0] for log in logs), sum(log[-1][1] for log in logs)
    if documents == before:
        sys.exit("the first batch had all documents: give more --documents")
    return (documents - before) / (ended - begun)


async def rewind(settings: Settings) -> None:
    """Put the station's group back to the beginning."""
    consumer: AIOKafkaConsumer = Broker(settings).consumer(station="match")
    await consumer.start()
    try:
        topic = Broker(settings).topic(DOCUMENTS)
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()


async def hits(settings: Settings) -> int:
    """Alert executions in the results topic."""
    broker = Broker(settings)
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        topic = broker.topic(ALERT_RESULTS)
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        left = sum((await consumer.end_offsets(partitions)).values())
        found = 0
        while left:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                left -= len(records)
                found += sum(len(orjson.loads(record.value)["executions"]) for record in records)
        return found
    finally:
        await consumer.stop()


def child(name: str, environment: dict[str, Any], wanted: int, seen: Any, together: Any, answer: Any) -> None:
    """One process of a measurement; they begin together."""
    if name != "bare":
        settle_in()
    together.wait()
    work = match if name == "match" else bare
    answer.send(asyncio.run(work(Settings(**environment), Counter(wanted, seen))))


async def measure(name: str, settings: Settings, count: int, parts: int = 1) -> float:
    """Documents per second of one run, in so many processes."""
    spawn = multiprocessing.get_context("spawn")
    seen, together = spawn.Value("q", 0), spawn.Barrier(parts)
    processes, receivers = [], []
    for _ in range(parts):
        receiver, sender = spawn.Pipe(duplex=False)
        process = spawn.Process(target=child, args=(name, settings.model_dump(), count, seen, together, sender))
        process.start()
        sender.close()
        processes.append(process)
        receivers.append(receiver)
    try:
        logs = [await asyncio.to_thread(receiver.recv) for receiver in receivers]
    except EOFError:
        sys.exit(f"a measuring process of {name!r} failed; its traceback is above")
    for process in processes:
        await asyncio.to_thread(process.join)
    found = rate(logs)
    print(f"{name:>7}: {found:>9,.0f} documents/s", file=sys.stderr, flush=True)
    return found


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    vectors = unit(np.random.default_rng(1).normal(size=(arguments.alerts, DIMENSIONS)))
    work = Workload(arguments.documents, vectors, arguments.attribute_alerts, arguments.hits)
    with tempfile.TemporaryDirectory() as folder:
        async with servers(arguments.kafka, Path(folder)) as settings:
            size = await publish(settings, work)
            await define(settings, work)
            rates: dict[str, list[float]] = {"bare": [], "match": [], "settled": []}
            for _ in range(arguments.rounds):
                for name, measured in rates.items():
                    if name == "match":
                        await rewind(settings)
                    parts = arguments.processes if name == "match" else 1
                    measured.append(await measure(name, settings, arguments.documents, parts))
            found = await hits(settings) / (arguments.documents * arguments.rounds)
    ours, baseline = statistics.median(rates["match"]), statistics.median(rates["bare"])
    return {
        "documents_per_second": round(ours),
        "executions_per_second": round(ours * found),
        "baseline_documents_per_second": round(baseline),
        "ratio": round(ours / baseline, 3),
        "ratio_settled": round(ours / statistics.median(rates["settled"]), 3),
        "hits_per_document": round(found, 3),
        "documents": arguments.documents,
        "document_bytes": size,
        "vector_alerts": arguments.alerts,
        "attribute_alerts": arguments.attribute_alerts,
        "dimensions": DIMENSIONS,
        "processes": arguments.processes,
        "rounds": arguments.rounds,
    }


def main() -> None:
    """Read the arguments, print the result."""
    # As `tidewatch` does; the measuring processes inherit it before they load a BLAS.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--hits", type=int, choices=(1, 80), default=1, help="alerts that match a document")
    parser.add_argument("--alerts", type=int, default=1_000, help="vector alerts")
    parser.add_argument("--attribute-alerts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--processes", type=int, choices=range(1, PARTITIONS + 1), default=1, help="of the station"
    )
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
