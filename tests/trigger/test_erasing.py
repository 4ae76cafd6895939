"""Deletions are swept out of results, every ten minutes, all that are due at once."""

from datetime import timedelta

import pytest

from streams.runtime.agent import Context
from streams.runtime.clearing import STEP
from streams.runtime.erasure import WHOLE, Erased, note_erased
from streams.trigger.erasing import EVERY, Erasing
from tests.trigger.support import NAMESPACE, at, rows
from tests.victim import killed

NOW = at("2024-06-01")


async def note(context: Context, first: int, count: int) -> None:
    deletions = [
        Erased(NAMESPACE, f"d{number}", "col_a", NOW - timedelta(hours=1))
        for number in range(first, first + count)
    ]
    async with context.database.transaction() as connection:
        await note_erased(connection, deletions)


async def open_deletions(context: Context) -> int:
    return len(await rows(context, "SELECT 1 FROM erased_documents WHERE NOT swept"))


async def test_all_that_are_due_are_swept_now_and_then(context: Context) -> None:
    erasing = Erasing(context.database)
    await note(context, 0, 2_500)
    await erasing.tick(NOW)
    assert await open_deletions(context) == 0
    await note(context, 2_500, 1)
    await erasing.tick(NOW + EVERY / 2)
    assert await open_deletions(context) == 1
    await erasing.tick(NOW + EVERY)
    assert await open_deletions(context) == 0


@pytest.mark.kill
async def test_a_station_killed_while_it_clears_a_collection_is_taken_over(context: Context) -> None:
    size = 2 * STEP + 7
    async with context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, occurred_at, appended_at,"
            " partition, record_offset, created_at)"
            " SELECT %s, 'col_gone', 'd' || n, '{}', now(), now(), 0, n, now() FROM generate_series(1, %s) n",
            (NAMESPACE, size),
        )
        await note_erased(connection, [Erased(NAMESPACE, WHOLE, "col_gone", NOW - timedelta(hours=1))])
    await killed(context.settings, "trigger", "clear:after-step")
    assert len(await rows(context, "SELECT 1 FROM documents")) == size - STEP
    assert await open_deletions(context) == 1
    await Erasing(context.database).tick(NOW)
    assert await rows(context, "SELECT 1 FROM documents") == []
    assert await open_deletions(context) == 0
