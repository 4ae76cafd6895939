"""Waiting between attempts, interruptible by whoever wants the waiter."""

import asyncio
from typing import Final

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 10.0


def backoff_seconds(failures: int) -> float:
    """How long to wait after the ``failures``-th failure in a row: 0.2 s, doubling up to 10 s."""
    return min(_FIRST_SECONDS * 2.0 ** min(failures, 8), _LONGEST_SECONDS)


async def pause(event: asyncio.Event, seconds: float) -> bool:
    """Wait until ``event`` is set, at most ``seconds``. Returns whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
