"""Drift and volume checks on PostgreSQL: nominal times, the busy rule, baselines, time domains."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from schemas.events.trigger import TriggerCommand
from schemas.topics import TRIGGER_COMMANDS
from streams.engines.drift.sketch import Sketch
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.trigger.conditions import due
from streams.trigger.station import TriggerStation
from streams.trigger.triggers import set_failed
from tests.trigger.support import (
    DAY,
    add_documents,
    at,
    checks,
    create_trigger,
    end_job,
    fires,
    rows,
    set_body,
    set_watermark,
    state,
)

WEEKLY = {
    "condition_type": "drift",
    "threshold": 0.35,
    "check_interval_seconds": 7 * DAY,
    "window_seconds": 28 * DAY,
    "time_domain": "event_time",
    "min_sample": 50,
}
VOLUME = {"condition_type": "volume", "threshold": 2, "check_interval_seconds": DAY}
WALL = at("2026-01-01")
ONE = np.array([1.0, 0.1, 0.0])
OTHER = np.array([0.0, 0.1, 1.0])


def daily(start: str, days: int, vector: NDArray[np.float64], per_day: int = 5) -> Iterator[tuple[datetime, Any]]:
    """Documents of one kind, some every day."""
    for day in range(days):
        for number in range(per_day):
            yield at(start) + timedelta(days=day, hours=number), vector


def weeks(first: str, count: int) -> list[datetime]:
    return [at(first) + timedelta(days=7 * number) for number in range(count)]


async def replayed(context: Context) -> None:
    """From Thursday 2 January 2014: 20 weeks of one topic, then 20 of another, over three partitions."""
    await create_trigger(context, "trig_drift", "conditional", WEEKLY, now=WALL)
    for partition in range(3):
        documents = [*daily("2014-01-02", 140, ONE), *daily("2014-05-22", 140, OTHER)]
        await add_documents(context, WEEKLY, partition, documents)
        await set_watermark(context, partition, at("2014-10-09"))


async def test_event_time_checks_each_nominal_time_up_to_a_fire_and_waits_for_its_job(
    context: Context, station: TriggerStation
) -> None:
    await replayed(context)
    await station.tick(WALL)

    # The grid falls on Thursdays. The first week's 105 documents are the baseline. Of the four weeks before
    # 5 June a half is of the other topic, drift 0.29; of those before 12 June three quarters, drift 0.68.
    made = await checks(context, "trig_drift")
    assert [moment for moment, _, _ in made] == weeks("2014-01-09", 23)
    assert made[0][2] == "baseline taken: 105 documents"
    assert made[-2][2] == "cosine_drift 0.29 does not exceed 0.35 (baseline 105 documents, window 420)"
    assert made[-1] == (
        at("2014-06-12"),
        True,
        "cosine_drift 0.68 exceeds 0.35 (baseline 105 documents, window 420)",
    )
    assert [fired for _, fired, _ in made[:-1]] == [False] * 22
    ((value,),) = await rows(context, "SELECT value FROM outbox WHERE topic = %s", TRIGGER_COMMANDS.name)
    command = TriggerCommand.decode(value)
    assert (command.nominal_at, command.until, command.triggered_at) == (at("2014-06-12"), at("2014-06-12"), WALL)
    assert command.reason == made[-1][2]
    assert command.measurement is not None
    assert command.measurement["reason"] == made[-1][2]
    assert await state(context, "trig_drift", "pending_job_id", "check_count", "last_condition_check_at") == (
        command.job_id,
        23,
        at("2014-06-12"),
    )

    await station.tick(WALL)
    assert await checks(context, "trig_drift") == made  # busy

    await end_job(context, WALL)
    await station.tick(WALL)
    rest = (await checks(context, "trig_drift"))[23:]
    # The window of 12 June is the baseline now, and nothing is far from it any more.
    assert [moment for moment, _, _ in rest] == weeks("2014-06-19", 17)
    assert not any(fired for _, fired, _ in rest)
    assert rest[0][2] == "cosine_drift 0.05 does not exceed 0.35 (baseline 420 documents, window 420)"
    (measurement,) = await state(context, "trig_drift", "last_drift_measurement")
    assert (measurement["at"], measurement["metric"], measurement["threshold"], measurement["insufficient"]) == (
        "2014-10-09T00:00:00.000Z",
        "cosine_drift",
        0.35,
        False,
    )


async def test_the_baseline_of_a_fire_is_its_window_and_comes_with_success(
    context: Context, station: TriggerStation
) -> None:
    await replayed(context)
    await station.tick(WALL)
    baseline, snapshot = await state(context, "trig_drift", "baseline_sketch", "baseline_snapshot")
    assert Sketch.from_bytes(baseline).count == 105
    assert snapshot == {
        "at": "2014-01-09T00:00:00.000Z",
        "since": "2013-12-12T00:00:00.000Z",
        "documents": 105,
        "time_domain": "event_time",
        "feature_uri": "mixpeek://hashing@v1/words",
    }
    await end_job(context, WALL)
    baseline, snapshot = await state(context, "trig_drift", "baseline_sketch", "baseline_snapshot")
    frozen = Sketch.from_bytes(baseline)
    # 15 documents a day: 7 days of the one topic, 21 of the other.
    assert frozen.count == 420
    assert np.allclose(frozen.total, 105 * ONE + 315 * OTHER)
    assert (snapshot["at"], snapshot["since"]) == ("2014-06-12T00:00:00.000Z", "2014-05-15T00:00:00.000Z")


async def test_a_failed_job_leaves_the_baseline_and_the_next_check_fires_again(
    context: Context, station: TriggerStation
) -> None:
    await replayed(context)
    await station.tick(WALL)
    await end_job(context, WALL, error="no clusters")
    await station.tick(WALL)
    assert await fires(context, "trig_drift") == [at("2014-06-12"), at("2014-06-19")]
    (baseline,) = await state(context, "trig_drift", "baseline_sketch")
    assert Sketch.from_bytes(baseline).count == 105


async def test_the_cooldown_is_counted_in_event_time(context: Context, station: TriggerStation) -> None:
    config = {**WEEKLY, "cooldown_seconds": 28 * DAY}
    await create_trigger(context, "trig_drift", "conditional", config, now=WALL)
    await add_documents(
        context, config, 0, [*daily("2014-01-02", 140, ONE, 15), *daily("2014-05-22", 140, OTHER, 15)]
    )
    await set_watermark(context, 0, at("2014-10-09"))
    await station.tick(WALL)
    await end_job(context, WALL, error="no clusters")
    await station.tick(WALL)
    assert await fires(context, "trig_drift") == [at("2014-06-12"), at("2014-07-10")]
    held = (await checks(context, "trig_drift"))[23]
    assert held[2].endswith("but in cooldown until 2014-07-10T00:00:00.000Z (fired at 2014-06-12T00:00:00.000Z)")


async def test_live_and_catch_up_make_the_same_checks(context: Context, stations: list[TriggerStation]) -> None:
    """The watermark in steps of 17 hours, with jobs that end at once, against one leap."""
    await create_trigger(context, "trig_drift", "conditional", WEEKLY, now=WALL)
    config = {**WEEKLY, "threshold": 0.3}
    await create_trigger(context, "trig_leap", "conditional", config, now=WALL)
    await create_trigger(context, "trig_steps", "conditional", config, now=WALL)
    await add_documents(
        context, WEEKLY, 1, [*daily("2014-01-02", 70, ONE, 15), *daily("2014-03-13", 70, OTHER, 15)]
    )

    async def settle(mark: datetime) -> None:
        await set_watermark(context, 1, mark)
        await stations[0].tick(WALL)
        while await rows(context, "SELECT 1 FROM jobs WHERE status = 'pending'"):
            await end_job(context, WALL)
            await stations[1].tick(WALL)

    # "leap" is paused while "steps" walks, and sees everything at once afterwards.
    await rows(context, "UPDATE trigger_state SET status = 'paused' WHERE trigger_id = 'trig_leap' RETURNING 1")
    mark = at("2014-01-02")
    while mark < at("2014-05-29"):
        await settle(mark)
        mark += timedelta(hours=17)
    await settle(at("2014-05-29"))
    await rows(context, "UPDATE trigger_state SET status = 'active' WHERE trigger_id = 'trig_leap' RETURNING 1")
    await settle(at("2014-05-29"))
    assert len(await checks(context, "trig_steps")) == 21
    assert await checks(context, "trig_leap") == await checks(context, "trig_steps")
    assert await fires(context, "trig_leap") == await fires(context, "trig_steps") != []


async def test_without_a_window_it_measures_since_the_baseline(context: Context, station: TriggerStation) -> None:
    config = {**WEEKLY, "window_seconds": None}
    await create_trigger(context, "trig_drift", "conditional", config, now=WALL)
    for partition in range(2):
        await add_documents(
            context, config, partition, [*daily("2014-01-02", 14, ONE, 10), *daily("2014-01-16", 21, OTHER, 10)]
        )
    await set_watermark(context, 0, at("2014-02-06"))
    await set_watermark(context, 1, at("2014-02-01"))
    await station.tick(WALL)
    await end_job(context, WALL)
    await station.tick(WALL)
    assert await checks(context, "trig_drift") == [
        (at("2014-01-09"), False, "baseline taken: 140 documents"),
        (at("2014-01-16"), False, "cosine_drift 0.00 does not exceed 0.35 (baseline 140 documents, window 140)"),
        (at("2014-01-23"), False, "cosine_drift 0.29 does not exceed 0.35 (baseline 140 documents, window 280)"),
        (at("2014-01-30"), True, "cosine_drift 0.55 exceeds 0.35 (baseline 140 documents, window 420)"),
        (at("2014-02-06"), False, "cosine_drift 0.10 does not exceed 0.35 (baseline 420 documents, window 140)"),
    ]


async def test_a_window_that_grows_counts_what_was_collected_late(
    context: Context, station: TriggerStation
) -> None:
    """On processing time a document may be stored after the check that its bucket belonged to."""
    config = {"condition_type": "drift", "threshold": 0.35, "check_interval_seconds": 3_600, "min_sample": 5}
    await create_trigger(context, "trig_drift", "conditional", config, now=at("2026-01-01T00:10"))
    await set_watermark(context, 0, None)
    await set_watermark(context, 1, None)
    await add_documents(context, config, 0, [(at("2026-01-01T00:30"), ONE), (at("2026-01-01T01:30"), ONE)] * 10)
    await add_documents(context, config, 1, [])
    for clock in ("01:00", "02:00", "03:00"):
        await station.tick(at(f"2026-01-01T{clock}"))
    held = await state(context, "trig_drift", "window_since", "window_until", "window_documents")
    assert held == (at("2026-01-01T01:00"), at("2026-01-01T03:00"), 10)
    await add_documents(context, config, 1, [(at("2026-01-01T01:45"), OTHER)] * 30)
    await station.tick(at("2026-01-01T04:00"))
    assert [reason for *_, reason in await checks(context, "trig_drift")] == [
        "baseline taken: 10 documents",
        "cosine_drift 0.00 does not exceed 0.35 (baseline 10 documents, window 10)",
        "cosine_drift 0.00 does not exceed 0.35 (baseline 10 documents, window 10)",
        "cosine_drift 0.67 exceeds 0.35 (baseline 10 documents, window 40)",
    ]


async def twelve_an_hour(context: Context) -> None:
    """Eight hours of documents, and ``trig_volume``, which looks every hour whether two have brought over 20."""
    config = {
        "condition_type": "volume",
        "threshold": 20,
        "check_interval_seconds": 3_600,
        "window_seconds": 2 * 3_600,
    }
    await create_trigger(context, "trig_volume", "conditional", config, now=at("2026-01-01T00:10"))
    await set_watermark(context, 0, None)
    arrivals = [(at("2026-01-01T00:00") + timedelta(minutes=5 * n), ONE) for n in range(8 * 12)]
    await add_documents(context, config, 0, arrivals)


async def test_processing_time_checks_by_the_clock_and_only_the_latest_missed(
    context: Context, station: TriggerStation
) -> None:
    await twelve_an_hour(context)
    for clock in ("00:59", "01:00", "01:30", "04:45", "04:59"):
        await station.tick(at(f"2026-01-01T{clock}"))
    assert await checks(context, "trig_volume") == [
        (at("2026-01-01T01:00"), False, "volume 12 does not exceed 20 (documents in 7200 s)"),
        (at("2026-01-01T04:00"), True, "volume 24 exceeds 20 (documents in 7200 s)"),
    ]
    ((value,),) = await rows(context, "SELECT value FROM outbox WHERE topic = %s", TRIGGER_COMMANDS.name)
    assert TriggerCommand.decode(value).until is None
    await station.tick(at("2026-01-01T06:10"))
    assert len(await checks(context, "trig_volume")) == 2  # busy
    await end_job(context, at("2026-01-01T06:20"))
    await station.tick(at("2026-01-01T06:20"))
    assert [moment for moment, _, _ in await checks(context, "trig_volume")][2:] == [at("2026-01-01T06:00")]
    (measured, drift) = await state(context, "trig_volume", "last_volume_measurement", "last_drift_measurement")
    assert (measured["metric"], measured["value"], drift) == ("volume", 24, None)


async def test_a_clock_that_was_ahead_does_not_silence_the_checks(
    context: Context, station: TriggerStation
) -> None:
    await twelve_an_hour(context)
    # A day ahead for one tick, then right again.
    for clock in ("2026-01-01T01:10", "2026-01-02T01:10", "2026-01-01T01:20", "2026-01-01T02:10"):
        await station.tick(at(clock))
    made = [(moment, fired) for moment, fired, _ in await checks(context, "trig_volume")]
    assert made == [
        (at("2026-01-01T01:00"), False),
        (at("2026-01-01T02:00"), True),
        (at("2026-01-02T01:00"), False),
    ]


async def test_no_check_before_collect_has_filled_the_sketches(context: Context, station: TriggerStation) -> None:
    await replayed(context)
    await rows(context, "DELETE FROM drift_seeds WHERE partition = 1 RETURNING 1")
    await station.tick(WALL)
    assert await checks(context, "trig_drift") == []
    await add_documents(context, WEEKLY, 1, [])
    await station.tick(WALL)
    assert len(await checks(context, "trig_drift")) == 23


async def test_a_broken_condition_fails_alone(context: Context, station: TriggerStation) -> None:
    await replayed(context)
    await create_trigger(context, "trig_metric", "conditional", WEEKLY, now=WALL)
    await set_body(context, "trig_metric", {**WEEKLY, "metric": "vibes"})
    await create_trigger(context, "trig_bad", "conditional", WEEKLY, now=WALL)
    await set_body(context, "trig_bad", {**WEEKLY, "check_interval_seconds": "weekly"})
    await station.tick(WALL)
    await station.tick(WALL)
    assert await state(context, "trig_bad", "status", "last_execution_error") == (
        "failed",
        "check_interval_seconds must be a whole number from 1 to 3162240000, not 'weekly'",
    )
    status, error = await state(context, "trig_metric", "status", "last_execution_error")
    assert status == "failed"
    assert error.startswith("unknown metric 'vibes'")
    assert await state(context, "trig_drift", "status", "check_count") == ("active", 23)


async def test_a_trigger_fails_before_anybody_can_mend_it(
    context: Context, station: TriggerStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that was mended in between would be failed for what it no longer is."""
    await create_trigger(context, "trig", "conditional", VOLUME, now=WALL, next_scheduled_at=WALL)
    await add_documents(context, VOLUME, 0, [])
    await set_body(context, "trig", {**VOLUME, "threshold": "many"})
    failed: list[str] = []

    async def held(connection: Connection, trigger_id: str, error: str) -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await rows(context, "SELECT FROM trigger_state FOR UPDATE NOWAIT")
        failed.append(trigger_id)
        await set_failed(connection, trigger_id, error)

    monkeypatch.setattr(due, "set_failed", held)
    await station.tick(WALL)
    assert failed == ["trig"]
    assert await state(context, "trig", "status") == ("failed",)


