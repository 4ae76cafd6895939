"""How long it takes from a document to its alerts over HTTP: milliseconds, on real Kafka.

1,000 documents a second come. On their collection stand 10,000 alerts, each on a code; a document has one code,
which ``--hits`` of them ask for. The real stations match and query run in processes of their own. A process
publishes documents at their due times, and another follows ``GET /v1/alerts/executions/stream``: a document is
visible when its execution has come over HTTP. With ``--hits 20`` it follows one alert that fires on every
document, beside nineteen others.

Every document is timed from when it was *due*: one that waits because another was slow is slow itself. The bare
round trip, first and last in the same run, is two hops over Kafka with the same documents at the same rate:
published, read and published again by a process that does nothing else, read; timed alike.

    python -m benchmarks.latency [--kafka HOST:PORT] [--hits 1|20] [--rate N] [--seconds N]

The last line is one JSON object; ``mismatches`` counts documents that never came, or twice.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from psycopg.types.json import Jsonb

from benchmarks.pipeline import servers
from benchmarks.serving import (
    answering,
    environment,
    free_port,
    milliseconds,
    processor_seconds,
    running,
    session,
)
from schemas.events.document import DocumentEvent, encode_document_event
from schemas.topics import DEAD_LETTERS, DOCUMENTS, TRIGGER_COMMANDS
from streams.runtime.broker import Broker, partitions_of
from streams.runtime.database import Database
from streams.runtime.definitions import put_definition
from streams.settings import Settings

NS, COLLECTION = "ns_bench", "col_bench"
ALERTS: Final = 10_000
WARM_UP_SECONDS: Final = 3.0
GRACE_SECONDS: Final = 20.0
EVERY: Final = "alt_every"


async def define(settings: Settings, hits: int) -> None:
    """Alerts, each with a retriever of its own; with several hits one of them fires on everything."""
    conditions: dict[str, dict[str, Any]] = {}
    alike = max(1, hits - 1)
    if hits > 1:
        conditions[EVERY] = {"field": "title", "operator": "exists", "value": True}
    for number in range(ALERTS - len(conditions)):
        conditions[f"alt_{number}"] = {"field": "code", "operator": "eq", "value": f"c{number // alike}-x"}
    applications = [{"alert_id": alert, "execution_mode": "on_ingest"} for alert in conditions]
    bodies: list[tuple[str, str, dict[str, Any]]] = []
    for alert, condition in conditions.items():
        name = alert.replace("alt_", "ret_")
        stage = {"stage_id": "attribute_filter", "parameters": {"conditions": {"AND": [condition]}}}
        stages = [{"stage_name": "only", "config": stage}]
        bodies.append(("retriever", name, {"collection_identifiers": [COLLECTION], "stages": stages}))
        channels = {"channels": [], "include_matches": True}
        bodies.append(("alert", alert, {"retriever_id": name, "enabled": True, "notification_config": channels}))
    async with Database(settings) as database, database.transaction() as connection:
        await put_definition(connection, "namespace", "", NS, "bench", {"namespace_id": NS})
        statement = "COPY definitions (kind, namespace_id, id, name, body, version) FROM STDIN"
        async with connection.cursor().copy(statement) as copy:
            for kind, name, body in bodies:
                await copy.write_row((kind, NS, name, name, Jsonb(body), 1))
        collection = {"collection_id": COLLECTION, "alert_applications": applications}
        await put_definition(connection, "collection", NS, COLLECTION, COLLECTION, collection)
        await connection.execute("DELETE FROM outbox")


def document(number: int, hits: int) -> tuple[bytes, bytes]:
    """Key and value of a document's record, about 600 bytes."""
    codes = ALERTS if hits == 1 else (ALERTS - 1) // (hits - 1)
    event = DocumentEvent(
        "document.upserted",
        NS,
        COLLECTION,
        f"d{number}",
        datetime.now(UTC),
        payload={"title": f"Document {number}", "lang": "en", "code": f"c{number * 7 % codes}-x", "price": 8},
        text="A document about nothing in particular. " * 8,
    )
    assert event.key is not None
    return event.key, encode_document_event(event)


