"""Segments over a real database: what they nominate, what came since, and what becomes of old ones."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.events.document import UPSERTED, DocumentEvent
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Tally, Version
from streams.collect.store import write_documents, write_tallies
from streams.engines.retrieval.execution.corpus import EVERYTHING, Nearest, Scope
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.index.building import KEPT, Builder
from streams.retrieval import nearest as searching
from streams.retrieval.corpus import PostgresCorpus
from streams.runtime.agent import Context
from streams.runtime.database import Database
from tests.retrieval.conftest import context as context
from tests.retrieval.storing import AT, NS

URI = "mixpeek://text@v1/dense"
DIMENSIONS = 24


class Log:
    """Documents written as collect writes them, each at its offset in one of two partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offset = 0
        self._known: set[tuple[str, str, str]] = set()

    async def write(self, events: Sequence[DocumentEvent]) -> None:
        folded = Folded()
        tallies: dict[tuple[str, str, int], Tally] = {}
        for event in events:
            self._offset += 1
            arrival = Arrival(self._offset % 2, self._offset, AT, event)
            folded.documents[arrival.key] = Version(arrival, AT, event.occurred_at)
            tally = tallies.setdefault(arrival.scope, Tally())
            tally.added, tally.next_offset = tally.added + (arrival.key not in self._known), self._offset + 1
        async with self._database.transaction() as connection:
            await write_documents(connection, folded, self._known)
            await write_tallies(connection, tallies)
        self._known |= folded.documents.keys()


def documents(vectors: NDArray[np.float32], start: int = 0) -> list[DocumentEvent]:
    return [
        DocumentEvent(UPSERTED, NS, "col_a", f"d{at}", AT, payload={"n": at % 100}, features={URI: vector})
        for at, vector in enumerate(vectors, start)
    ]


