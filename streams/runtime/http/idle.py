"""Connections that never finish the head of a request.

uvicorn waits for it without end. Bodies and handlers have their time in :mod:`streams.runtime.http.guard`; the
pause between two requests is uvicorn's ``timeout_keep_alive``.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any, Final

HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take."""
_EVERY: Final = 1.0


async def close_slow(
    connections: Callable[[], Collection[Any]], seconds: float = HEAD_SECONDS, every: float = _EVERY
) -> None:
    """Close connections of a uvicorn server whose next request's head does not come, until cancelled."""
    waiting: dict[Any, float] = {}
    while True:
        now = time.monotonic()
        still = [connection for connection in connections() if _awaits_head(connection)]
        waiting = {connection: waiting.get(connection, now) for connection in still}
        for connection, since in waiting.items():
            if now - since > seconds and connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(every)


def _awaits_head(connection: Any) -> bool:
    """Before the first request; or after an answer, when something came that is no whole head yet: that is what
    stops uvicorn's own timer."""
    cycle = connection.cycle
    if cycle is None:
        return True
    return bool(cycle.response_complete) and connection.timeout_keep_alive_task is None
