"""index: every so often a look at the collections that have become large (docs/decisions/024)."""

import asyncio
from typing import Final

import structlog

from streams.index.building import Builder
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.failure import Disposition, classify

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 30.0


class IndexStation:
    """The agent. Several may run: one builds at a time, and what is cut short is thrown away whole."""

    name = "index"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._builder = Builder(context.database)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Build until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        failures = 0
        while not self._stopping.is_set():
            seconds = EVERY_SECONDS
            try:
                await self._builder.tick(self._context.clock())
                failures = 0
            except Exception as error:
                if classify(error) is not Disposition.RETRY:
                    raise
                failures += 1
                seconds = backoff_seconds(failures)
                metrics.RETRIES.labels(self.name).inc()
                log.warning("tick_retried", station=self.name, error=repr(error), pause_seconds=seconds)
            await pause(self._stopping, seconds)

    def stop(self) -> None:
        """End soon; a segment that is being built is given up when the worker cancels it."""
        self._stopping.set()


def build(context: Context) -> IndexStation:
    """The station for the registry."""
    return IndexStation(context)
