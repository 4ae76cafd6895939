"""The act station: runs what triggers ask for, from a lease.

A job is claimed, its action reads and computes (in child processes), and it is ended in one transaction:

======================================  ==================================================================
a crash                                 is repaired by
======================================  ==================================================================
before the claim commits                nothing happened: the job still waits
after the claim                         the lease runs out, another worker claims it under the next epoch
after a step of the action              the same; the other worker goes on from the step's checkpoint
after the outcome commits               nothing: job, rows, trigger and result record are there together
while the worker only looked dead       its commit names an old epoch and is refused
======================================  ==================================================================
"""

import asyncio
import os
import secrets
import socket
from datetime import timedelta

import psycopg
import structlog

from schemas.errors import DecodeError
from schemas.events.trigger import TriggerCommand
from schemas.topics import TRIGGER_COMMANDS
from streams.act.actions import action_named
from streams.act.actions.action import Action, Finish
from streams.act.failures import ActionError, ChildDiedError, LeaseLostError
from streams.act.lease import Job, claim, give_back, renew
from streams.act.outcome import Outcome, end, hold
from streams.act.pool import Pool
from streams.act.work import Work
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.database import wait_for_notify
from streams.runtime.failure import Disposition, classify
from streams.runtime.faults import fault
from streams.runtime.jobs import CHANNEL, insert_jobs

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""Claims of one job after which it has failed, even if no worker lived to say why."""
HEARTBEAT_SECONDS = 1.0
"""How often a running job tells its progress and learns that it was canceled, at least."""
POLL_SECONDS = 1.0
"""How often waiting jobs and expired leases are looked for when nothing wakes the station."""


class Act:
    """Runs at most ``action_processes`` jobs at a time. Implements ``CommandAgent``."""

    name = "act"
    listens = TRIGGER_COMMANDS

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lease = timedelta(seconds=context.settings.job_lease_seconds)
        self._time_limit = context.settings.job_time_limit_seconds
        self._slots = context.settings.action_processes
        # Two stations in one process are two owners.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.pool = Pool(self._slots)
        self._wake = asyncio.Event()
        self._stopping = False
        self.working: set[asyncio.Task[None]] = set()
        self.unsaved: list[TriggerCommand] = []

    async def receive(self, value: bytes | None) -> None:
        """Make sure the command's job exists and wake the runner. A record that is no command is dropped: the
        job row is the truth, the topic only tells of it."""
        try:
            command = TriggerCommand.decode(value)
        except DecodeError as error:
            log.warning("command_ignored", station=self.name, error=str(error))
            return
        self.unsaved.append(command)
        try:
            await self._save()
        except psycopg.Error as error:
            log.warning("command_kept_for_later", station=self.name, job_id=command.job_id, error=repr(error))
        self._wake.set()

    async def run(self) -> None:
        """Claim and run jobs until :meth:`stop`; jobs in hand then go back for other workers."""
        listener = asyncio.create_task(
            wait_for_notify(self._context.settings.database, CHANNEL, self._wake), name="act-listen"
        )
        try:
            while not self._stopping:
                await self._turn()
        finally:
            listener.cancel()
            for task in self.working:
                task.cancel()
            await asyncio.gather(listener, *self.working, return_exceptions=True)
            await self.pool.close()

    def stop(self) -> None:
        """Ask :meth:`run` to return. Running actions are killed and their jobs given back."""
        self._stopping = True
        self._wake.set()

    async def _turn(self) -> None:
        self._wake.clear()
        for task in [task for task in self.working if task.done()]:
            self.working.remove(task)
            task.result()
        try:
            await self._save()
            while len(self.working) < self._slots and (job := await self._claim()) is not None:
                task = asyncio.create_task(self._work(job), name=job.job_id)
                task.add_done_callback(lambda _: self._wake.set())
                self.working.add(task)
        except Exception as error:
            if classify(error) is not Disposition.RETRY:
                raise
            log.warning("claim_retried", station=self.name, error=repr(error))
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _save(self) -> None:
        while self.unsaved:
            command = self.unsaved.pop(0)
            try:
                async with self._context.database.transaction() as connection:
                    if await insert_jobs(connection, [command]):
                        log.info("job_made_from_command", station=self.name, job_id=command.job_id)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                # A command PostgreSQL cannot hold (a NUL character) came from nobody of ours.
                log.warning("command_ignored", station=self.name, error=repr(error))
            except psycopg.Error:
                self.unsaved.append(command)
                raise

    async def _claim(self) -> Job | None:
        async with self._context.database.transaction() as connection:
            return await claim(connection, self.owner, self._context.clock(), self._lease)

    async def _work(self, job: Job) -> None:
        """One claimed job to its end, whatever that is."""
        try:
            await fault("act:after-claim")
            await self._attempt(job)
        except LeaseLostError as error:
            log.warning("lease_lost", station=self.name, job_id=job.job_id, error=str(error))
        except ChildDiedError as error:
            await self._give_back(job, str(error))
        except asyncio.CancelledError:
            await self._give_back(job, None)
            raise
        except Exception as error:
            if classify(error) is not Disposition.RETRY:
                raise
            await self._give_back(job, repr(error))

    async def _attempt(self, job: Job) -> None:
        try:
            if job.attempts > MAX_ATTEMPTS:
                last = f"; the last attempt: {job.last_error}" if job.last_error else ", each time its worker died"
                raise ActionError(f"given up after {MAX_ATTEMPTS} attempts without an outcome{last}")
            finish = await self._under_lease(job, action_named(job.command.action_type))
            await self._commit(job, finish)
        except ActionError as error:
            await self._commit_failure(job, str(error))
        except (LeaseLostError, ChildDiedError):
            raise
        except Exception as error:
            if classify(error) is Disposition.RETRY:
                raise
            # One action's bug is that job's failure; the other stations of this worker go on.
            log.exception("action_broke", station=self.name, job_id=job.job_id)
            await self._commit_failure(job, f"{type(error).__name__}: {error}")

    async def _under_lease(self, job: Job, action: Action) -> Finish:
        """Run the action while a heartbeat keeps the lease.

        Raises :class:`LeaseLostError` as soon as the job is no longer this worker's (taken over or canceled),
        and :class:`ActionError` when the time limit passes; the action is stopped in both cases.
        """
        work = Work(self._context, self.pool, job)
        acting = asyncio.create_task(self._act(work, action))
        renewing = asyncio.create_task(self._renew(work))
        try:
            await asyncio.wait({acting, renewing}, return_when=asyncio.FIRST_COMPLETED)
            return acting.result() if acting.done() else renewing.result()
        finally:
            acting.cancel()
            renewing.cancel()
            await asyncio.gather(acting, renewing, return_exceptions=True)

    async def _act(self, work: Work, action: Action) -> Finish:
        work.deadline = asyncio.timeout(self._time_limit)
        try:
            async with work.deadline:
                return await action(work)
        except TimeoutError as error:
            if not work.deadline.expired():
                raise
            raise ActionError(
                f"stopped: it ran longer than the limit of {self._time_limit:g} s; give it less to do (filters, a"
                " smaller sample), or raise TIDEWATCH_JOB_TIME_LIMIT_SECONDS"
            ) from error

    async def _renew(self, work: Work) -> Finish:
        job = work.job
        while True:
            await asyncio.sleep(min(self._lease.total_seconds() / 3, HEARTBEAT_SECONDS))
            try:
                async with self._context.database.connection() as connection:
                    expires = self._context.clock() + self._lease
                    held = await renew(connection, job, expires, work.progress)
            except psycopg.OperationalError as error:
                # The epoch guards the outcome; without a database nobody else can claim either.
                log.warning("renewal_failed", station=self.name, job_id=job.job_id, error=repr(error))
                continue
            if not held:
                raise LeaseLostError(f"claim {job.claim_epoch} of job {job.job_id} was taken over or canceled")

    async def _commit(self, job: Job, finish: Finish) -> None:
        await fault("act:before-commit")
        now = self._context.clock()
        async with self._context.database.transaction() as connection:
            await hold(connection, job)
            outcome = await finish(connection, now)
            await end(connection, job, outcome, now)
        self._told(job, outcome)

    async def _commit_failure(self, job: Job, error: str) -> None:
        outcome = Outcome(error=error)
        async with self._context.database.transaction() as connection:
            await hold(connection, job)
            await end(connection, job, outcome, self._context.clock())
        self._told(job, outcome)

    def _told(self, job: Job, outcome: Outcome) -> None:
        metrics.JOBS.labels(job.command.action_type, outcome.status).inc()
        if outcome.error is None:
            log.info("job_completed", station=self.name, job_id=job.job_id, documents=outcome.num_documents)
        else:
            log.warning("job_failed", station=self.name, job_id=job.job_id, error=outcome.error)

    async def _give_back(self, job: Job, error: str | None) -> None:
        try:
            async with self._context.database.transaction() as connection:
                given = await give_back(connection, job, error=error)
        except psycopg.OperationalError as problem:
            # Then the lease runs out by itself.
            log.warning("job_not_given_back", station=self.name, job_id=job.job_id, error=repr(problem))
            return
        if given:
            log.info("job_given_back", station=self.name, job_id=job.job_id, reason=error or "stopping")


def build(context: Context) -> Act:
    """The station for the registry."""
    return Act(context)
