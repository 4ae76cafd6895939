"""Schedules on fake time: a week passes in ticks, nothing sleeps."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.events.trigger import TriggerCommand, TriggerResult
from schemas.topics import TRIGGER_COMMANDS, TRIGGER_RESULTS
from streams.engines.rules import schedule
from streams.engines.rules.due import Policy, due_at
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from streams.trigger.schedules import firing
from streams.trigger.station import TriggerStation, build
from tests.support import eventually
from tests.trigger.support import at, create_trigger, end_job, fires, rows, set_body, state

EVERY_MINUTE = {"cron_expression": "* * * * *", "overlap_policy": "allow_all"}
HOURLY = {"cron_expression": "0 * * * *"}


async def tick_through(station: TriggerStation, start: datetime, end: datetime, step: timedelta) -> None:
    now = start
    while now <= end:
        await station.tick(now)
        now += step


async def test_a_week_of_an_interval_and_a_cron(context: Context) -> None:
    # The week in which Berlin's clocks go forward: on Sunday 31 March 2024, from UTC+1 to UTC+2.
    start = at("2024-03-25")
    await create_trigger(
        context,
        "trig_cron",
        "cron",
        {"cron_expression": "30 9 * * *", "timezone": "Europe/Berlin", "overlap_policy": "allow_all"},
        now=start,
    )
    await create_trigger(
        context,
        "trig_interval",
        "interval",
        {"interval_seconds": 36 * 3_600, "overlap_policy": "allow_all"},
        now=start,
    )
    await create_trigger(
        context,
        "trig_now",
        "interval",
        {"interval_seconds": 5 * 86_400, "start_immediately": True, "overlap_policy": "allow_all"},
        now=start,
        family="cluster_trigger",
    )
    await tick_through(build(context), start, at("2024-03-31T23:30"), timedelta(minutes=30))

    assert await fires(context, "trig_cron") == [
        at("2024-03-25T08:30"),
        at("2024-03-26T08:30"),
        at("2024-03-27T08:30"),
        at("2024-03-28T08:30"),
        at("2024-03-29T08:30"),
        at("2024-03-30T08:30"),
        at("2024-03-31T07:30"),
    ]
    assert await fires(context, "trig_interval") == [
        at("2024-03-26T12:00"),
        at("2024-03-28T00:00"),
        at("2024-03-29T12:00"),
        at("2024-03-31T00:00"),
    ]
    assert await fires(context, "trig_now") == [at("2024-03-25"), at("2024-03-30")]
    assert await state(
        context, "trig_cron", "next_scheduled_at", "last_triggered_at", "last_execution_status"
    ) == (
        at("2024-04-01T07:30"),
        at("2024-03-31T07:30"),
        "pending",
    )


async def test_the_command_says_what_to_do(context: Context) -> None:
    start = at("2024-03-25")
    await create_trigger(context, "trig_a", "interval", {"interval_seconds": 60}, now=start)
    await create_trigger(
        context, "trig_b", "interval", {"interval_seconds": 61}, now=start, family="cluster_trigger"
    )
    await build(context).tick(at("2024-03-25T00:01:30"))
    published = await rows(context, "SELECT value FROM outbox WHERE topic = %s ORDER BY id", TRIGGER_COMMANDS.name)
    first, second = (TriggerCommand.decode(value) for (value,) in published)
    assert (first.trigger_id, first.action_type, first.action_config) == (
        "trig_a",
        "cluster",
        {"cluster_id": "clust_1"},
    )
    assert (first.nominal_at, first.triggered_at) == (at("2024-03-25T00:01"), at("2024-03-25T00:01:30"))
    assert (first.reason, first.until) == ("every 60 s due at 2024-03-25T00:01:00.000Z", None)
    assert (second.family, second.action_type) == ("cluster_trigger", "cluster")
    assert second.action_config == {
        "cluster_id": "clust_1",
        "execution_config": {"collection_ids": ["col_news"], "config": {}},
    }


async def skips(context: Context, trigger_id: str) -> list[tuple[datetime, dict[str, Any], str]]:
    """(nominal time, outcome, reason) of every entry of the history that says something was skipped."""
    return [
        (row[0], row[1], row[2])
        for row in await rows(
            context,
            "SELECT nominal_at, outcome, command->>'reason' FROM jobs WHERE trigger_id = %s AND status = 'skipped'"
            " ORDER BY nominal_at",
            trigger_id,
        )
    ]


async def test_while_the_run_before_is_open_nominal_times_are_one_entry_that_grows(
    context: Context, station: TriggerStation
) -> None:
    start = at("2024-03-25")
    await create_trigger(context, "trig_a", "cron", HOURLY, now=start)
    await tick_through(station, at("2024-03-25T01:00"), at("2024-03-25T04:00"), timedelta(minutes=20))
    assert await fires(context, "trig_a") == [at("2024-03-25T01:00")]
    ((nominal, outcome, reason),) = await skips(context, "trig_a")
    assert (nominal, outcome["skipped"], outcome["exact"]) == (at("2024-03-25T02:00"), 3, True)
    assert reason == (
        "cron '0 * * * *' (UTC) 3 nominal times from 2024-03-25T02:00:00.000Z to before 2024-03-25T05:00:00.000Z"
        " skipped: the run before was not over (overlap_policy skip)"
    )
    results = [
        TriggerResult.decode(value)
        for (value,) in await rows(
            context, "SELECT value FROM outbox WHERE topic = %s ORDER BY id", TRIGGER_RESULTS.name
        )
    ]
    assert [(item.status, item.revision) for item in results] == [
        ("pending", 1),
        *(("skipped", revision) for revision in (1, 2, 3)),
    ]
    assert len({item.job_id for item in results}) == 2
    # The state still tells of the run, not of what was skipped beside it.
    assert await state(context, "trig_a", "last_execution_status", "last_triggered_at") == (
        "pending",
        at("2024-03-25T01:00"),
    )
    await end_job(context, at("2024-03-25T04:30"))
    await station.tick(at("2024-03-25T05:00"))
    await station.tick(at("2024-03-25T06:00"))
    assert await fires(context, "trig_a") == [at("2024-03-25T01:00"), at("2024-03-25T05:00")]
    assert [item[0] for item in await skips(context, "trig_a")] == [at("2024-03-25T02:00"), at("2024-03-25T06:00")]


async def test_what_was_missed_in_an_outage(context: Context, station: TriggerStation) -> None:
    start = at("2024-03-25")
    for policy in ("skip", "buffer_one", "allow_all"):
        await create_trigger(context, f"trig_{policy}", "cron", {**HOURLY, "overlap_policy": policy}, now=start)
    short = {**HOURLY, "overlap_policy": "allow_all", "catchup_window_seconds": 4_000}
    await create_trigger(context, "trig_short", "cron", short, now=start)
    await station.tick(at("2024-03-25T04:30"))
    hours = [at(f"2024-03-25T0{hour}:00") for hour in range(1, 5)]
    assert await fires(context, "trig_skip") == hours[:1]
    assert await fires(context, "trig_buffer_one") == hours[:1]
    assert await fires(context, "trig_allow_all") == hours
    assert await fires(context, "trig_short") == hours[3:]
    assert [(item[0], item[1]["skipped"]) for item in await skips(context, "trig_skip")] == [(hours[1], 3)]
    assert [(item[0], item[1]["skipped"]) for item in await skips(context, "trig_buffer_one")] == [(hours[2], 2)]
    ((nominal, outcome, reason),) = await skips(context, "trig_short")
    assert (nominal, outcome["skipped"]) == (hours[0], 3)
    assert reason.endswith("skipped: older than the catch-up window of 4000 s")
    # What waited is run as soon as nothing is open any more, not at the next nominal time.
    await station.tick(at("2024-03-25T04:31"))
    assert await fires(context, "trig_buffer_one") == hours[:1]
    await rows(
        context,
        "UPDATE jobs SET status = 'completed' WHERE trigger_id = 'trig_buffer_one' AND status = 'pending'"
        " RETURNING 1",
    )
    await station.tick(at("2024-03-25T04:32"))
    assert await fires(context, "trig_buffer_one") == hours[:2]
    assert await state(context, "trig_buffer_one", "buffered_at", "next_scheduled_at") == (
        None,
        at("2024-03-25T05:00"),
    )


async def test_jitter_moves_the_fire_and_not_its_nominal_time(context: Context, station: TriggerStation) -> None:
    start = at("2024-03-25")
    await create_trigger(context, "trig_a", "cron", {**HOURLY, "jitter_seconds": 1_800}, now=start)
    policy = Policy(jitter=timedelta(seconds=1_800))
    due = due_at("trig_a", schedule.parse("cron", HOURLY), policy, at("2024-03-25T01:00"))
    assert due > at("2024-03-25T01:00")
    await station.tick(due - timedelta(milliseconds=1))
    assert await fires(context, "trig_a") == []
    await station.tick(due)
    assert await fires(context, "trig_a") == [at("2024-03-25T01:00")]
    next_at, next_due_at = await state(context, "trig_a", "next_scheduled_at", "next_due_at")
    assert next_at == at("2024-03-25T02:00") < next_due_at <= at("2024-03-25T02:30")


async def test_a_clock_that_was_ahead_does_not_silence_a_trigger(
    context: Context, station: TriggerStation
) -> None:
    start = at("2024-03-25")
    everything = {**HOURLY, "overlap_policy": "allow_all", "catchup_window_seconds": 3_600}
    await create_trigger(context, "trig_a", "cron", everything, now=start)
    await create_trigger(
        context, "trig_b", "interval", {"interval_seconds": 5_400, "overlap_policy": "allow_all"}, now=start
    )
    await station.tick(at("2024-03-25T01:30"))
    await station.tick(at("2024-03-25T03:00"))
    # Five hours ahead for one tick, then right again: what fired ahead of its time is not fired again.
    await station.tick(at("2024-03-25T08:10"))
    assert (await fires(context, "trig_a"))[-1] == at("2024-03-25T08:00")
    await tick_through(station, at("2024-03-25T03:10"), at("2024-03-25T10:00"), timedelta(minutes=10))
    hours = [at("2024-03-25") + timedelta(hours=hour) for hour in range(1, 11)]
    assert await fires(context, "trig_a") == hours
    assert await fires(context, "trig_b") == [start + timedelta(minutes=90 * number) for number in range(1, 7)]
    # A clock that goes back a little, as clocks of several stations differ, moves nothing.
    await station.tick(at("2024-03-25T09:59:45"))
    assert await fires(context, "trig_a") == hours
    assert await state(context, "trig_a", "next_scheduled_at") == (at("2024-03-25T11:00"),)


async def test_stations_side_by_side_fire_each_nominal_time_once(
    context: Context, stations: list[TriggerStation], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = at("2024-03-25")
    for number in range(120):
        await create_trigger(context, f"trig_{number}", "cron", EVERY_MINUTE, now=start)
    monkeypatch.setattr(firing, "CLAIM", 50)
    for minute in range(1, 4):
        await asyncio.gather(*(station.tick(start + timedelta(minutes=minute)) for station in stations))
    assert await rows(context, "SELECT nominal_at, count(*) FROM jobs GROUP BY 1 ORDER BY 1") == [
        (start + timedelta(minutes=minute), 120) for minute in range(1, 4)
    ]
    assert await rows(context, "SELECT count(*) FROM outbox WHERE topic = %s", TRIGGER_COMMANDS.name) == [(360,)]


async def test_a_broken_definition_fails_alone(context: Context, station: TriggerStation) -> None:
    start = at("2024-03-25")
    for name in ("trig_a", "trig_bad", "trig_z"):
        await create_trigger(context, name, "cron", EVERY_MINUTE, now=start)
    await set_body(context, "trig_bad", {"cron_expression": "* * * * *", "timezone": "Mars/Olympus"})
    for minute in (1, 2):
        await station.tick(start + timedelta(minutes=minute))
    assert [len(await fires(context, name)) for name in ("trig_a", "trig_bad", "trig_z")] == [2, 0, 2]
    assert await state(context, "trig_bad", "status", "last_execution_error") == (
        "failed",
        "timezone 'Mars/Olympus' is not an IANA time zone such as 'Europe/Berlin'",
    )


async def test_only_active_and_existing_triggers_fire(context: Context) -> None:
    start = at("2024-03-25")
    for name in ("trig_active", "trig_paused", "trig_deleted"):
        await create_trigger(context, name, "cron", EVERY_MINUTE, now=start)
    await rows(context, "UPDATE trigger_state SET status = 'paused' WHERE trigger_id = 'trig_paused' RETURNING 1")
    await rows(context, "UPDATE definitions SET deleted_at = now() WHERE id = 'trig_deleted' RETURNING 1")
    await build(context).tick(start + timedelta(minutes=1))
    assert await rows(context, "SELECT trigger_id FROM jobs") == [("trig_active",)]


async def test_run_ticks_by_the_context_s_clock_until_stopped(context: Context) -> None:
    now = [at("2024-03-25")]
    await create_trigger(context, "trig_a", "cron", EVERY_MINUTE, now=now[0])
    settings = context.settings.model_copy(update={"clock_seconds": 0.01})
    station = build(replace(context, settings=settings, clock=lambda: now[0]))
    running = asyncio.create_task(station.run())
    for minute in (1, 2):
        now[0] = at(f"2024-03-25T00:0{minute}")

        async def fired(expected: int = minute) -> bool:
            return len(await fires(context, "trig_a")) == expected

        await eventually(fired)
    station.stop()
    await asyncio.wait_for(running, 10)


async def test_schedules_fire_while_the_broker_is_away(context: Context) -> None:
    now = [at("2024-03-25T12:00")]
    await create_trigger(context, "trig_a", "cron", EVERY_MINUTE, now=at("2024-03-25T11:59"))
    drift = {"condition_type": "drift", "threshold": 1, "time_domain": "event_time", "check_interval_seconds": 60}
    await create_trigger(context, "trig_drift", "conditional", drift, now=now[0])
    await rows(
        context,
        "INSERT INTO collection_counters (namespace_id, collection_id, partition, watermark)"
        " VALUES ('ns_test', 'col_news', 0, %s) RETURNING 1",
        now[0],
    )
    settings = context.settings.model_copy(update={"clock_seconds": 0.01, "kafka": "127.0.0.1:1"})
    away = type(context.broker)(settings)
    station = build(replace(context, settings=settings, broker=away, clock=lambda: now[0]))
    running = asyncio.create_task(station.run())

    async def fired() -> bool:
        assert not running.done()
        return await fires(context, "trig_a") == [at("2024-03-25T12:00"), at("2024-03-25T12:01")]

    async def fired_once() -> bool:
        return len(await fires(context, "trig_a")) == 1

    await eventually(fired_once)
    now[0] = at("2024-03-25T12:01")
    await eventually(fired)
    station.stop()
    await asyncio.wait_for(running, 30)


async def test_a_job_id_comes_from_the_nominal_time_alone(context: Context) -> None:
    await create_trigger(context, "trig_a", "cron", HOURLY, now=at("2024-03-25"))
    await build(context).tick(at("2024-03-25T01:00:07"))
    ((job_id,),) = await rows(context, "SELECT job_id FROM jobs")
    # The database was restored to before the fire: the same nominal time again, later by the clock.
    await rows(context, "UPDATE trigger_state SET next_scheduled_at = %s RETURNING 1", at("2024-03-25T01:00"))
    await build(context).tick(at("2024-03-25T01:30"))
    assert await rows(context, "SELECT job_id FROM jobs") == [(job_id,)]
    ((value,),) = await rows(context, "SELECT value FROM outbox WHERE topic = %s", TRIGGER_COMMANDS.name)
    assert orjson.loads(value)["job_id"] == job_id


@pytest.mark.parametrize("wanted", [True, False])
async def test_very_many_at_once_fire_once_each_and_webhooks_are_told_of_each(
    context: Context, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """More than one transaction takes, so that two are at work; and as many as are asked about before."""
    monkeypatch.setattr(firing, "CLAIM", 60)
    start, names = at("2024-06-03"), [f"trig_{number}" for number in range(200)]
    for name in names:
        await create_trigger(context, name, "cron", HOURLY, now=start)
    if wanted:
        async with context.database.transaction() as connection:
            body = {"enabled": True, "event_types": ["trigger.fired"]}
            await put_definition(connection, "webhook", "", "wh_1", None, body)
    station = build(context)
    for _ in range(2):
        await station.tick(at("2024-06-03T01:00"))
    assert await rows(context, "SELECT trigger_id, nominal_at FROM jobs ORDER BY trigger_id") == [
        (name, at("2024-06-03T01:00")) for name in sorted(names)
    ]
    for topic in (TRIGGER_COMMANDS, TRIGGER_RESULTS):
        assert await rows(
            context, "SELECT count(DISTINCT key), count(*) FROM outbox WHERE topic = %s", topic.name
        ) == [(200, 200)]
    told = await rows(context, "SELECT subject_id FROM webhook_events WHERE event_type = 'trigger.fired'")
    assert sorted(name for (name,) in told) == (sorted(names) if wanted else [])
    await station.close()