def publish(
    environment: dict[str, Any], topic: str, first: int, count: int, rate: float, hits: int, answer: Any
) -> None:
    """A process that publishes documents when they are due, one ``1 / rate`` seconds after another. It answers
    when the first was due."""

    async def main() -> None:
        producer: AIOKafkaProducer = Broker(Settings(**environment)).producer()
        await producer.start()
        try:
            await producer.partitions_for(topic)
            # Made before: whoever produces documents does that on another machine.
            documents = [document(first + number, hits) for number in range(count)]
            futures = []
            begun = time.monotonic()
            answer.send(begun)
            for number, (key, value) in enumerate(documents):
                if (ahead := begun + number / rate - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                futures.append(await producer.send(topic, value, key=key))
            await asyncio.gather(*futures)
        finally:
            await producer.stop()

    asyncio.run(main())


def hop(environment: dict[str, Any], source: str, target: str, ready: Any, stop: Any) -> None:
    """A process that reads records and publishes them again, and nothing else."""

    async def main() -> None:
        broker = Broker(Settings(**environment))
        producer: AIOKafkaProducer = broker.producer()
        await producer.start()
        async with at_end(broker, source) as consumer:
            ready.set()
            while not stop.is_set():
                batch = await consumer.getmany(timeout_ms=200)
                records = [record for part in batch.values() for record in part]
                sent = [await producer.send(target, record.value, key=record.key) for record in records]
                await asyncio.gather(*sent)
        await producer.stop()

    asyncio.run(main())


@asynccontextmanager
async def at_end(broker: Broker, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all of a topic, from now on."""
    consumer: AIOKafkaConsumer = broker.consumer()
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        yield consumer
    finally:
        await consumer.stop()


class Arrived:
    """When documents were there, first."""

    def __init__(self, first: int, count: int) -> None:
        self._first = first
        self._at: list[float] = [0.0] * count
        self.twice = 0
        self.missing = count

    def note(self, document_id: str) -> None:
        """A document is there."""
        number = int(document_id[1:]) - self._first
        if not 0 <= number < len(self._at):
            return
        if self._at[number]:
            self.twice += 1
            return
        self._at[number] = time.monotonic()
        self.missing -= 1

    def taken(self, begun: float, rate: float) -> list[float]:
        """Seconds from due to there, of those that came after the warm-up."""
        skipped = int(WARM_UP_SECONDS * rate)
        return [at - begun - number / rate for number, at in enumerate(self._at) if at and number >= skipped]


async def two_hops(settings: Settings, work: argparse.Namespace, first: int) -> tuple[list[float], Arrived]:
    """The bare round trip. Over topics that nothing else uses here."""
    broker = Broker(settings)
    source, target = broker.topic(TRIGGER_COMMANDS), broker.topic(DEAD_LETTERS)
    spawn = multiprocessing.get_context("spawn")
    ready, stop = spawn.Event(), spawn.Event()
    hopping = spawn.Process(target=hop, args=(settings.model_dump(), source, target, ready, stop))
    hopping.start()
    arrived = Arrived(first, work.count)
    try:
        await asyncio.to_thread(ready.wait, 60)
        async with at_end(broker, target) as consumer:

            async def follow() -> None:
                while arrived.missing:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            arrived.note(record.key.decode().rpartition("/")[2])

            begun = await timed(settings, source, work, first, follow())
    finally:
        stop.set()
        await asyncio.to_thread(hopping.join)
    return arrived.taken(begun, work.rate), arrived


async def timed(settings: Settings, topic: str, work: argparse.Namespace, first: int, following: Any) -> float:
    """Publish while ``following`` runs; returns when the first document was due."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    arguments = (settings.model_dump(), topic, first, work.count, work.rate, work.hits, sender)
    process = spawn.Process(target=publish, args=arguments)
    follower = asyncio.create_task(following)
    process.start()
    sender.close()
    begun: float = await asyncio.to_thread(receiver.recv)
    await asyncio.to_thread(process.join)
    try:
        await asyncio.wait_for(follower, GRACE_SECONDS)
    except TimeoutError:
        print("documents are missing", file=sys.stderr)
    return begun


async def visible(
    settings: Settings, work: argparse.Namespace, first: int, http: aiohttp.ClientSession
) -> tuple[list[float], Arrived]:
    """From the document to its execution over HTTP."""
    arrived = Arrived(first, work.count)
    only = {"alert_id": EVERY} if work.hits > 1 else {}
    headers = {"Accept": "text/event-stream"}
    unlimited = aiohttp.ClientTimeout(total=None)
    async with http.get(
        "/v1/alerts/executions/stream", params=only, headers=headers, timeout=unlimited
    ) as response:
        response.raise_for_status()

        async def follow() -> None:
            async for line in response.content:
                if line.startswith(b"data: "):
                    arrived.note(orjson.loads(line[6:])["source_documents"][0])
                    if not arrived.missing:
                        return

        begun = await timed(settings, Broker(settings).topic(DOCUMENTS), work, first, follow())
    return arrived.taken(begun, work.rate), arrived


async def run(work: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    work.count = int((work.seconds + WARM_UP_SECONDS) * work.rate)
    with tempfile.TemporaryDirectory() as folder:
        async with servers(work.kafka, Path(folder)) as settings:
            await Broker(settings).create_topics()
            await define(settings, work.hits)
            bare, lost = await two_hops(settings, work, 0)
            port = free_port()
            variables = environment(settings, PORT=str(port))
            async with (
                running(variables, "query") as query,
                running(variables, "worker", "--stations", "match") as match,
                session(port, "bench") as http,
            ):
                await answering(http)
                # Compiles the alerts, and shows that all is there.
                warm = argparse.Namespace(**{**vars(work), "count": 200, "rate": 50.0})
                await visible(settings, warm, 10_000_000, http)
                used = [processor_seconds(process.pid) for process in (match, query)]
                taken, arrived = await visible(settings, work, 20_000_000, http)
                used = [
                    processor_seconds(process.pid) - before
                    for process, before in zip((match, query), used, strict=True)
                ]
            again, lost_again = await two_hops(settings, work, 30_000_000)
    return {
        "latency_ms": milliseconds(taken),
        "two_hops_ms": milliseconds(bare + again),
        "hits_per_document": work.hits,
        "documents_per_second": work.rate,
        "documents": work.count,
        "alerts": ALERTS,
        "processor_seconds_match_query": [round(value, 2) for value in used],
        "mismatches": sum(one.missing + one.twice for one in (arrived, lost, lost_again)),
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="bootstrap servers of a broker; one is started when left out")
    parser.add_argument("--hits", type=int, choices=(1, 20), default=1, help="alerts that match a document")
    parser.add_argument("--rate", type=float, default=1_000.0, help="documents a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, after the warm-up")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
