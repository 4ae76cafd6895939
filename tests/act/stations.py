"""Act stations at work in a test, and what is waited for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from streams.act.station import Act
from streams.runtime.agent import Context
from tests.act.support import job_row
from tests.support import at_work


@asynccontextmanager
async def running(*acts: Act) -> AsyncIterator[None]:
    """Stations at work; stopped and awaited at the end."""
    async with AsyncExitStack() as stack:
        for act in acts:
            await stack.enter_async_context(at_work(act))
        yield


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
