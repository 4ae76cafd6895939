"""Deletions are swept out of results, every ten minutes, all that are due at once."""

from datetime import timedelta

from streams.runtime.agent import Context
from streams.runtime.erasure import Erased, note_erased
from streams.trigger.erasing import EVERY, Erasing
from tests.trigger.support import NAMESPACE, at, rows

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
