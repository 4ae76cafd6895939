"""Retrieval over stored documents: 100,000 documents with a vector each in the embedded database.

Measured is ``run_stored``, what an execution over HTTP does but for HTTP and its record, each with a snapshot of
its own: a ``feature_search`` of the ten nearest, the same with a filter that one document in a hundred fits, and a
filter alone. The baseline of each, in turns in the same run, is the same question by a plain scan of the tables:
pgvector's exact distances with SQL's own condition, sorted (``ORDER BY ... LIMIT 10``); of the filter alone the
first thousand and how many there are, as the stage gives. Recall is of the exact ten best, with their scores, over
all queries. *exact* is the same search with no index allowed; a sample of its answers is compared with the engine
in memory, where a difference is a mismatch.

Documents come like those of a real collection: vectors around a few thousand centres, records of 800 bytes.

    python -m benchmarks.retrieve [--documents N] [--queries N] [--dimensions N]

The last line is one JSON object; ``ratio`` is the baseline's median over that of the indexed search. Exits 1 when
an answer is wrong or recall is below 0.95.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.checking import scratch
from benchmarks.generated import record
from schemas.events.document import UPSERTED, DocumentEvent
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Tally, Version
from streams.collect.store import write_documents, write_tallies
from streams.engines.retrieval.execution.execute import Execution, execute
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.prepare import prepare
from streams.index.building import Builder
from streams.retrieval.reading import Stored
from streams.retrieval.running import Asked, run_stored
from streams.runtime.database import Connection, Database, migrate
from streams.runtime.dev.database import embedded_database
from streams.settings import Settings

NS: Final = "ns_bench"
COLLECTION: Final = "col_records"
URI: Final = "mixpeek://text_extractor@v1/dense"
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
BATCH: Final = 5_000
CENTRES: Final = 3_000
LEAST_RECALL: Final = 0.95
FILTER: Final = {"lot": 7}
_PLAIN: Final = """
SELECT v.document_id FROM document_vectors v JOIN documents d USING (namespace_id, collection_id, document_id)
WHERE v.namespace_id = %(ns)s AND v.collection_id = %(collection)s AND v.feature_uri = %(uri)s {where}
ORDER BY v.embedding <=> %(query)s::vector LIMIT 10
"""
_PLAIN_FILTER: Final = """
SELECT document_id, payload, text, count(*) OVER () FROM documents
WHERE namespace_id = %(ns)s AND collection_id = %(collection)s AND payload -> 'lot' = '7'
ORDER BY document_id LIMIT 1000
"""
Ask = Callable[[Connection, NDArray[np.float32]], Awaitable[Any]]


def vectors(documents: int, dimensions: int) -> NDArray[np.float32]:
    """Vectors around centres."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((CENTRES, dimensions))
    near = centres[rng.integers(0, CENTRES, documents)]
    return (near + 0.7 * rng.standard_normal((documents, dimensions))).astype(np.float32)


async def fill(database: Database, found: NDArray[np.float32]) -> None:
    """Store the documents as collect does."""
    chance = Random(5)
    for start in range(0, len(found), BATCH):
        folded = Folded()
        tally = Tally()
        for offset in range(start, min(start + BATCH, len(found))):
            payload = record(chance, offset)
            payload["lot"] = chance.randrange(100)
            name = payload.pop("document_id")
            text = payload.pop("description")
            event = DocumentEvent(
                UPSERTED, NS, COLLECTION, name, NOW, payload, text, features={URI: found[offset]}
            )
            arrival = Arrival(0, offset, NOW, event)
            folded.documents[arrival.key] = Version(arrival, NOW, NOW)
            tally.added, tally.next_offset = tally.added + 1, offset + 1
        async with database.transaction() as connection:
            await write_documents(connection, folded, [])
            await write_tallies(connection, {(NS, COLLECTION, 0): tally})
    async with database.connection() as connection:
        await connection.execute("VACUUM ANALYZE documents")
        await connection.execute("VACUUM ANALYZE document_vectors")


def body(query: NDArray[np.float32] | None, filtered: bool) -> dict[str, Any]:
    """A retriever of one stage."""
    if query is None:
        parameters: dict[str, Any] = {"conditions": FILTER}
        return {"stages": [{"stage_id": "attribute_filter", "parameters": parameters}]}
    search = {"feature_uri": URI, "query": {"input_mode": "vector", "value": query.tolist()}, "top_k": 10}
    config: dict[str, Any] = {
        "stage_id": "feature_search",
        "parameters": {"searches": [search], "final_top_k": 10},
    }
    return {"stages": [{**config, "pre_filters": FILTER} if filtered else config]}


async def stored(database: Database, raw: dict[str, Any], *, approximate: bool) -> Execution:
    """One execution."""
    retriever = prepare({**raw, "collection_identifiers": [COLLECTION]})
    asked = Asked(NS, retriever, raw, {}, None, approximate=approximate, vectors=False)
    async with database.transaction(snapshot=True) as connection:
        execution, corpus = await run_stored(connection, asked, now=NOW, seed="bench")
    if execution.error is not None:
        raise SystemExit(execution.error)
    if approximate and "pre_filters" not in raw["stages"][0] and raw["stages"][0]["stage_id"] == "feature_search":
        assert corpus.approximated, "the index was not used"
    return execution


