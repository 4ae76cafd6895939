"""Actions that write in steps, tell how far they are, and are canceled: real PostgreSQL, real children."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from streams.act import actions
from streams.act.actions.action import Action, Finish, finished
from streams.act.outcome import Outcome
from streams.act.station import Act
from streams.act.work import Work
from streams.runtime.agent import Context
from streams.runtime.clock import utc_now
from streams.runtime.job_end import cancel_job
from streams.runtime.jobs import queue_jobs
from streams.runtime.outbox import MAX_RECORD_BYTES
from tests.act import work as children
from tests.act.stations import ended, has_status, running
from tests.act.support import START, FakeClock, add_trigger, command, job_row, queue, results, trigger_row
from tests.act.test_pool import gone
from tests.support import eventually
from tests.victim import killed

Install = Callable[[Action], None]
STEPS = 5


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put an action called ``test`` into the registry."""

    def add(action: Action) -> None:
        monkeypatch.setattr(actions, "ACTIONS", {**actions.ACTIONS, "test": action})

    return add


async def squares(work: Work) -> Finish:
    """Write the squares of 0 to 4, one a step, into rows that must not be written twice."""
    done = dict(work.checkpoint or {"next": 0, "sum": 0})
    while (number := done["next"]) < STEPS:
        found = await work.compute(children.square, number)
        done = {"next": number + 1, "sum": done["sum"] + found}
        async with work.step(done, done["next"] / STEPS, f"{done['next']} of {STEPS}") as connection:
            await connection.execute(
                "INSERT INTO seen_events (namespace_id, event_id, seen_at) VALUES (%s, %s, %s)",
                (work.job.command.namespace_id, str(found), START),
            )
    return finished(Outcome(num_documents=STEPS, facts=done))


async def written(context: Context) -> list[int]:
    """What :func:`squares` has written."""
    async with context.database.connection() as connection:
        rows = await (await connection.execute("SELECT event_id::int FROM seen_events ORDER BY 1")).fetchall()
    return [row[0] for row in rows]


async def test_steps_commit_with_their_checkpoint(context: Context, install: Install) -> None:
    install(squares)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context))
    job = await job_row(context)
    assert (job["status"], job["checkpoint"], job["progress"]) == ("completed", {"next": 5, "sum": 30}, 1)
    assert job["progress_message"] == "5 of 5"
    assert await written(context) == [0, 1, 4, 9, 16]
    assert (await results(context))[-1].outcome == {"next": 5, "sum": 30}


_SQUARES = """
from streams.act import actions
from tests.act.test_steps import squares

actions.ACTIONS = {**actions.ACTIONS, "test": squares}
"""


@pytest.mark.kill
@pytest.mark.parametrize(("point", "kept"), [("act:before-step@3", 2), ("act:after-step@3", 3)])
async def test_another_worker_goes_on_from_the_last_committed_step(
    context: Context, install: Install, point: str, kept: int
) -> None:
    await queue(context, command(action_type="test"))
    await killed(context.settings, "act", point, setup=_SQUARES, job_lease_seconds="1")
    assert (await job_row(context))["checkpoint"]["next"] == kept
    assert len(await written(context)) == kept
    install(squares)
    async with running(Act(replace(context, clock=utc_now))):
        await eventually(ended(context))
    job = await job_row(context)
    assert (job["status"], job["claim_epoch"], job["checkpoint"]["sum"]) == ("completed", 2, 30)
    assert await written(context) == [0, 1, 4, 9, 16]


async def test_a_step_of_an_overtaken_worker_is_refused(context: Context, install: Install) -> None:
    release, reached = asyncio.Event(), asyncio.Event()

    async def slow(work: Work) -> Finish:
        reached.set()
        await release.wait()
        return await squares(work)

    install(slow)
    await queue(context, command(action_type="test"))
    zombie = Act(context)
    async with running(zombie):
        await asyncio.wait_for(reached.wait(), 20)
        install(squares)
        clock = FakeClock()
        clock.advance(seconds=context.settings.job_lease_seconds + 1)
        async with running(Act(replace(context, clock=clock))):
            await eventually(ended(context))
        release.set()

        async def let_go() -> bool:
            return not zombie.working

        await eventually(let_go)
    assert await written(context) == [0, 1, 4, 9, 16]
    assert [result.status for result in await results(context)].count("completed") == 1


