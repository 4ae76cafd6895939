"""What an action is given: its job, ways to read, compute and write, and someone to tell how far it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from streams.act.lease import Job, save
from streams.act.outcome import hold
from streams.act.pool import Pool
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.faults import fault

MOST_WORDS = 200
"""Characters of a progress message that are kept."""


class Work:
    """One attempt at one job; see :mod:`streams.act.actions.action` for how it is used."""

    def __init__(self, context: Context, pool: Pool, job: Job) -> None:
        self.context = context
        """Settings, clock and database. Reading through it is fine; writing is for :meth:`step` and ``finish``."""
        self.job = job
        self.checkpoint: Mapping[str, Any] | None = job.checkpoint
        """What the last committed step saved, of this attempt or one before it; ``None`` at the beginning."""
        self.progress: tuple[float, str] = job.progress
        """Done so far (0 to 1, never falling) and the words for it. The heartbeat writes it to the job."""
        self.deadline: asyncio.Timeout | None = None
        """Set while the action runs; a committed step moves it on."""
        self._pool = pool

    def read(self) -> AbstractAsyncContextManager[Connection]:
        """One snapshot of the database: every statement in it sees the same state."""
        return self.context.database.transaction(snapshot=True)

    async def compute(
        self, function: Callable[[Any], Any], payload: object, span: tuple[float, float] = (0.0, 1.0)
    ) -> Any:
        """``function(payload)`` in a child process, which has no connections; both must be importable and
        picklable (arrays travel without a copy). What it reports moves the job's progress through ``span``.

        Several calls may run at once; as many do as there are processes. Raises :class:`ActionError` for what
        the function refuses, :class:`ChildDiedError` when its process dies.
        """
        low, high = span

        def relay(fraction: float, words: str) -> None:
            self.report(low + (high - low) * fraction, words)

        return await self._pool.run(function, payload, relay)

    def report(self, fraction: float, words: str) -> None:
        """Tell how far the action is: ``fraction`` from 0 to 1 and what it is doing."""
        self.progress = (min(max(fraction, self.progress[0]), 1.0), words[:MOST_WORDS])

    @asynccontextmanager
    async def step(self, checkpoint: Mapping[str, Any], fraction: float, words: str) -> AsyncIterator[Connection]:
        """One transaction for some of the action's writes: they and ``checkpoint`` (a JSON object) commit
        together, once, or not at all. The job's row is locked in it, so keep it short.

        Raises :class:`LeaseLostError` when the job is no longer this worker's, before anything is written.
        """
        async with self.context.database.transaction() as connection:
            await hold(connection, self.job)
            yield connection
            self.report(fraction, words)
            await save(connection, self.job, checkpoint, self.progress)
            await fault("act:before-step")
        self.checkpoint = checkpoint
        if self.deadline is not None:
            limit = self.context.settings.job_time_limit_seconds
            self.deadline.reschedule(asyncio.get_running_loop().time() + limit)
        await fault("act:after-step")

    def part(self, name: str, span: tuple[float, float]) -> "Part":
        """The same work for one of several phases of an action: it has a checkpoint of its own, kept beside those
        of the others, and its progress from 0 to 1 is this work's through ``span``."""
        return Part(self, name, span)


class Part(Work):
    """One phase of an action; see :meth:`Work.part`."""

    def __init__(self, whole: Work, name: str, span: tuple[float, float]) -> None:
        super().__init__(whole.context, whole._pool, whole.job)
        self._whole = whole
        self._name = name
        self._span = span
        self.checkpoint = (whole.checkpoint or {}).get(name)

    def report(self, fraction: float, words: str) -> None:
        """Tell how far the phase is."""
        self._whole.report(self._of_whole(fraction), words)

    @asynccontextmanager
    async def step(self, checkpoint: Mapping[str, Any], fraction: float, words: str) -> AsyncIterator[Connection]:
        """A step of the whole work that keeps the other phases' checkpoints."""
        together = {**(self._whole.checkpoint or {}), self._name: checkpoint}
        async with self._whole.step(together, self._of_whole(fraction), words) as connection:
            yield connection
        self.checkpoint = checkpoint

    def _of_whole(self, fraction: float) -> float:
        low, high = self._span
        return low + (high - low) * min(max(fraction, 0.0), 1.0)
