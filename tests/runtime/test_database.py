"""Positions move by compare-and-set; migrations apply once."""

import asyncio
import select
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition

from streams.runtime.agent import Context
from streams.runtime.database import (
    Advance,
    StoredPosition,
    advance_positions,
    fetch_value,
    migrate,
    note_positions,
    stored_positions,
)
from streams.runtime.failure import PositionLostError
from tests.support import eventually

PARTITION = TopicPartition("documents", 2)


async def test_a_position_moves_only_from_where_it_stands(context: Context) -> None:
    async with context.database.transaction() as connection:
        await advance_positions(connection, "s", [Advance(PARTITION, 0, 5, 1_000, b"k")])
    with pytest.raises(PositionLostError):
        async with context.database.transaction() as connection:
            await advance_positions(connection, "s", [Advance(PARTITION, 0, 9, 1_001, None)])
    async with context.database.transaction() as connection:
        await advance_positions(connection, "s", [Advance(PARTITION, 5, 9, 1_001, None)])
        held = await stored_positions(connection, "s", "documents")
    assert held[2].next_offset == 9
    assert held[2].last_timestamp == 1_001


@pytest.mark.parametrize("next_offset", [0, 4, 5])
async def test_a_position_never_moves_backwards_nor_stays(context: Context, next_offset: int) -> None:
    async with context.database.transaction() as connection:
        await advance_positions(connection, "s", [Advance(PARTITION, 0, 5, 1_000, b"k")])
    with pytest.raises(PositionLostError):
        async with context.database.transaction() as connection:
            await advance_positions(connection, "s", [Advance(PARTITION, 5, next_offset, 999, None)])
    async with context.database.connection() as connection:
        held = await stored_positions(connection, "s", "documents")
    assert (held[2].next_offset, held[2].last_timestamp) == (5, 1_000)


async def test_a_lost_position_takes_the_rows_with_it(context: Context) -> None:
    async with context.database.transaction() as connection:
        await advance_positions(connection, "s", [Advance(PARTITION, 0, 5, 1_000, None)])
    with pytest.raises(PositionLostError):
        async with context.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO seen_events (namespace_id, event_id, seen_at) VALUES ('n', 'e', now())"
            )
            await advance_positions(connection, "s", [Advance(PARTITION, 4, 6, 1_000, None)])
    async with context.database.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM seen_events")).fetchone()
    assert row == (0,)


async def test_noted_positions_go_where_they_are_told(context: Context) -> None:
    partitions = [TopicPartition("documents", number) for number in range(3)]
    async with context.database.connection() as connection:
        await note_positions(
            connection, "s", {tp: StoredPosition(9, 1_000, b"\xff") for tp in reversed(partitions)}
        )
        await note_positions(connection, "s", {partitions[1]: StoredPosition(4, None, None)})
        await note_positions(connection, "s", {})
        held = await stored_positions(connection, "s", "documents")
    before = StoredPosition(9, 1_000, b"\xff")
    assert held == {0: before, 1: StoredPosition(4, None, None), 2: before}


async def test_migrations_apply_once(database_url: str) -> None:
    assert await migrate(database_url) == []


async def asked(context: Context, query: str) -> Any:
    async with context.database.connection() as connection:
        return await fetch_value(connection, query)


async def counted(context: Context) -> int:
    found: int = await asked(context, "SELECT count(*) FROM seen_events")
    return found


SEEN = "INSERT INTO seen_events (namespace_id, event_id, seen_at) VALUES ('n', %s, now())"


async def test_a_pipelined_transaction_commits_what_nobody_waited_for(context: Context) -> None:
    async with context.database.pipelined() as connection:
        await connection.execute(SEEN, ("one",))
        assert await fetch_value(connection, "SELECT count(*) FROM seen_events") == 1
        assert await counted(context) == 0
        await connection.execute(SEEN, ("two",))
    assert await counted(context) == 2


@pytest.mark.parametrize("place", ["first", "middle", "last", "before COMMIT is sent"])
async def test_an_error_anywhere_in_a_pipelined_transaction_takes_all_of_it_back(
    context: Context, place: str
) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with context.database.pipelined() as connection:
            await connection.execute(SEEN, ("one",))
            if place == "first":
                await connection.execute(SEEN, ("one",))
            assert await fetch_value(connection, "SELECT 1") == 1
            if place == "middle":
                await connection.execute(SEEN, ("one",))
            assert await fetch_value(connection, "SELECT 2") == 2
            await connection.execute(SEEN, ("one",))
            if place == "before COMMIT is sent":
                await asyncio.to_thread(select.select, [connection.pgconn.socket], [], [], 20)
            else:
                await connection.execute(SEEN, ("two",))
    assert await counted(context) == 0


async def test_a_pipelined_transaction_that_is_given_up_leaves_nothing(context: Context) -> None:
    with pytest.raises(ValueError, match="given up"):
        async with context.database.pipelined() as connection:
            await connection.execute(SEEN, ("one",))
            raise ValueError("given up")
    assert await counted(context) == 0
    async with context.database.pipelined() as connection:
        await connection.execute(SEEN, ("one",))
    assert await counted(context) == 1


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("cancel", asyncio.CancelledError),
        ("pg_cancel_backend", psycopg.errors.QueryCanceled),
        ("pg_terminate_backend", psycopg.OperationalError),
    ],
)
async def test_a_pipelined_transaction_that_is_interrupted_leaves_nothing_and_a_pool_of_use(
    context: Context, end: str, error: type[BaseException]
) -> None:
    """By its own task, and by the database."""

    async def stand_still() -> None:
        async with context.database.pipelined() as connection:
            await connection.execute(SEEN, ("one",))
            await fetch_value(connection, "SELECT pg_sleep(600)")

    sleeping = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'"

    async def stands() -> bool:
        return bool(await asked(context, f"SELECT count(*) {sleeping} AND wait_event = 'PgSleep'"))

    task = asyncio.create_task(stand_still())
    await eventually(stands)
    if end == "cancel":
        task.cancel()
    else:
        await asked(context, f"SELECT {end}(pid) {sleeping}")
    with pytest.raises(error):
        await task
    assert await counted(context) == 0
    for number in range(3):
        async with context.database.pipelined() as connection:
            await connection.execute(SEEN, (str(number),))
    assert await counted(context) == 3
