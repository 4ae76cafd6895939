"""What becomes of a job whose worker is slow, dying, or told to stop."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from streams.act.actions.action import Finish
from streams.act.lease import Job
from streams.act.station import Act
from streams.runtime.agent import Context
from tests.act import work
from tests.act.stations import ended, has_status, running, with_settings
from tests.act.support import (
    TEXTS,
    FakeClock,
    add_documents,
    add_trigger,
    command,
    job_row,
    queue,
    results,
    trigger_row,
)
from tests.act.test_pool import gone
from tests.support import eventually


async def test_a_zombie_is_overtaken_and_its_commit_refused(
    context: Context, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker A computes while its lease runs out; B takes over and ends the job; A's commit changes nothing."""
    release = asyncio.Event()
    reached = asyncio.Event()

    class Frozen(Act):
        """Stands still between computing and committing."""

        async def _commit(self, job: Job, finish: Finish) -> None:
            reached.set()
            await release.wait()
            await super()._commit(job, finish)

    await add_trigger(context)
    await add_documents(context, TEXTS)
    zombie, successor_clock = Frozen(context), FakeClock()
    await queue(context, command())
    async with running(zombie):
        await asyncio.wait_for(reached.wait(), 20)
        successor_clock.advance(seconds=context.settings.job_lease_seconds + 1)
        async with running(Act(replace(context, clock=successor_clock))):
            await eventually(ended(context))
        after = await job_row(context)
        assert (after["status"], after["claim_epoch"], after["attempts"]) == ("completed", 2, 2)
        state = await trigger_row(context)
        told = await results(context)
        release.set()

        async def refused() -> bool:
            return not zombie.working

        await eventually(refused)
    assert await job_row(context) == after
    assert await trigger_row(context) == state
    assert await results(context) == told
    assert [result.revision for result in told] == [1, 2, 3, 4]
    assert state["successful_executions"] == 1


async def test_a_computation_whose_lease_was_taken_is_killed(
    context: Context, clock: FakeClock, tmp_path: Path, install: Callable[..., None]
) -> None:
    marker = tmp_path / "pid"
    install(work.hang, str(marker))
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(act := Act(with_settings(context, job_lease_seconds=0.3))):

        async def computing() -> bool:
            return marker.exists()

        await eventually(computing)
        async with context.database.connection() as connection:
            # Another worker's claim.
            await connection.execute(
                "UPDATE jobs SET claim_epoch = claim_epoch + 1, lease_expires_at = 'infinity'"
            )
        await eventually(lambda: gone(int(marker.read_text())))

        async def let_go() -> bool:
            return act.pool.pids == []

        await eventually(let_go)
    job = await job_row(context)
    assert (job["status"], job["claim_epoch"], job["attempts"]) == ("processing", 2, 1)


async def test_a_heartbeat_keeps_the_lease(
    context: Context, clock: FakeClock, tmp_path: Path, install: Callable[..., None]
) -> None:
    install(work.hang, str(tmp_path / "pid"))
    await queue(context, command(action_type="test"))
    async with running(Act(with_settings(context, job_lease_seconds=0.3))):
        await eventually(has_status(context, "processing"))
        clock.advance(hours=1)

        async def renewed() -> bool:
            expires = datetime.fromisoformat((await job_row(context))["lease_expires_at"])
            return expires > clock()

        await eventually(renewed)
        assert (await job_row(context))["attempts"] == 1


async def test_a_computation_out_of_time_fails_and_is_killed(
    context: Context, tmp_path: Path, install: Callable[..., None]
) -> None:
    marker = tmp_path / "pid"
    install(work.hang, str(marker))
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(Act(with_settings(context, job_time_limit_seconds=2.0))):
        await eventually(ended(context))
        job = await job_row(context)
        assert job["status"] == "failed"
        assert job["error"].startswith("stopped: it ran longer than the limit of 2 s; give it less to do")
        assert await gone(int(marker.read_text()))
        # The next job has a new process.
        install(work.pid, None)
        await queue(context, command("job_2", action_type="test"))
        await eventually(ended(context, "job_2"))
    assert (await job_row(context, "job_2"))["status"] == "completed"


async def test_a_computation_that_keeps_dying_fails_with_the_reason(
    context: Context, install: Callable[..., None]
) -> None:
    install(work.die, signal.SIGKILL)
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context), timeout=60)
    job = await job_row(context)
    assert job["status"] == "failed"
    assert job["error"] == (
        "given up after 5 attempts without an outcome; the last attempt: "
        "the process running the action was killed by SIGKILL"
    )
    statuses = [result.status for result in await results(context)]
    assert statuses == ["pending", "processing"] * 6 + ["failed"]
    revisions = [result.revision for result in await results(context)]
    assert revisions == sorted(set(revisions))


async def test_a_job_whose_workers_died_silently_is_given_up(context: Context, clock: FakeClock) -> None:
    await add_trigger(context)
    await add_documents(context, TEXTS)
    await queue(context, command())
    async with context.database.connection() as connection:
        await connection.execute(
            "UPDATE jobs SET status = 'processing', attempts = 5, claim_epoch = 5, lease_expires_at = %s",
            (clock() - timedelta(seconds=1),),
        )
    async with running(Act(context)):
        await eventually(ended(context))
    assert (await job_row(context))["error"] == (
        "given up after 5 attempts without an outcome, each time its worker died"
    )


async def test_stop_gives_the_job_back_at_once_and_leaves_no_process(
    context: Context, tmp_path: Path, install: Callable[..., None]
) -> None:
    marker = tmp_path / "pid"
    install(work.hang, str(marker))
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):

        async def computing() -> bool:
            return marker.exists()

        await eventually(computing)
        pid = int(marker.read_text())
        os.kill(pid, 0)
    assert await gone(pid)
    job = await job_row(context)
    assert (job["status"], job["lease_owner"], job["attempts"], job["error"]) == ("pending", None, 0, None)
    install(work.pid, None)
    async with running(other := Act(context)):
        await eventually(ended(context))
        pids = other.pool.pids
        assert len(pids) == 1
    assert await gone(*pids)
    job = await job_row(context)
    assert (job["status"], job["attempts"], job["claim_epoch"]) == ("completed", 1, 2)
    assert [result.status for result in await results(context)] == [
        "pending",
        "processing",
        "pending",
        "processing",
        "completed",
    ]
