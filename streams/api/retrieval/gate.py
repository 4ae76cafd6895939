"""How many executions run at once: each holds a connection while it runs, and others need some too."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from streams.runtime.http.access import context
from streams.runtime.http.application import one_of
from streams.runtime.http.errors import ApiError

T = TypeVar("T")


class Places:
    """Those of an application, in the order in which they are asked for."""

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.running: set[asyncio.Task[Any]] = set()

    def ended(self, task: asyncio.Task[Any]) -> None:
        """An execution gives its place back."""
        self.running.discard(task)
        self.free.release()


class Gate:
    """Runs the executions of a request to their end, also when its caller goes meanwhile; where the caller has
    gone before there is a place, nothing is begun."""

    def __init__(self, places: Places, gone: Callable[[], Awaitable[bool]]) -> None:
        self._places = places
        self._gone = gone

    async def run(self, execution: Coroutine[Any, Any, T]) -> T:
        """Run an execution as soon as there is a place. Raises 503, which nobody reads, where the caller has
        gone."""
        try:
            await self._places.free.acquire()
        except BaseException:
            execution.close()
            raise
        try:
            if await self._gone():
                raise ApiError(503, "The caller has gone")
        except BaseException:
            self._places.free.release()
            execution.close()
            raise
        task = asyncio.create_task(execution)
        self._places.running.add(task)
        task.add_done_callback(self._places.ended)
        return await asyncio.shield(task)


async def gate(request: Request) -> Gate:
    """The gate of a request, before the places of the application."""
    size = context(request).settings.database_pool_size
    return Gate(one_of(request.app, Places, lambda: Places(max(1, size // 2))), request.is_disconnected)


GateDep = Annotated[Gate, Depends(gate)]
