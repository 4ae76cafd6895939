"""Deleted collections: gone at once for readers, their rows step by step, whoever goes on with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from streams.runtime import clearing
from streams.runtime.clearing import OF_COLLECTION, STEP, blank_results, clear, clear_step, delete_some
from streams.runtime.database import Database, fetch_value
from streams.runtime.erasure import SETTLING, WHOLE, Erased, note_erased, sweep
from streams.settings import Settings
from tests.support import eventually

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LATER = NOW + 2 * SETTLING
DOCUMENTS = 2 * STEP + 10


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Database]:
    """Two collections of documents with vectors and counters; the first is deleted."""
    async with Database(Settings(database=database_url)) as database:
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO documents (namespace_id, collection_id, document_id, payload, occurred_at,"
                " appended_at, partition, record_offset, created_at)"
                " SELECT 'ns', c.id, 'd' || n, '{}', now(), now(), 0, n, now()"
                " FROM (VALUES ('col_gone', %s), ('col_kept', 20)) AS c (id, size), generate_series(1, c.size) n",
                (DOCUMENTS,),
            )
            await connection.execute(
                "INSERT INTO document_vectors SELECT namespace_id, collection_id, 'f', document_id, '[1,2]'"
                " FROM documents WHERE record_offset <= 30"
            )
            await connection.execute(
                "INSERT INTO collection_counters (namespace_id, collection_id, partition, added)"
                " SELECT 'ns', collection_id, 0, count(*) FROM documents GROUP BY 2"
            )
            await note_erased(connection, [Erased("ns", WHOLE, "col_gone", NOW)])
        yield database


async def left(database: Database, collection_id: str = "col_gone") -> int:
    async with database.connection() as connection:
        found = 0
        for table in OF_COLLECTION:
            query = f"SELECT count(*) FROM {table} WHERE collection_id = %s"
            found += int(await fetch_value(connection, query, (collection_id,)))
        return found


async def swept(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await fetch_value(connection, "SELECT swept FROM erased_documents"))


async def test_no_step_deletes_more_than_it_may_and_all_of_them_everything(here: Database) -> None:
    steps: list[int] = []
    while not steps or steps[-1]:
        async with here.transaction() as connection:
            steps.append(await clear_step(connection, "ns", "col_gone"))
    assert steps == [STEP, STEP, 10 + 30 + 1, 0]
    assert await left(here) == 0
    assert await left(here, "col_kept") == 20 + 20 + 1


async def test_the_sweep_goes_on_where_another_was_killed(here: Database) -> None:
    async with here.transaction() as connection:
        await clear_step(connection, "ns", "col_gone")
    # As a request that was out of time at once.
    await clear(here, "ns", "col_gone", seconds=0)
    assert await left(here) == DOCUMENTS - STEP + 31
    await sweep(here, NOW)
    assert await left(here) > 0, "what is on its way has time to come"
    await sweep(here, LATER)
    assert (await left(here), await swept(here)) == (0, True)
    assert await left(here, "col_kept") == 41


async def test_documents_that_are_being_taken_back_stay_until_that_is_done(here: Database) -> None:
    async with here.transaction() as connection:
        await connection.execute(
            "INSERT INTO reference_feeds (namespace_id, collection_id, state, kept_until)"
            " VALUES ('ns', 'col_gone', 'draining', now())"
        )
    await clear(here, "ns", "col_gone")
    await sweep(here, LATER)
    assert (await left(here), await swept(here)) == (DOCUMENTS + 31, False)
    async with here.transaction() as connection:
        await connection.execute("DELETE FROM reference_feeds")
    await sweep(here, LATER)
    assert (await left(here), await swept(here)) == (0, True)


async def test_results_are_blanked_step_by_step(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "STEP", 7)
    async with here.transaction() as connection:
        await connection.execute(
            "CREATE TABLE days PARTITION OF result_documents FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
        )
        await connection.execute(
            "INSERT INTO result_documents (day, base, namespace_id, collection_id, document_id, source_topic,"
            " source_partition, source_offset, appended_at, occurred_at, executed_at, duration_ms,"
            " definitions_version, asset_id, document)"
            " SELECT DATE '2024-01-01' + n %% 3, convert_to('b' || n, 'UTF8'),"
            " CASE n %% 5 WHEN 0 THEN 'ns_other' ELSE 'ns' END,"
            " CASE n %% 2 WHEN 0 THEN 'col_gone' ELSE 'col_kept' END, 'd' || n, '', 0, n, now(), now(), now(), 1,"
            " 1, 'a', '{\"title\": 1}' FROM generate_series(1, %s) n",
            (60,),
        )
    await blank_results(here, [("ns", "col_gone"), ("ns", "col_nothing")])
    async with here.connection() as connection:
        cursor = await connection.execute(
            "SELECT namespace_id = 'ns' AND collection_id = 'col_gone', document::text = '{}' AND asset_id"
            " IS NULL, count(*) FROM result_documents GROUP BY 1, 2 ORDER BY 1"
        )
        assert await cursor.fetchall() == [(False, False, 36), (True, True, 24)]


async def test_some_are_deleted_of_a_table(here: Database) -> None:
    async with here.transaction() as connection:
        where, values = "collection_id = %(collection)s", {"collection": "col_kept"}
        assert await delete_some(connection, "documents", where, values, 15) == 15
        assert await delete_some(connection, "documents", where, values, 15) == 5
        assert await delete_some(connection, "documents", where, values, 0) == 0


async def test_a_row_that_is_written_meanwhile_does_not_look_like_the_last(here: Database) -> None:
    where, values = "collection_id = %(collection)s", {"collection": "col_kept"}
    async with here.transaction() as writing:
        await writing.execute(
            "UPDATE documents SET text = 'new' WHERE document_id = 'd3' AND collection_id = 'col_kept'"
        )

        async def deleted() -> int:
            async with here.transaction() as connection:
                return await delete_some(connection, "documents", where, values, 15)

        deleting = asyncio.create_task(deleted())

        async def waiting() -> bool:
            async with here.connection() as connection:
                cursor = await connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                return await cursor.fetchone() == (1,)

        await eventually(waiting)
    assert await deleting == 15


async def test_a_forgotten_deletion_takes_what_came_late_with_it(here: Database) -> None:
    await sweep(here, LATER)
    async with here.transaction() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, occurred_at,"
            " appended_at, partition, record_offset, created_at)"
            " VALUES ('ns', 'col_gone', 'late', '{}', now(), now(), 0, 1, now())"
        )
    await sweep(here, LATER)
    assert await left(here) == 1
    await sweep(here, NOW + timedelta(days=32))
    assert await left(here) == 0