async def test_a_trigger_that_does_not_say_what_to_do_records_no_check(
    context: Context, station: TriggerStation
) -> None:
    await create_trigger(context, "trig", "conditional", VOLUME, now=WALL, next_scheduled_at=WALL)
    await add_documents(context, VOLUME, 0, [(WALL - timedelta(hours=1), ONE)] * 3)
    await rows(context, "UPDATE definitions SET body = body - 'action_type' WHERE id = 'trig' RETURNING 1")
    await station.tick(WALL)
    assert await state(context, "trig", "status", "last_execution_error", "check_count") == (
        "failed",
        "the trigger's definition has no action_type with an action_config",
        0,
    )
    assert await checks(context, "trig") == []
    assert await rows(context, "SELECT 1 FROM jobs") == []


async def test_more_checks_than_one_transaction_takes(context: Context, station: TriggerStation) -> None:
    config = {**WEEKLY, "check_interval_seconds": DAY, "window_seconds": 7 * DAY}
    await create_trigger(context, "trig_drift", "conditional", config, now=WALL)
    await add_documents(context, config, 2, daily("2014-01-02", 365, ONE, 10))
    await set_watermark(context, 2, at("2015-01-01T13:00"))
    await station.tick(WALL)
    made = await checks(context, "trig_drift")
    assert [moment for moment, _, _ in made] == [at("2014-01-03") + timedelta(days=day) for day in range(364)]
    assert await state(context, "trig_drift", "check_count") == (364,)


