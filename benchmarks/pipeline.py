"""How fast match is, beside a bare loop that only consumes and decodes: documents per second, on real Kafka.

Documents are JSON of about 2.4 kB with a 384-dimensional vector in base64; 1,000 vector alerts stand, with a
threshold that about one of them reaches per document. The real match station runs over the whole topic; the
bare loop is aiokafka, orjson, base64 and numpy, with nothing else. Both run in processes of their own, in turns,
and the medians are compared, because other work on the machine comes and goes.

    python -m benchmarks.pipeline [--kafka HOST:PORT] [--documents N] [--alerts N] [--rounds N]

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
from streams.match.station import Match
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
PARTITIONS = 3


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


async def define(settings: Settings, alerts: NDArray[np.float64]) -> None:
    """Write the alerts, each a retriever with one vector, attached to one collection."""
    applications = []
    async with Database(settings) as database, database.transaction() as connection:
        for number, vector in enumerate(alerts):
            search = {"feature_uri": URI, "query": vector.tolist(), "min_score": MIN_SCORE}
            config = {"stage_id": "feature_search", "parameters": {"searches": [search]}}
            stages = [{"stage_name": "search", "config": config}]
            retriever, alert = f"ret_{number}", f"alt_{number}"
            body: dict[str, Any] = {"collection_identifiers": [COLLECTION], "stages": stages}
            await put_definition(connection, "retriever", NS, retriever, retriever, body)
            await put_definition(
                connection, "alert", NS, alert, alert, {"retriever_id": retriever, "enabled": True}
            )
            applications.append({"alert_id": alert, "execution_mode": "on_ingest"})
        body = {"collection_id": COLLECTION, "alert_applications": applications}
        await put_definition(connection, "collection", NS, COLLECTION, COLLECTION, body)
        await connection.execute("DELETE FROM outbox")


async def publish(settings: Settings, alerts: NDArray[np.float64], count: int) -> int:
    """Publish documents, each a noisy copy of one alert's vector. Returns the size of one in bytes."""
    broker = Broker(settings)
    await broker.create_topics()
    chance = np.random.default_rng(2)
    producer: AIOKafkaProducer = broker.producer(linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    size = 0
    try:
        futures = []
        for start in range(0, count, 1_000):
            rows = min(1_000, count - start)
            noise = unit(chance.normal(size=(rows, DIMENSIONS)))
            vectors = unit(alerts[chance.integers(len(alerts), size=rows)] + 0.6 * noise).astype(np.float32)
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
                        "source": "bench",
                        "priority": row % 10,
                    },
                    text="A document about nothing in particular, as long as a headline is.",
                    features={URI: vectors[row]},
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


async def bare(settings: Settings, count: int) -> float:
    """Seconds to consume and decode the topic and do nothing with it."""
    broker = Broker(settings)
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        topic = broker.topic(DOCUMENTS)
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        seen, started = 0, 0.0
        total = 0.0
        while seen < count:
            batch = await consumer.getmany(timeout_ms=200, max_records=settings.batch_documents)
            started = started or time.perf_counter()
            for records in batch.values():
                for record in records:
                    raw = orjson.loads(record.value)
                    vector = np.frombuffer(pybase64.b64decode(raw["features"][URI]["f32"]), dtype="<f4")
                    total += len(vector)
                    seen += 1
        assert total == count * DIMENSIONS
        return time.perf_counter() - started
    finally:
        await consumer.stop()


class Timed(Match):
    """The station, with a note of when it began its first and ended its last batch."""

    def __init__(self, context: Context, count: int) -> None:
        super().__init__(context)
        self._left = count
        self.started = self.ended = 0.0

    async def handle(self, batch: Any) -> None:
        self.started = self.started or time.perf_counter()
        await super().handle(batch)
        self._left -= sum(len(records) for records in batch.values())
        if self._left <= 0:
            self.ended = time.perf_counter()
            self.stop()


async def match(settings: Settings, count: int) -> float:
    """Seconds of the real station over the whole topic, to the acknowledgement of its last result."""
    broker = Broker(settings)
    async with Database(settings) as database:
        station = Timed(Context(settings, broker, database), count)
        await station.run()
        return station.ended - station.started


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


def child(name: str, environment: dict[str, Any], count: int, answer: Any) -> None:
    """One measurement in a process of its own."""
    settings = Settings(**environment)
    settle_in()
    measured = {"match": match, "bare": bare}[name]
    profile = os.environ.get("TIDEWATCH_BENCH_PROFILE")
    if profile and name == "match":
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
        seconds = asyncio.run(measured(settings, count))
        profiler.disable()
        profiler.dump_stats(profile)
    else:
        seconds = asyncio.run(measured(settings, count))
    answer.send(seconds)


async def measure(name: str, settings: Settings, count: int) -> float:
    """Documents per second of one run."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=child, args=(name, settings.model_dump(), count, sender))
    process.start()
    sender.close()
    try:
        seconds = await asyncio.to_thread(receiver.recv)
    except EOFError:
        sys.exit(f"the measuring process of {name!r} failed; its traceback is above")
    await asyncio.to_thread(process.join)
    rate = count / float(seconds)
    print(f"{name:>6}: {rate:>9,.0f} documents/s", file=sys.stderr, flush=True)
    return rate


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    alerts = unit(np.random.default_rng(1).normal(size=(arguments.alerts, DIMENSIONS)))
    with tempfile.TemporaryDirectory() as folder:
        async with servers(arguments.kafka, Path(folder)) as settings:
            size = await publish(settings, alerts, arguments.documents)
            await define(settings, alerts)
            rates: dict[str, list[float]] = {"bare": [], "match": []}
            for _ in range(arguments.rounds):
                for name, measured in rates.items():
                    if name == "match":
                        await rewind(settings)
                    measured.append(await measure(name, settings, arguments.documents))
            found = await hits(settings)
    ours, baseline = statistics.median(rates["match"]), statistics.median(rates["bare"])
    return {
        "documents_per_second": round(ours),
        "baseline_documents_per_second": round(baseline),
        "ratio": round(ours / baseline, 3),
        "hits_per_document": round(found / (arguments.documents * arguments.rounds), 3),
        "documents": arguments.documents,
        "document_bytes": size,
        "alerts": arguments.alerts,
        "dimensions": DIMENSIONS,
        "rounds": arguments.rounds,
    }


def main() -> None:
    """Read the arguments, print the result."""
    # As `tidewatch` does; the measuring processes inherit it before they load a BLAS.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--documents", type=int, default=60_000)
    parser.add_argument("--alerts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