async def test_attempts_count_from_the_last_step(context: Context, install: Install, clock: FakeClock) -> None:
    """A worker that dies once in every step ends the job all the same."""
    deaths = 0

    async def mortal(work: Work) -> Finish:
        nonlocal deaths
        done = dict(work.checkpoint or {"next": 0})
        while done["next"] < STEPS:
            if work.job.attempts == 1 or deaths < 2 * done["next"] + 1:
                deaths += 1
                await work.compute(children.leave, 3)
            done = {"next": done["next"] + 1}
            async with work.step(done, 0.1, ""):
                pass
        return finished(Outcome(facts=done))

    install(mortal)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context), timeout=60)
    assert (await job_row(context))["status"] == "completed"
    assert deaths > 5


async def test_a_step_gives_the_action_its_time_again(context: Context, install: Install) -> None:
    async def long(work: Work) -> Finish:
        assert work.deadline is not None
        limits = [work.deadline.when()]
        for number in range(3):
            async with work.step({"number": number}, number / 3, ""):
                pass
            limits.append(work.deadline.when())
        assert None not in limits
        return finished(Outcome(facts={"rising": limits == sorted(set(limits), key=lambda at: at or 0.0)}))

    install(long)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context))
    assert (await results(context))[-1].outcome == {"rising": True}


def hanging(marker: Path) -> Action:
    """An action that is at half its work for ever."""

    async def run(work: Work) -> Finish:
        await work.compute(children.halfway, str(marker), span=(0.2, 0.6))
        raise AssertionError("it never ends")

    return run


def at_progress(context: Context, progress: float) -> Callable[[], Any]:
    """Whether the job's row tells how far its child is."""

    async def check() -> bool:
        return bool((await job_row(context))["progress"] == progress)

    return check


async def test_a_running_job_tells_its_progress_and_is_canceled(
    context: Context, install: Install, tmp_path: Path
) -> None:
    marker = tmp_path / "pid"
    install(hanging(marker))
    await add_trigger(context, pending_job_id="job_1", consecutive_failures=2)
    await queue(context, command(action_type="test"))
    async with running(act := Act(context)):
        await eventually(at_progress(context, 0.4))
        assert (await job_row(context))["progress_message"] == "fitting"
        async with context.database.transaction() as connection:
            assert await cancel_job(connection, "job_1", START + timedelta(seconds=2), "canceled on request")
        async with context.database.transaction() as connection:
            assert not await cancel_job(connection, "job_1", START, "again")
        await eventually(lambda: gone(int(marker.read_text())))

        async def let_go() -> bool:
            return act.pool.pids == []

        await eventually(let_go)
        # The station goes on.
        install(squares)
        await queue(context, command("job_2", action_type="test"))
        await eventually(ended(context, "job_2"))
    job = await job_row(context)
    assert (job["status"], job["error"], job["lease_owner"]) == ("canceled", "canceled on request", None)
    told = await results(context)
    assert [result.status for result in told] == ["pending", "processing", "canceled"]
    assert [result.revision for result in told] == [1, 2, 3]
    assert told[-1].execution_time_ms == 2_000
    assert told[-1].outcome == {"canceled": "canceled on request", "progress": 0.4, "progress_message": "fitting"}
    state = await trigger_row(context)
    assert (state["pending_job_id"], state["total_executions"], state["consecutive_failures"]) == (None, 2, 0)


async def test_a_waiting_job_is_canceled_and_never_runs(context: Context, install: Install) -> None:
    install(squares)
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with context.database.transaction() as connection:
        assert await cancel_job(connection, "job_1", START, "canceled on request")
    await queue(context, command("job_2", action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context, "job_2"))
    assert (await job_row(context))["claim_epoch"] == 0
    assert [result.status for result in await results(context)] == ["pending", "canceled"]
    async with context.database.transaction() as connection:
        assert not await cancel_job(connection, "job_2", START, "too late")
        assert not await cancel_job(connection, "job_none", START, "nobody")


