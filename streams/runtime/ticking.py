"""Work that is done again and again until its station stops."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from streams.runtime import metrics
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.clock import Clock
from streams.runtime.failure import Disposition, classify

log = structlog.get_logger(__name__)


async def every(
    seconds: float,
    work: Callable[[datetime], Awaitable[object]],
    *,
    station: str,
    clock: Clock,
    stopping: asyncio.Event,
) -> None:
    """Do ``work`` with the present time, and again ``seconds`` after it was done, until ``stopping`` is set. A
    transient failure is followed by growing pauses. Raises what :func:`classify` calls STOP."""
    failures = 0
    while not stopping.is_set():
        wait = seconds
        try:
            await work(clock())
            failures = 0
        except Exception as error:
            if classify(error) is not Disposition.RETRY:
                raise
            failures += 1
            wait = backoff_seconds(failures)
            metrics.RETRIES.labels(station).inc()
            log.warning("tick_retried", station=station, error=repr(error), pause_seconds=wait)
        await pause(stopping, wait)
