"""Processes that run actions: started when first needed, kept warm, killed when a time limit passes.

Not ``ProcessPoolExecutor``: it cannot stop a running call, and every process it starts imports the worker's
main module again (docs/decisions/005-action-processes.md).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from streams.act.failures import ActionError, ChildDiedError
from streams.act.frames import WORD, chunks_of, value_of, word
from streams.act.progress import Reporter

# Several processes share the cores already; threads inside one would only fight over them.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Pool:
    """At most ``size`` child processes, each running one call at a time."""

    def __init__(self, size: int) -> None:
        self._idle: list[asyncio.subprocess.Process] = []
        self._running: set[asyncio.subprocess.Process] = set()
        self._slots = asyncio.Semaphore(size)

    @property
    def pids(self) -> list[int]:
        """The processes alive now."""
        return [child.pid for child in (*self._idle, *self._running) if child.returncode is None]

    async def run(self, function: Callable[[Any], Any], payload: object, listener: Reporter | None = None) -> Any:
        """``function(payload)`` in a child; ``function`` is found there by its module and name. ``listener`` is
        told what the function reports.

        Raises :class:`ActionError` for what the function refuses or raises, :class:`ChildDiedError` when the
        process ends without an answer. When cancelled, the process is killed.
        """
        async with self._slots:
            child = await self._take()
            self._running.add(child)
            try:
                kind, answer = await _call(child, function, payload, listener)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                await _kill(child)
                raise ChildDiedError(f"the process running the action {_ended(child.returncode)}") from error
            except BaseException:
                # Cancelled or out of time: only a dead process stops computing.
                await _kill(child)
                raise
            finally:
                self._running.discard(child)
                if child.returncode is not None:
                    _close(child)
            self._idle.append(child)
        if kind != "done":
            raise ActionError(answer)
        return answer

    async def close(self) -> None:
        """Kill every child and wait until it has gone."""
        children, self._idle = [*self._idle, *self._running], []
        for child in children:
            await _kill(child)
            _close(child)

    async def _take(self) -> asyncio.subprocess.Process:
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
            _close(child)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streams.act.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


async def _call(
    child: asyncio.subprocess.Process, function: Callable[[Any], Any], payload: object, listener: Reporter | None
) -> tuple[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    for chunk in chunks_of((function, payload)):
        child.stdin.write(chunk)
        await child.stdin.drain()
    while True:
        kind, answer = await _receive(child.stdout)
        if kind != "progress":
            return kind, answer
        if listener is not None:
            listener(*answer)


async def _receive(source: asyncio.StreamReader) -> tuple[str, Any]:
    count = word(await source.readexactly(WORD))
    sizes = [word(await source.readexactly(WORD)) for _ in range(count)]
    kind, answer = value_of([await source.readexactly(size) for size in sizes])
    return kind, answer


async def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # Not child.kill(): it polls first, and so may take the exit status away from asyncio's watcher.
            os.kill(child.pid, signal.SIGKILL)
    await child.wait()


def _close(child: asyncio.subprocess.Process) -> None:
    if child.stdin is not None:
        child.stdin.close()


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
