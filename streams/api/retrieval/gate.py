"""How many executions run at once: each holds a connection while it runs, and others need some too."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from streams.runtime.http.access import context
from streams.runtime.http.application import one_of

T = TypeVar("T")


class Gate:
    """Runs executions to their end, also those whose caller has gone."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, execution: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin an execution as soon as there is a place."""

        async def placed() -> T:
            async with self._places:
                return await execution

        task = asyncio.create_task(placed())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def gate(request: Request) -> Gate:
    """The gate of the application."""
    return one_of(request.app, Gate, lambda: Gate(max(1, context(request).settings.database_pool_size // 2)))


GateDep = Annotated[Gate, Depends(gate)]
