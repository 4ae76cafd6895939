"""How many executions run at once: each holds a connection while it runs, and others need some too."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from streams.runtime.http.access import context
from streams.runtime.http.application import one_of

T = TypeVar("T")


class Gate:
    """Runs executions to their end, also those whose caller has gone; for one that goes while there is no place
    nothing is begun."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, execution: Coroutine[Any, Any, T]) -> T:
        """Run an execution as soon as there is a place."""
        try:
            await self._places.acquire()
        except BaseException:
            execution.close()
            raise
        task = asyncio.create_task(execution)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._places.release()


async def gate(request: Request) -> Gate:
    """The gate of the application."""
    return one_of(request.app, Gate, lambda: Gate(max(1, context(request).settings.database_pool_size // 2)))


GateDep = Annotated[Gate, Depends(gate)]