async def test_stations_side_by_side_make_each_check_once(
    context: Context, stations: list[TriggerStation]
) -> None:
    await replayed(context)
    for _ in range(3):
        await asyncio.gather(*(station.tick(WALL) for station in stations))
    assert len(await checks(context, "trig_drift")) == 23
    assert await state(context, "trig_drift", "check_count") == (23,)
    assert await fires(context, "trig_drift") == [at("2014-06-12")]


FAST = {
    "condition_type": "drift",
    "threshold": 0.1,
    "check_interval_seconds": 60,
    "window_seconds": 600,
    "time_domain": "event_time",
    "min_sample": 5,
}


@pytest.mark.parametrize("oldest", ["0001-01-01", "1970-01-01T00:00:30"])
@pytest.mark.parametrize("window", [600, None])
async def test_an_absurd_old_document_costs_a_few_checks_and_the_rest_is_checked(
    context: Context, station: TriggerStation, oldest: str, window: int | None
) -> None:
    """Decades of empty minutes lie between it and the documents of 2014."""
    config = {**FAST, "window_seconds": window}
    await create_trigger(context, "trig_drift", "conditional", config, now=WALL)
    minutes = [at("2014-01-02") + timedelta(minutes=number) for number in range(20)]
    documents = [(moment, vector) for moment in minutes[:10] for vector in [ONE] * 5]
    documents += [(moment, vector) for moment in minutes[10:] for vector in [OTHER] * 5]
    await add_documents(context, config, 0, [(at(oldest), OTHER), *documents])
    await add_documents(context, config, 1, [(datetime.max.replace(tzinfo=UTC), OTHER)])
    await set_watermark(context, 0, at("2014-06-01"))
    async with asyncio.timeout(20):
        await station.tick(WALL)
    made = await checks(context, "trig_drift")
    assert len([moment for moment, *_ in made if moment < at("2014-01-01")]) == (10 if window else 1)
    assert next(moment for moment, *_ in made if moment > at("2014-01-01")) == at("2014-01-02T00:01")
    assert made[-1][1]
    fired_at = made[-1][0]
    assert at("2014-01-02T00:10") < fired_at <= at("2014-01-02T00:20")
    while await rows(context, "SELECT 1 FROM jobs WHERE status = 'pending'"):
        await end_job(context, WALL)
        async with asyncio.timeout(20):
            await station.tick(WALL)
    assert await state(context, "trig_drift", "last_condition_check_at") == (at("2014-06-01"),)
    assert len(await checks(context, "trig_drift")) < 60


