"""Wakes the streams of one process when executions were committed to the view, by whichever process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import FastAPI

from streams.runtime.database import wait_for_notify
from streams.runtime.http.application import held_by, one_of

CHANNEL: Final = "tidewatch_executions"
"""PostgreSQL notification channel; told in the transaction that writes executions."""


class Waking:
    """One connection listens for all streams, from the first on."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._streams: set[asyncio.Event] = set()
        self._listening: asyncio.Task[None] | None = None
        self.ending = False
        """Whether streams shall end."""

    @contextmanager
    def stream(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be more to read, and when streams shall end."""
        wake = asyncio.Event()
        self._streams.add(wake)
        # One that was cancelled takes a while to end.
        if self._listening is None or self._listening.done() or self._listening.cancelling():
            self._listening = asyncio.create_task(self._listen(), name="executions")
        try:
            yield wake
        finally:
            self._streams.discard(wake)
            if not self._streams:
                self._listening.cancel()

    def end(self) -> None:
        """Have every stream end."""
        self.ending = True
        self._wake()

    async def _listen(self) -> None:
        notified = asyncio.Event()
        waiting = asyncio.create_task(wait_for_notify(self._dsn, CHANNEL, notified))
        try:
            while True:
                await notified.wait()
                notified.clear()
                self._wake()
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def _wake(self) -> None:
        for wake in self._streams:
            wake.set()


def waking(app: FastAPI, dsn: str) -> Waking:
    """The one of the application."""
    return one_of(app, Waking, lambda: Waking(dsn))


def end_streams(app: FastAPI) -> None:
    """Have the streams of an application that is about to stop end, as they would of themselves."""
    if (found := held_by(app, Waking)) is not None:
        found.end()
