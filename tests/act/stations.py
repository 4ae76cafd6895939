"""Act stations at work in a test, and what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from streams.act.station import Act
from streams.runtime.agent import Context
from tests.act.support import job_row


@asynccontextmanager
async def running(*acts: Act) -> AsyncIterator[None]:
    """Stations at work; stopped and awaited at the end."""
    tasks = [asyncio.create_task(act.run()) for act in acts]
    try:
        yield
    finally:
        for act in acts:
            act.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


def ended(context: Context, job_id: str = "job_1") -> Callable[[], Awaitable[bool]]:
    """Whether a job has its outcome."""

    async def check() -> bool:
        return (await job_row(context, job_id))["status"] in ("completed", "failed")

    return check


def has_status(context: Context, status: str, job_id: str = "job_1") -> Callable[[], Awaitable[bool]]:
    """Whether a job has a status."""

    async def check() -> bool:
        return bool((await job_row(context, job_id))["status"] == status)

    return check


def with_settings(context: Context, **changes: Any) -> Context:
    """The same context under other settings."""
    return replace(context, settings=context.settings.model_copy(update=changes))