async def test_what_comes_after_an_idle_stretch_is_checked_like_in_one_run(
    context: Context, stations: list[TriggerStation]
) -> None:
    """Documents now and then, seen in steps of 20 minutes and in one leap."""
    for name in ("trig_leap", "trig_steps", "trig_growing_leap", "trig_growing_steps"):
        config = {**FAST, "window_seconds": None} if "growing" in name else FAST
        await create_trigger(context, name, "conditional", config, now=WALL)
    bursts = [(hour, ONE if hour < 6 else OTHER) for hour in (0, 1, 3, 6, 7, 11)]
    await add_documents(
        context,
        FAST,
        1,
        [(at("2014-01-02T00:03") + timedelta(hours=hour), vector) for hour, vector in bursts for _ in range(6)],
    )

    async def settle(mark: datetime) -> None:
        await set_watermark(context, 1, mark)
        await stations[0].tick(WALL)
        while await rows(context, "SELECT 1 FROM jobs WHERE status = 'pending'"):
            await end_job(context, WALL)
            await stations[1].tick(WALL)

    leaps = "trigger_id LIKE '%%leap'"
    await rows(context, f"UPDATE trigger_state SET status = 'paused' WHERE {leaps} RETURNING 1")
    for step in range(40):
        await settle(at("2014-01-02T00:10") + timedelta(minutes=20 * step))
    await rows(context, f"UPDATE trigger_state SET status = 'active' WHERE {leaps} RETURNING 1")
    await settle(at("2014-01-02T13:10"))
    for kind in ("", "growing_"):
        steps = await checks(context, f"trig_{kind}steps")
        assert await checks(context, f"trig_{kind}leap") == steps
        assert await fires(context, f"trig_{kind}leap") == await fires(context, f"trig_{kind}steps") != []
        assert await state(context, f"trig_{kind}leap", "last_condition_check_at") == (at("2014-01-02T13:10"),)
    assert [moment for moment, *_ in await checks(context, "trig_leap")] == [
        at("2014-01-02T00:04") + timedelta(hours=hour, minutes=minute)
        for hour, _ in bursts
        for minute in range(10)
    ]


async def test_a_volume_nothing_exceeds_is_not_idle(context: Context, station: TriggerStation) -> None:
    """A threshold below 0 is exceeded by an empty window: no check may be passed over."""
    config = {**FAST, "condition_type": "volume", "threshold": -1}
    await create_trigger(context, "trig_volume", "conditional", config, now=WALL)
    await add_documents(context, config, 0, [(at("2014-01-02"), ONE)])
    await set_watermark(context, 0, at("2014-01-02T02:00"))
    for _ in range(15):
        await station.tick(WALL)
        await end_job(context, WALL)
    assert await fires(context, "trig_volume") == [
        at("2014-01-02T00:01") + timedelta(minutes=number) for number in range(15)
    ]
