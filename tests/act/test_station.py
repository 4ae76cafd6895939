"""The act station on a real PostgreSQL: outcomes, deaths, commands, and what the trigger's row says after them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.act.station import Act
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.clock import utc_now
from streams.runtime.database import Database
from streams.settings import Settings
from tests.act.stations import ended, running
from tests.act.support import (
    START,
    TEXTS,
    add_documents,
    add_trigger,
    command,
    execution,
    job_row,
    queue,
    results,
    row,
    trigger_row,
)
from tests.support import eventually
from tests.victim import killed


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"action_config": execution(algorithm="kmeans", n_clusters=100)},
            "40 of 40 documents could be clustered, 100 clusters were asked for",
        ),
        (
            {"action_config": execution(["col_none"], algorithm="kmeans", n_clusters=2)},
            "no document in col_none has a text",
        ),
        (
            {"action_config": execution(algorithm="kmeans", n_clusters=2, feature_uri="mixpeek://x@v1/y")},
            "has the feature mixpeek://x@v1/y",
        ),
        ({"action_config": execution(algorithm="kmeans", n_clusters="two")}, "n_clusters"),
        ({"action_config": {"cluster_id": "clust_unknown"}}, "cluster clust_unknown does not exist"),
        ({"action_config": {}}, "neither a cluster_id nor an execution_config"),
        (
            {"action_type": "astrology"},
            "action astrology is not available in this version",
        ),
    ],
)
async def test_what_cannot_work_fails_with_words(context: Context, fields: dict[str, Any], words: str) -> None:
    await add_trigger(context, pending_job_id="job_1", baseline_sketch=b"old")
    await add_documents(context, TEXTS)
    await queue(context, command(**fields), baseline_sketch=b"new")
    async with running(Act(context)):
        await eventually(ended(context))
    job = await job_row(context)
    assert job["status"] == "failed"
    assert words in job["error"]
    told = (await results(context))[-1]
    assert (told.status, told.error) == ("failed", job["error"])
    state = await trigger_row(context)
    assert state["last_execution_error"] == job["error"]
    assert (state["successful_executions"], state["total_executions"], state["consecutive_failures"]) == (0, 1, 1)
    assert state["pending_job_id"] is None
    assert state["baseline_sketch"] == "\\x" + b"old".hex()
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is None or (run["completed_at"], run["num_clusters"]) == (None, 0)


async def test_a_trigger_fails_after_five_failures_in_a_row(context: Context) -> None:
    later = START + timedelta(days=1)
    due: dict[str, Any] = {"next_scheduled_at": later, "next_due_at": later, "buffered_at": later}
    await add_trigger(context, consecutive_failures=2, **due)
    await add_documents(context, TEXTS)
    bad = execution(algorithm="kmeans", n_clusters=500)

    async def fire(number: int, **fields: Any) -> dict[str, Any]:
        job_id = f"job_{number}"
        await queue(context, command(job_id, triggered_at=START + timedelta(minutes=number), **fields))
        await eventually(ended(context, job_id))
        return await trigger_row(context)

    async with running(Act(context)):
        assert (await fire(0))["consecutive_failures"] == 0  # a success forgets
        for number in range(1, 5):
            state = await fire(number, action_config=bad)
            assert (state["consecutive_failures"], state["status"]) == (number, "active")
        state = await fire(5, action_config=bad)
        assert (state["consecutive_failures"], state["status"]) == (5, "failed")
        # One that stands still is not due at any time.
        assert (state["next_scheduled_at"], state["next_due_at"], state["buffered_at"]) == (None, None, None)
    assert (state["successful_executions"], state["total_executions"]) == (1, 6)


async def test_an_older_job_ending_late_does_not_hide_the_newest(context: Context) -> None:
    await add_trigger(context, pending_job_id="job_2")
    await add_documents(context, TEXTS)
    await queue(context, command("job_1"))
    await queue(context, command("job_2", triggered_at=START + timedelta(minutes=1)))
    async with running(Act(context)):
        await eventually(ended(context, "job_2"))
    state = await trigger_row(context)
    assert (state["last_job_id"], state["pending_job_id"]) == ("job_2", None)
    await queue(context, command("job_0", triggered_at=START - timedelta(minutes=1)))
    async with context.database.connection() as connection:
        # As if job_2 were the trigger's newest fire, still to come.
        await connection.execute(
            "UPDATE trigger_state SET last_triggered_at = %s, last_job_id = 'job_2',"
            " last_execution_status = 'pending', pending_job_id = 'job_2'",
            (START + timedelta(minutes=1),),
        )
    async with running(Act(context)):
        await eventually(ended(context, "job_0"))
    state = await trigger_row(context)
    assert (state["last_job_id"], state["last_execution_status"]) == ("job_2", "pending")
    assert state["pending_job_id"] == "job_2"
    assert state["total_executions"] == 3


@pytest.mark.kill
@pytest.mark.parametrize("point", ["act:after-claim", "act:before-step", "act:after-step", "act:before-commit"])
async def test_a_killed_worker_loses_and_doubles_nothing(context: Context, point: str) -> None:
    await add_trigger(context, pending_job_id="job_1")
    await add_documents(context, TEXTS)
    await queue(context, command(), baseline_sketch=b"new")
    await killed(context.settings, "act", point, job_lease_seconds="1")
    assert (await job_row(context))["status"] == "processing"
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert run["completed_at"] is None
    async with running(Act(replace(context, clock=utc_now))):
        await eventually(ended(context))
    job = await job_row(context)
    assert (job["status"], job["claim_epoch"]) == ("completed", 2)
    state = await trigger_row(context)
    assert (state["successful_executions"], state["total_executions"], state["pending_job_id"]) == (1, 1, None)
    told = await results(context)
    assert [result.status for result in told] == ["pending", "processing", "processing", "completed"]
    assert [result.revision for result in told] == [1, 2, 3, 4]
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert (run["status"], run["num_clusters"], run["num_points"]) == ("completed", 2, 40)
    assert sum(centroid["num_members"] for centroid in run["centroids"]) == 40


async def test_a_broken_action_fails_its_job_and_the_station_goes_on(
    context: Context, install: Callable[..., None]
) -> None:
    install(lambda _: None, None)  # a function no child can find
    await add_documents(context, TEXTS)
    await queue(context, command(action_type="test"))
    async with running(Act(context)):
        await eventually(ended(context))
        assert (await job_row(context))["status"] == "failed"
        await queue(context, command("job_2"))
        await eventually(ended(context, "job_2"))
    assert (await job_row(context, "job_2"))["status"] == "completed"


async def test_a_command_without_a_job_row_makes_one_and_runs(context: Context) -> None:
    await add_trigger(context)
    await add_documents(context, TEXTS)
    act = Act(context)
    await act.receive(command().encode())
    assert (await job_row(context))["status"] == "pending"
    await act.receive(command().encode())
    async with running(act):
        await eventually(ended(context))
    state = await trigger_row(context)
    assert (state["total_executions"], state["last_job_id"]) == (1, "job_1")
    await act.receive(command().encode())
    assert (await job_row(context))["status"] == "completed"


async def test_a_command_wakes_the_station(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.act.station.POLL_SECONDS", 3_600.0)
    await add_documents(context, TEXTS)
    act = Act(context)
    async with running(act):
        await act.receive(command().encode())
        await eventually(ended(context))
        await queue(context, command("job_2"))  # by notification
        await eventually(ended(context, "job_2"))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"job_id": 1}',
        command().encode().replace(b"job_1", b"job_\\u0000"),
        command(action_config={"a": "\x00"}).encode(),
        command(job_id="\x00").encode(),
        command().encode().replace(b"drift", b"\\ud800"),
    ],
)
async def test_receive_drops_what_is_no_command(context: Context, value: bytes | None) -> None:
    act = Act(context)
    await act.receive(value)
    async with context.database.connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM jobs")).fetchone() == (0,)
    await act.receive(command().encode())
    assert (await job_row(context))["status"] == "pending"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_receive_never_raises(database_url: str, value: bytes) -> None:
    configuration = Settings(database=database_url)
    # The pool stays closed: garbage must not get as far as the database.
    closed = Context(configuration, Broker(configuration), Database(configuration))
    asyncio.run(Act(closed).receive(value))


async def test_a_command_survives_a_database_that_is_away(context: Context) -> None:
    act = Act(context)
    # A closed pool answers like a database that is not there.
    await context.database.__aexit__()
    await act.receive(command().encode())
    assert [waiting.job_id for waiting in act.unsaved] == ["job_1"]