async def test_a_cancel_before_the_outcome_wins_and_the_outcome_is_refused(
    context: Context, install: Install
) -> None:
    """The cancellation commits while the action is about to end: nothing of it is applied."""

    async def late(work: Work) -> Finish:
        async with work.context.database.transaction() as connection:
            assert await cancel_job(connection, work.job.job_id, START, "canceled on request")
        return finished(Outcome(facts={"made": 1}))

    install(late)
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(act := Act(context)):
        await eventually(has_status(context, "canceled"))

        async def let_go() -> bool:
            return not act.working

        await eventually(let_go)
    assert [result.status for result in await results(context)] == ["pending", "processing", "canceled"]
    assert (await trigger_row(context))["successful_executions"] == 0


async def test_a_job_that_is_canceled_while_it_ends_ends_once(context: Context, install: Install) -> None:
    """Cancellations race the ends of jobs: each job has one ending, and the trigger counts it once."""

    async def quick(work: Work) -> Finish:
        return finished(Outcome(facts={}))

    install(quick)
    await add_trigger(context)
    jobs = [f"job_{number}" for number in range(16)]
    for number, job_id in enumerate(jobs):
        await queue(context, command(job_id, action_type="test", triggered_at=START + timedelta(seconds=number)))

    async def cancel(job_id: str) -> bool:
        await eventually(has_status_not(context, job_id, "pending"))
        async with context.database.transaction() as connection:
            return await cancel_job(connection, job_id, START, "canceled on request")

    async with running(Act(context), Act(context)):
        canceled = await asyncio.gather(*(cancel(job_id) for job_id in jobs))
        for job_id in jobs:
            await eventually(has_status_not(context, job_id, "processing"))
    for job_id, won in zip(jobs, canceled, strict=True):
        ends = [result.status for result in await results(context, job_id)][2:]
        assert ends == (["canceled"] if won else ["completed"])
        assert (await job_row(context, job_id))["status"] == ends[0]
    state = await trigger_row(context)
    assert (state["total_executions"], state["successful_executions"]) == (16, 16 - sum(canceled))


def has_status_not(context: Context, job_id: str, status: str) -> Callable[[], Any]:
    """Whether a job is past a status."""

    async def check() -> bool:
        return bool((await job_row(context, job_id))["status"] != status)

    return check


async def test_an_outcome_with_an_error_fails_the_job_and_keeps_its_writes(
    context: Context, install: Install
) -> None:
    async def breached(work: Work) -> Finish:
        async def finish(connection: Any, _: Any) -> Outcome:
            await connection.execute("INSERT INTO seen_events VALUES ('ns', '7', now())")
            return Outcome(facts={"returned": 0}, error="it returned 0 results, at least 1 was accepted")

        return finish

    install(breached)
    await add_trigger(context)
    await queue(context, command(action_type="test"), baseline_sketch=b"new")
    async with running(Act(context)):
        await eventually(ended(context))
    told = (await results(context))[-1]
    assert (told.status, told.outcome) == ("failed", {"returned": 0})
    assert told.error == "it returned 0 results, at least 1 was accepted"
    assert await written(context) == [7]
    state = await trigger_row(context)
    assert (state["consecutive_failures"], state["baseline_sketch"]) == (1, None)


async def test_an_outcome_larger_than_a_record_still_ends_the_history(context: Context, install: Install) -> None:
    failures = [{"document_id": f"{number:01000}", "error": "no" * 200} for number in range(1_000)]

    async def wordy(work: Work) -> Finish:
        return finished(Outcome(num_documents=1, facts={"failures": failures}))

    install(wordy)
    await add_trigger(context)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context))
    last = (await results(context))[-1]
    assert (last.status, last.num_documents, len(last.encode()) < MAX_RECORD_BYTES) == ("completed", 1, True)
    assert "the task's outputs have it" in (last.outcome or {})["left_out"]
    assert (await job_row(context))["outcome"] == {"failures": failures}


async def test_a_fire_that_was_queued_before_waits_for_nobody(context: Context) -> None:
    """Who queues holds the trigger's state, for which whoever ends one of its jobs may wait: it must not wait for
    the job."""
    await add_trigger(context)
    await queue(context, command())
    async with context.database.transaction() as ending:
        await ending.execute("UPDATE jobs SET progress = 0.5 WHERE job_id = 'job_1'")
        async with asyncio.timeout(5), context.database.transaction() as connection:
            fresh = await queue_jobs(connection, [command(), command("job_2")])
    assert [order.job_id for order in fresh] == ["job_2"]
