"""Scheduled alerts on fake time and a real PostgreSQL."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import EPOCH
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from streams.trigger.sweeps import ScheduledAlert, Sweeps
from tests.trigger.support import NAMESPACE, at

START = at("2024-03-25")


async def attach(context: Context, *alerts: str, mode: str = "scheduled", **alert: Any) -> None:
    async with context.database.transaction() as connection:
        for name in alerts:
            await put_definition(connection, "alert", NAMESPACE, name, name, {"name": name, **alert})
        applications = [{"alert_id": name, "execution_mode": mode} for name in alerts]
        body = {"collection_name": "c", "alert_applications": applications}
        await put_definition(connection, "collection", NAMESPACE, "col_c", "c", body)


async def queued(context: Context) -> list[tuple[str, datetime]]:
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT trigger_id, nominal_at FROM jobs ORDER BY nominal_at, trigger_id"
        )
        return await cursor.fetchall()


async def end_jobs(context: Context) -> None:
    async with context.database.transaction() as connection:
        await connection.execute("UPDATE jobs SET status = 'completed'")


async def test_each_alert_is_swept_once_an_interval_however_many_stations_run(context: Context) -> None:
    await attach(context, "alt_a", "alt_b")
    stations = [Sweeps(context.database, 600) for _ in range(2)]
    for minute in range(61):
        for station in stations:
            await station.tick(START + timedelta(minutes=minute))
        await end_jobs(context)
    counted = Counter(name for name, _ in await queued(context))
    # At once, then every ten minutes of the hour.
    assert counted == {"alt_a": 7, "alt_b": 7}
    gaps = {
        later - earlier
        for name in counted
        for moments in [[moment for found, moment in await queued(context) if found == name]]
        for earlier, later in pairwise(moments)
    }
    assert gaps == {timedelta(minutes=10)}


async def test_none_is_queued_while_the_last_is_at_work_and_none_is_caught_up(context: Context) -> None:
    await attach(context, "alt_a")
    station = Sweeps(context.database, 600)
    await station.tick(START)
    await station.tick(START + timedelta(minutes=30))
    assert len(await queued(context)) == 1
    await end_jobs(context)
    await station.tick(START + timedelta(minutes=60))
    assert len(await queued(context)) == 2


async def test_one_with_a_trigger_of_its_own_is_left_to_it(context: Context) -> None:
    await attach(context, "alt_a")
    body = {"action_type": "alert_evaluation", "action_config": {"alert_id": "alt_a"}}
    async with context.database.transaction() as connection:
        await put_definition(connection, "trigger", NAMESPACE, "trig_1", None, body)
        await connection.execute(
            "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type)"
            " VALUES ('trig_1', %s, 'trigger', 'cron')",
            (NAMESPACE,),
        )
    station = Sweeps(context.database, 600)
    await station.tick(START)
    assert await queued(context) == []
    async with context.database.transaction() as connection:
        await connection.execute("UPDATE trigger_state SET status = 'paused'")
    await station.tick(START + timedelta(minutes=10))
    assert [name for name, _ in await queued(context)] == ["alt_a"]


async def test_what_is_not_scheduled_is_not_swept(context: Context) -> None:
    await attach(context, "alt_a", mode="on_demand")
    station = Sweeps(context.database, 600)
    await station.tick(START)
    await attach(context, "alt_a", enabled=False)
    await station.tick(START + timedelta(minutes=10))
    assert await queued(context) == []
    await attach(context, "alt_a")
    await station.tick(START + timedelta(minutes=11))
    assert len(await queued(context)) == 1


@given(
    st.text(min_size=1, max_size=5),
    st.integers(0, 2**41),
    st.integers(1, 9_999),
)
def test_nominal_times_are_an_interval_apart(name: str, milliseconds: int, interval: int) -> None:
    now = EPOCH + timedelta(milliseconds=milliseconds)
    alert = ScheduledAlert("ns", name)
    nominal = alert.nominal(now, interval)
    assert timedelta() <= now - nominal < timedelta(seconds=interval)
    assert alert.nominal(nominal, interval) == nominal
    assert alert.nominal(nominal - timedelta(microseconds=1), interval) == nominal - timedelta(seconds=interval)
