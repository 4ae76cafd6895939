"""Schedules on fake time: a week passes in ticks, nothing sleeps."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from schemas.events.trigger import TriggerCommand
from schemas.topics import TRIGGER_COMMANDS
from streams.runtime.agent import Context
from streams.trigger.station import TriggerStation, build
from tests.support import eventually
from tests.trigger.support import at, create_trigger, fires, rows, set_body, state

EVERY_MINUTE = {"cron_expression": "* * * * *"}


async def tick_through(station: TriggerStation, start: datetime, end: datetime, step: timedelta) -> None:
    now = start
    while now <= end:
        await station.tick(now)
        now += step


async def test_a_week_of_an_interval_and_a_cron(context: Context) -> None:
    # The week in which Berlin's clocks go forward: on Sunday 31 March 2024, from UTC+1 to UTC+2.
    start = at("2024-03-25")
    await create_trigger(
        context, "trig_cron", "cron", {"cron_expression": "30 9 * * *", "timezone": "Europe/Berlin"}, now=start
    )
    await create_trigger(context, "trig_interval", "interval", {"interval_seconds": 36 * 3_600}, now=start)
    await create_trigger(
        context,
        "trig_now",
        "interval",
        {"interval_seconds": 5 * 86_400, "start_immediately": True},
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


async def test_what_was_missed_is_one_fire_for_the_latest(context: Context, station: TriggerStation) -> None:
    start = at("2024-03-25")
    await create_trigger(context, "trig_a", "cron", {"cron_expression": "0 * * * *"}, now=start)
    await station.tick(at("2024-03-25T01:00"))
    await station.tick(at("2024-03-25T06:20"))
    await station.tick(at("2024-03-25T06:59"))
    await station.tick(at("2024-03-25T07:00"))
    assert await fires(context, "trig_a") == [
        at("2024-03-25T01:00"),
        at("2024-03-25T06:00"),
        at("2024-03-25T07:00"),
    ]


async def test_stations_side_by_side_fire_each_nominal_time_once(
    context: Context, stations: list[TriggerStation]
) -> None:
    start = at("2024-03-25")
    for number in range(120):  # more than one claim takes
        await create_trigger(context, f"trig_{number}", "cron", EVERY_MINUTE, now=start)
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
    await create_trigger(context, "trig_a", "cron", EVERY_MINUTE, now=at("2024-03-25"))
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
    await create_trigger(context, "trig_a", "cron", {"cron_expression": "0 * * * *"}, now=at("2024-03-25"))
    await build(context).tick(at("2024-03-25T01:00:07"))
    ((job_id,),) = await rows(context, "SELECT job_id FROM jobs")
    # The database was restored to before the fire: the same nominal time again, later by the clock.
    await rows(context, "UPDATE trigger_state SET next_scheduled_at = %s RETURNING 1", at("2024-03-25T01:00"))
    await build(context).tick(at("2024-03-25T01:30"))
    assert await rows(context, "SELECT job_id FROM jobs") == [(job_id,)]
    ((value,),) = await rows(context, "SELECT value FROM outbox WHERE topic = %s", TRIGGER_COMMANDS.name)
    assert orjson.loads(value)["job_id"] == job_id
