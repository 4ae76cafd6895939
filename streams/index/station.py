"""index: every so often a look at the collections that have become large (docs/decisions/024)."""

import asyncio
from typing import Final

from streams.index.building import Builder
from streams.runtime.agent import Context
from streams.runtime.ticking import every

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
        clock = self._context.clock
        await every(EVERY_SECONDS, self._builder.tick, station=self.name, clock=clock, stopping=self._stopping)

    def stop(self) -> None:
        """End soon; a segment that is being built is given up when the worker cancels it."""
        self._stopping.set()


def build(context: Context) -> IndexStation:
    """The station for the registry."""
    return IndexStation(context)
