"""Several halves of one station, run as one."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(**parts: Coroutine[Any, Any, None]) -> None:
    """Run all until all end; when one fails the others are ended and the failure is raised. Parts are named for
    whoever looks at the tasks."""
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
