"""Streams are woken by what is committed, whichever of them came and went before."""

import asyncio

from streams.query.waking import CHANNEL, Waking
from streams.runtime.agent import Context
from streams.runtime.database import notify


async def test_a_stream_that_begins_when_the_last_one_ends_is_woken(context: Context) -> None:
    waking = Waking(context.settings.database)
    with waking.stream() as wake:
        async with asyncio.timeout(20):
            await wake.wait()
    with waking.stream() as wake:
        async with asyncio.timeout(20):
            # That it listens wakes it; then whatever is told.
            await wake.wait()
            wake.clear()
            async with context.database.connection() as connection:
                await notify(connection, CHANNEL)
            await wake.wait()
