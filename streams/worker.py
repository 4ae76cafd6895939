"""Runs agents in one process until a signal, or until one of them fails.

The agents share one event loop. Those that listen to command topics are served by one Faust application beside
the others, which do not wait for it. An agent that fails ends the process with the reason: a station that is
silently missing is worse than a worker that is restarted.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

import structlog

from streams.runtime.agent import CommandAgent, Context, StreamAgent
from streams.runtime.broker import Broker
from streams.runtime.commands import Commands
from streams.runtime.database import Database, migrate
from streams.runtime.signals import stop_event
from streams.settings import Settings

log = structlog.get_logger(__name__)

GRACE_SECONDS = 1.5
"""How long agents may finish what is in hand after a signal; then they are cancelled, which is as safe as a
crash: nothing is committed that is not done."""


class WorkerFailedError(RuntimeError):
    """An agent failed or ended by itself. The message names it and says why."""


@contextlib.asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """What agents are given, with tables and topics brought into being. Idempotent, and safe when several
    processes start at once."""
    # First the tables: connections of the pool learn the types of extensions when they are opened.
    applied = await migrate(settings.database)
    broker = Broker(settings)
    created = await broker.create_topics()
    if applied or created:
        log.info("prepared", migrations=applied, topics=created)
    async with Database(settings) as database:
        yield Context(settings, broker, database)


async def run_agents(context: Context, agents: Sequence[StreamAgent]) -> None:
    """Run until SIGTERM or SIGINT. Raises :class:`WorkerFailedError` when an agent fails or returns unasked."""
    listening = [cast(CommandAgent, agent) for agent in agents if hasattr(agent, "listens")]
    everyone = [*agents, Commands(context.broker, listening)] if listening else list(agents)
    with stop_event() as stopping:
        tasks = {asyncio.create_task(agent.run(), name=agent.name): agent for agent in everyone}
        waiter = asyncio.create_task(stopping.wait(), name="signal")
        log.info("started", agents=[agent.name for agent in agents])
        try:
            await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            asked = stopping.is_set()
            early = [task for task in tasks if task.done()]
        finally:
            waiter.cancel()
            await _stop(tasks)
    failures = [f"station {task.get_name()} failed: {reason}" for task in tasks if (reason := _reason(task))]
    if not asked and not failures:
        failures = [f"station {task.get_name()} ended by itself" for task in early]
    if failures:
        raise WorkerFailedError("; ".join(failures))
    log.info("stopped")


async def _stop(tasks: dict[asyncio.Task[None], StreamAgent]) -> None:
    started = time.monotonic()
    for task, agent in tasks.items():
        if not task.done():
            agent.stop()
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        log.warning("cancelled", station=task.get_name(), after_seconds=round(time.monotonic() - started, 2))
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reason(task: asyncio.Task[None]) -> str | None:
    error = None if task.cancelled() else task.exception()
    if error is None:
        return None
    log.error("station_failed", station=task.get_name(), error=repr(error), exc_info=error)
    return f"{type(error).__name__}: {error}"
