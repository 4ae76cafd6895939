"""Which job a station takes next."""

from datetime import timedelta
from typing import Any

from streams.act.lease import claim
from streams.act.station import Act
from streams.runtime.agent import Context
from tests.act.stations import ended, running
from tests.act.support import (
    START,
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
from tests.support import eventually


async def test_two_stations_claim_each_job_once(context: Context) -> None:
    await add_trigger(context)
    await add_documents(context, TEXTS)
    for number in range(6):
        await queue(context, command(f"job_{number}", triggered_at=START + timedelta(seconds=number)))
    async with running(Act(context), Act(context)):
        for number in range(6):
            await eventually(ended(context, f"job_{number}"))
    for number in range(6):
        assert (await job_row(context, f"job_{number}"))["claim_epoch"] == 1
        assert [result.status for result in await results(context, f"job_{number}")] == [
            "pending",
            "processing",
            "completed",
        ]
    assert (await trigger_row(context))["successful_executions"] == 6


async def test_a_claim_leaves_what_others_hold(context: Context, clock: FakeClock) -> None:
    await queue(context, command("job_1"))
    await queue(context, command("job_2", triggered_at=START + timedelta(seconds=1)))
    lease = timedelta(seconds=30)
    async with context.database.transaction() as one, context.database.transaction() as other:
        first = await claim(one, "a", clock(), lease)
        second = await claim(other, "b", clock(), lease)
        assert first is not None
        assert second is not None
        assert (first.job_id, second.job_id) == ("job_1", "job_2")
        async with context.database.transaction() as third:
            assert await claim(third, "c", clock(), lease) is None
    clock.advance(seconds=30)
    async with context.database.transaction() as connection:
        assert await claim(connection, "c", clock(), lease) is None
    clock.advance(seconds=1)
    async with context.database.transaction() as connection:
        again = await claim(connection, "c", clock(), lease)
    assert again is not None
    assert (again.job_id, again.claim_epoch, again.attempts, again.revision) == ("job_1", 2, 2, 3)


async def test_a_backfill_does_not_hold_up_what_is_due(context: Context, clock: FakeClock) -> None:
    await queue(context, command("job_1", fired_by="backfill"))
    await queue(context, command("job_2", triggered_at=START + timedelta(seconds=1), fired_by="schedule"))
    await queue(context, command("job_3", triggered_at=START + timedelta(seconds=2)))
    taken: list[str] = []
    for _ in range(3):
        async with context.database.transaction() as connection:
            job = await claim(connection, "a", clock(), timedelta(seconds=30))
            assert job is not None
            taken.append(job.job_id)
    assert taken == ["job_2", "job_3", "job_1"]


async def test_triggers_take_turns_each_with_its_oldest_job_first(context: Context, clock: FakeClock) -> None:
    """One that asks every second, whatever runs, holds up no other."""

    async def ask(name: str, trigger: str, second: int, **fields: Any) -> None:
        at = START + timedelta(seconds=second)
        await queue(context, command(name, trigger_id=trigger, triggered_at=at, nominal_at=at, **fields))

    async def take(count: int) -> list[str]:
        taken: list[str] = []
        for _ in range(count):
            async with context.database.transaction() as connection:
                job = await claim(connection, "a", clock(), timedelta(hours=1))
                assert job is not None
                taken.append(job.job_id)
        return taken

    for second in range(10):
        await ask(f"job_a{second}", "trig_a", second)
    await ask("job_b0", "trig_b", 20)
    await ask("job_b1", "trig_b", 21)
    assert await take(4) == ["job_a0", "job_b0", "job_a1", "job_b1"]
    # Whoever comes later waits for its turn, not for all that waits.
    await ask("job_c0", "trig_c", 30)
    await ask("job_d0", "trig_d", 31, fired_by="backfill")
    await ask("job_d1", "trig_d", 32)
    assert await take(4) == ["job_a2", "job_c0", "job_d1", "job_a3"]
    assert await take(7) == [*(f"job_a{second}" for second in range(4, 10)), "job_d0"]


async def test_a_job_whose_worker_is_gone_comes_before_what_waits(context: Context, clock: FakeClock) -> None:
    await queue(context, command("job_1"))
    async with context.database.transaction() as connection:
        assert await claim(connection, "a", clock(), timedelta(seconds=30)) is not None
    await queue(context, command("job_0", trigger_id="trig_0", triggered_at=START - timedelta(hours=1)))
    clock.advance(seconds=31)
    async with context.database.transaction() as connection:
        job = await claim(connection, "b", clock(), timedelta(seconds=30))
    assert job is not None
    assert job.job_id == "job_1"