def some(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return rng.standard_normal((count, DIMENSIONS)).astype(np.float32)


async def found(
    context: Context, query: NDArray[Any], k: int, where: Filter, approximate: bool
) -> tuple[list[Row], bool]:
    async with context.database.transaction(snapshot=True) as connection:
        corpus = await PostgresCorpus.open(connection, NS, approximate=approximate)
        rows = await corpus.nearest(Nearest(URI, unit_rows(query[None, :]), k), Scope(None, where))
        return rows, bool(corpus.approximated)


def named(rows: Sequence[Row]) -> list[tuple[str, float | None]]:
    return [(row.document_id, row.score) for row in rows]


async def recall(context: Context, queries: NDArray[Any], where: Filter = EVERYTHING) -> float:
    """Of the exact ten best the part that the index finds; every score it gives is the exact one."""
    hits = 0
    for query in queries:
        ours, approximate = await found(context, query, 10, where, True)
        exact, _ = await found(context, query, 10, where, False)
        assert approximate
        assert ours == sorted(ours, key=lambda row: (-(row.score or 0.0), row.document_id))
        hits += len(set(named(ours)) & set(named(exact)))
    return hits / (10 * len(queries))


async def test_a_large_collection_is_indexed_and_found_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few documents are filtered faster than searched.
    monkeypatch.setattr(searching, "_WORTH", 1.0)
    rng = np.random.default_rng(7)
    log, builder = Log(context.database), Builder(context.database, large=1_000)
    await log.write(documents(some(rng, 999)))
    assert await builder.tick(AT) == 0
    await log.write(documents(some(rng, 1_001), 999))
    assert await builder.tick(AT) == 1
    assert await builder.tick(AT) == 0
    queries = some(rng, 8)
    assert await recall(context, queries) >= 0.9
    assert await recall(context, queries, parse_filter({"n": {"lt": 30}})) >= 0.9


async def test_what_came_changed_or_went_since_counts_at_once(context: Context) -> None:
    rng = np.random.default_rng(8)
    log, builder = Log(context.database), Builder(context.database, large=300)
    await log.write(documents(some(rng, 400)))
    await builder.tick(AT)
    query = some(rng, 1)[0]
    best, _ = await found(context, query, 1, EVERYTHING, True)
    (gone,) = best
    # The best one now looks the other way, another is nearest, and a new one is as near.
    other = "d7" if gone.document_id != "d7" else "d8"
    await log.write(
        [
            DocumentEvent(UPSERTED, NS, "col_a", gone.document_id, AT, features={URI: -query}),
            DocumentEvent(UPSERTED, NS, "col_a", other, AT, features={URI: query}),
            DocumentEvent(UPSERTED, NS, "col_a", "new", AT, features={URI: query}),
        ]
    )
    rows, approximate = await found(context, query, 2, EVERYTHING, True)
    assert approximate
    assert named(rows) == [(other, 1.0), ("new", 1.0)]
    rows, _ = await found(context, query, 400, EVERYTHING, True)
    assert gone.document_id not in [row.document_id for row in rows[:200]]


async def test_segments_are_added_replaced_and_dropped(context: Context) -> None:
    rng = np.random.default_rng(9)
    log, builder = Log(context.database), Builder(context.database, large=100)
    await log.write(documents(some(rng, 400)))
    assert await builder.tick(AT) == 1
    await log.write(documents(some(rng, 120), 400))
    assert await builder.tick(AT) == 1
    assert await tables(context.database) == {1: False, 2: False}
    query = some(rng, 1)[0]
    ours, _ = await found(context, query, 10, EVERYTHING, True)
    exact, _ = await found(context, query, 10, EVERYTHING, False)
    assert len(set(named(ours)) & set(named(exact))) >= 8
    await log.write(documents(some(rng, 700), 520))
    assert await builder.tick(AT) == 1
    assert await tables(context.database) == {1: True, 2: True, 3: False}
    await builder.tick(AT + KEPT)
    assert len(await tables(context.database)) == 3
    await builder.tick(AT + KEPT + timedelta(seconds=1))
    assert await tables(context.database) == {3: False}
    async with context.database.connection() as connection:
        await connection.execute("DELETE FROM documents")
        await connection.execute("DELETE FROM document_vectors")
        await connection.execute("DELETE FROM collection_counters")
    await builder.tick(AT)
    assert await tables(context.database) == {3: True}
    assert await found(context, query, 10, EVERYTHING, True) == ([], False)


async def tables(database: Database) -> dict[int, bool]:
    """Segments whose tables exist, and whether they are retired."""
    async with database.connection() as connection:
        rows = await connection.execute(
            "SELECT segment_id, retired_at IS NOT NULL FROM vector_segments"
            " WHERE to_regclass('vector_segment_' || segment_id) IS NOT NULL"
        )
        return dict(await rows.fetchall())


async def test_a_log_that_has_gone_back_behind_a_segment_is_searched_exactly(context: Context) -> None:
    rng = np.random.default_rng(10)
    log, builder = Log(context.database), Builder(context.database, large=100)
    await log.write(documents(some(rng, 150)))
    await builder.tick(AT)
    query = some(rng, 1)[0]
    assert (await found(context, query, 10, EVERYTHING, True))[1]
    async with context.database.connection() as connection:
        await connection.execute("UPDATE collection_counters SET next_offset = 3")
    ours, approximate = await found(context, query, 10, EVERYTHING, True)
    assert not approximate
    assert named(ours) == named((await found(context, query, 10, EVERYTHING, False))[0])


async def test_where_few_documents_fit_all_that_do_are_compared(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_WORTH", 1.0)
    monkeypatch.setattr(searching, "MAX_NOMINEES", 500)
    rng = np.random.default_rng(11)
    log, builder = Log(context.database), Builder(context.database, large=1_000)
    await log.write(documents(some(rng, 2_000)))
    await builder.tick(AT)
    for fitting in (0, 3, 20):
        where = parse_filter({"document_id": {"in": [f"d{at * 97}" for at in range(fitting)]}})
        (query,) = some(rng, 1)
        ours, approximate = await found(context, query, 10, where, True)
        assert not approximate
        assert named(ours) == named((await found(context, query, 10, where, False))[0])
        assert len(ours) == min(fitting, 10)
