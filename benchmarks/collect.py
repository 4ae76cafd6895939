"""How fast collect writes: documents per second into PostgreSQL, beside a bare binary ``COPY`` of the same rows.

Documents are JSON of about 2.4 kB with a 384-dimensional vector in base64, a text and four payload fields. Three
drift triggers stand on their collection: on the vectors, on a number and on a category, checked every hour, so
each batch adds to sketches of hours, days and 30 days. The real station handles the records as its loop gives them
to it, over three partitions, 2,000 a transaction: it decodes them, looks up what is stored already, folds,
sketches, writes documents, vectors, counters and positions, and commits. Only the fetch from the broker is left
out, of which aiokafka makes some 200,000 a second.

The baseline copies the very rows the station has stored, documents and vectors, out of memory into empty tables
with the same columns and indexes, by psycopg's binary COPY, 2,000 a transaction too. It decodes, decides and
counts nothing.

An HNSW-indexed collection is present in both: a partial HNSW index over another collection's vectors, in the very
table the station writes to and in its copy. Vectors of the measured collection are not in it, as they would not be
before their segment is sealed.

    python -m benchmarks.collect [--documents N] [--rounds N] [--indexed N]

The last line is one JSON object; ``mismatches`` counts documents, vectors and sketched values that are not there.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from aiokafka import ConsumerRecord, TopicPartition
from psycopg.types.json import Jsonb

from schemas.events.document import DocumentEvent, encode_document_event
from schemas.topics import DOCUMENTS
from streams.cli.process import settle_in
from streams.collect.station import BATCHES, Collect
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Connection, Database, fetch_value, migrate
from streams.runtime.definitions import put_definition
from streams.runtime.dev.database import embedded_database
from streams.settings import Settings

DIMENSIONS: Final = 384
URI: Final = "mixpeek://passthrough_extractor@v1/embedding"
NS, COLLECTION, SEALED = "ns_bench", "col_bench", "col_sealed"
PARTITIONS: Final = 3
BATCH: Final = 2_000
TRIGGERS: Final[tuple[dict[str, Any], ...]] = (
    {"feature_uri": URI},
    {"field": "price", "field_type": "number"},
    {"field": "code", "field_type": "category"},
)
STORED: Final = {
    "documents": (
        (
            "namespace_id, collection_id, document_id, payload, text, asset_id, occurred_at, appended_at,"
            " partition, record_offset, created_at, late_at"
        ),
        "text text text jsonb text text timestamptz timestamptz int4 int8 timestamptz timestamptz",
    ),
    "document_vectors": (
        "namespace_id, collection_id, feature_uri, document_id, embedding",
        "text text text text vector",
    ),
}
"""What the baseline copies: columns and their types."""


def event(number: int, vector: Any) -> DocumentEvent:
    """A document that is like no other."""
    return DocumentEvent(
        "document.upserted",
        NS,
        COLLECTION,
        f"d{number:09}",
        datetime(2024, 1, 1, tzinfo=UTC),
        payload={
            "title": f"Document {number}",
            "lang": "en",
            "code": f"c{number % 500}-x",
            "price": number % 1_000 / 8,
        },
        text="A document about nothing in particular, as long as a headline is.",
        features={URI: vector},
    )


def batches(topic: str, first: int, count: int) -> Iterator[dict[TopicPartition, list[ConsumerRecord]]]:
    """Encoded records as the loop hands them over; offsets go on from ``first`` documents before."""
    chance = np.random.default_rng(first)
    now = int(time.time() * 1_000)
    for start in range(first, first + count, BATCHES * BATCH):
        size = min(BATCHES * BATCH, first + count - start)
        vectors = chance.normal(size=(size, DIMENSIONS)).astype(np.float32)
        found: dict[TopicPartition, list[ConsumerRecord]] = {}
        for row in range(size):
            number = start + row
            document = event(number, vectors[row])
            partition, offset = number % PARTITIONS, number // PARTITIONS
            found.setdefault(TopicPartition(topic, partition), []).append(
                ConsumerRecord(
                    topic,
                    partition,
                    offset,
                    now,
                    0,
                    document.key,
                    value := encode_document_event(document),
                    None,
                    len(document.key or b""),
                    len(value),
                    (),
                )
            )
        yield found


async def prepare(database: Database, indexed: int) -> None:
    """Triggers, and another collection with an HNSW index over its vectors."""
    async with database.transaction() as connection:
        for number, what in enumerate(TRIGGERS):
            body = {
                "trigger_type": "conditional",
                "schedule_config": {"condition_type": "drift", "check_interval_seconds": 3_600, **what},
                "watched_collection_ids": [COLLECTION],
            }
            await put_definition(connection, "trigger", NS, f"trig_{number}", None, body)
        vectors = np.random.default_rng(9).normal(size=(indexed, DIMENSIONS)).astype(np.float32)
        columns, types = STORED["document_vectors"]
        rows = [(NS, SEALED, URI, f"s{number}", vector) for number, vector in enumerate(vectors)]
        await copy(connection, "document_vectors", columns, types, rows)
        await connection.execute(
            "CREATE INDEX sealed_hnsw ON document_vectors USING hnsw"
            f" ((embedding::vector({DIMENSIONS})) vector_cosine_ops)"
            f" WHERE namespace_id = '{NS}' AND collection_id = '{SEALED}'".encode()
        )


async def copy(
    connection: Connection, table: str, columns: str, types: str, rows: Sequence[Sequence[Any]]
) -> None:
    """A bare binary COPY."""
    async with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as out:
        out.set_types(types.split())
        for row in rows:
            await out.write_row(row)


async def collect(station: Collect, topic: str, first: int, count: int) -> float:
    """Documents per second of the station."""
    given = list(batches(topic, first, count))
    started = time.perf_counter()
    for batch in given:
        await station.handle(batch)
    return count / (time.perf_counter() - started)


async def bare(database: Database, first: int, count: int) -> float:
    """Documents per second of copying the rows that the station stored for the same documents."""
    rows: dict[str, list[Any]] = {}
    async with database.transaction() as connection:
        for table, (columns, _) in STORED.items():
            await connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
            cursor = await connection.execute(
                f"SELECT {columns} FROM {table} WHERE collection_id = %s"
                " AND document_id >= %s AND document_id < %s ORDER BY document_id".encode(),
                (COLLECTION, f"d{first:09}", f"d{first + count:09}"),
            )
            rows[table] = await cursor.fetchall()
    documents = [(*row[:3], Jsonb(row[3], dumps=orjson.dumps), *row[4:]) for row in rows["documents"]]
    vectors = [(*row[:4], row[4].to_numpy()) for row in rows["document_vectors"]]
    rows = {"documents": documents, "document_vectors": vectors}
    started = time.perf_counter()
    for start in range(0, count, BATCH):
        async with database.transaction() as connection:
            for table, (columns, types) in STORED.items():
                await copy(connection, f"bare_{table}", columns, types, rows[table][start : start + BATCH])
    rate = count / (time.perf_counter() - started)
    async with database.transaction() as connection:
        for table in STORED:
            await connection.execute(f"DROP TABLE bare_{table}".encode())
    return rate


async def mismatches(database: Database, count: int) -> int:
    """What should be stored and is not."""
    async with database.connection() as connection:
        stored = [
            await fetch_value(connection, f"SELECT count(*) FROM {table} WHERE collection_id = %s", (COLLECTION,))
            for table in STORED
        ]
        cursor = await connection.execute(
            "SELECT sum(documents)::int FROM drift_sketches GROUP BY feature, width_seconds"
        )
        stored += [row[0] for row in await cursor.fetchall()]
    expected = len(STORED) + len(TRIGGERS) * 3
    return sum(abs(count - int(found)) for found in stored) + count * abs(expected - len(stored))


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_database(Path(folder)) as dsn:
            await migrate(dsn)
            settings = Settings(database=dsn, batch_documents=BATCH)
            async with Database(settings) as database:
                await prepare(database, arguments.indexed)
                broker = Broker(settings)
                topic = broker.topic(DOCUMENTS)
                station = Collect(Context(settings, broker, database))
                await station.start_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
                # The first batch of each loads what they need.
                await collect(station, topic, 0, BATCH)
                await bare(database, 0, BATCH)
                settle_in()
                rates: dict[str, list[float]] = {"bare": [], "collect": []}
                done = BATCH
                for _ in range(arguments.rounds):
                    rates["collect"].append(await collect(station, topic, done, arguments.documents))
                    rates["bare"].append(await bare(database, done, arguments.documents))
                    done += arguments.documents
                    for name, measured in rates.items():
                        print(f"{name:>8}: {measured[-1]:>9,.0f} documents/s", file=sys.stderr, flush=True)
                wrong = await mismatches(database, done)
    ours, baseline = statistics.median(rates["collect"]), statistics.median(rates["bare"])
    return {
        "documents_per_second": round(ours),
        "baseline_documents_per_second": round(baseline),
        "ratio": round(ours / baseline, 3),
        "documents": arguments.documents,
        "indexed_vectors": arguments.indexed,
        "mismatches": wrong,
        "sets": {},
    }


def main() -> None:
    """Measure and print."""
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        # As a worker does; read when numpy is loaded.
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40_000, help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--indexed", type=int, default=2_000, help="vectors of the indexed collection")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