async def plain(database: Database, query: NDArray[np.float32] | None, filtered: bool) -> list[str]:
    """The same question by a scan."""
    parameters = {"ns": NS, "collection": COLLECTION, "uri": URI, "query": query}
    where = "AND d.payload -> 'lot' = '7'" if filtered else ""
    statement = _PLAIN_FILTER if query is None else _PLAIN.format(where=where)
    async with database.transaction(snapshot=True) as connection:
        rows = await (await connection.execute(statement.encode(), parameters)).fetchall()
    return [row[0] for row in rows]


def named(execution: Execution) -> list[tuple[str, float | None]]:
    """What was found."""
    return [(row.document_id, row.score) for row in execution.rows[:10]]


async def timed(work: Awaitable[Any]) -> tuple[float, Any]:
    """Milliseconds and the answer."""
    started = time.perf_counter()
    found = await work
    return (time.perf_counter() - started) * 1_000, found


async def measure(
    database: Database, queries: list[NDArray[np.float32] | None], *, filtered: bool, approximate: bool
) -> dict[str, Any]:
    """One kind of question, and its baseline in turns."""
    ours: list[float] = []
    scans: list[float] = []
    hits = wanted = 0
    for query in queries:
        raw = body(query, filtered)
        milliseconds, execution = await timed(stored(database, raw, approximate=approximate))
        ours.append(milliseconds)
        scans.append((await timed(plain(database, query, filtered)))[0])
        exact = named(await stored(database, raw, approximate=False)) if approximate else named(execution)
        hits, wanted = hits + len(set(named(execution)) & set(exact)), wanted + len(exact)
    median, scan = statistics.median(ours), statistics.median(scans)
    return {
        "p50_milliseconds": round(median, 2),
        "p99_milliseconds": round(sorted(ours)[min(len(ours) - 1, int(0.99 * len(ours)))], 2),
        "scan_p50_milliseconds": round(scan, 2),
        "ratio": round(scan / median, 3),
        "recall": round(hits / wanted, 4) if wanted else 1.0,
    }


async def mismatches(database: Database, queries: list[NDArray[np.float32]]) -> int:
    """Answers of the exact search that are not those of the engine in memory."""
    memory = MemoryCorpus()
    async with database.transaction(snapshot=True) as connection:
        tables = Stored(connection, NS)
        async for page in tables.every(COLLECTION):
            features = await tables.vectors(COLLECTION, [event.document_id for event in page], [URI])
            for event in page:
                event.features = features.get(event.document_id, {})
                memory.apply(event)
    wrong = 0
    for query in queries:
        for filtered in (False, True):
            raw = body(query, filtered)
            wanted = await execute(raw, {}, memory, now=NOW, clock=time.monotonic, seed="bench")
            wrong += named(wanted) != named(await stored(database, raw, approximate=False))
    return wrong


async def run(documents: int, count: int, dimensions: int) -> dict[str, Any]:
    """The whole benchmark."""
    data = vectors(documents + count, dimensions)
    found, queries = data[:documents], list(data[documents:])
    with scratch() as folder:
        async with embedded_database(folder) as dsn:
            await migrate(dsn)
            async with Database(Settings(database=dsn)) as database:
                started = time.perf_counter()
                await fill(database, found)
                filled = time.perf_counter() - started
                print(f"stored in {filled:.1f} s", file=sys.stderr, flush=True)
                # Small runs are indexed too.
                started = time.perf_counter()
                await Builder(database, large=min(20_000, documents)).tick(NOW)
                built = time.perf_counter() - started
                print(f"indexed in {built:.1f} s", file=sys.stderr, flush=True)
                results = {
                    "search": await measure(database, [*queries], filtered=False, approximate=True),
                    "filtered": await measure(database, [*queries], filtered=True, approximate=True),
                    "filter_only": await measure(
                        database, [None] * max(3, count // 5), filtered=True, approximate=False
                    ),
                    "exact": await measure(
                        database, [*queries[: max(3, count // 5)]], filtered=False, approximate=False
                    ),
                }
                wrong = await mismatches(database, queries[:5])
    return {
        **results["search"],
        "documents": documents,
        "dimensions": dimensions,
        "store_seconds": round(filled, 1),
        "index_seconds": round(built, 1),
        "mismatches": wrong,
        "questions": results,
    }


def main() -> None:
    """Read the arguments, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--dimensions", type=int, default=384)
    given = parser.parse_args()
    found = asyncio.run(run(given.documents, given.queries, given.dimensions))
    print(json.dumps(found))
    recalls = [question["recall"] for question in found["questions"].values()]
    if found["mismatches"] or min(recalls) < LEAST_RECALL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
