"""The act station on a real PostgreSQL: claims, outcomes, deaths, and what the trigger's row says after them."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from schemas.ids import derived_id
from streams.act import actions
from streams.act.actions.action import Action, Finish, finished
from streams.act.lease import Job, claim
from streams.act.outcome import Outcome
from streams.act.station import Act
from streams.act.work import Work
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.clock import utc_now
from streams.runtime.database import Database
from streams.runtime.definitions import put_definition
from streams.settings import Settings
from tests.act import work
from tests.act.stations import ended, has_status, running, with_settings
from tests.act.support import (
    NAMESPACE,
    START,
    FakeClock,
    add_documents,
    add_trigger,
    add_vectors,
    command,
    execution,
    job_row,
    queue,
    results,
    row,
    trigger_row,
)
from tests.act.test_pool import gone
from tests.support import eventually
from tests.victim import killed

TEXTS = [f"{'ebola outbreak liberia' if number % 2 else 'yoga running fitness'} {number}" for number in range(40)]


def action_running(function: Callable[[Any], Any], payload: object) -> Action:
    """An action that reads nothing, runs ``function`` and writes nothing."""

    async def run(work: Work) -> Finish:
        await work.compute(function, payload)
        return finished(Outcome(facts={"applied": True}))

    return run


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any], object], None]:
    """Put an action called ``test`` into the registry."""

    def add(function: Callable[[Any], Any], payload: object) -> None:
        registry = {**actions.ACTIONS, "test": action_running(function, payload)}
        monkeypatch.setattr(actions, "ACTIONS", registry)

    return add


async def test_a_fire_becomes_a_stored_clustering(context: Context, clock: FakeClock) -> None:
    await add_trigger(context, pending_job_id="job_1", baseline_sketch=b"old")
    await add_documents(context, TEXTS, partitions=3)
    snapshot = {"count": 40}
    await queue(context, command(), baseline_sketch=b"new", baseline_snapshot=snapshot)
    async with running(Act(context)):
        await eventually(ended(context))

    job = await job_row(context)
    assert job["status"] == "completed"
    assert (job["lease_owner"], job["error"], job["attempts"], job["claim_epoch"]) == (None, None, 1, 1)
    run_id = derived_id("run_", "job_1")
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert (run["run_id"], run["cluster_id"]) == (run_id, derived_id("clust_", "trig_1"))
    assert (run["status"], run["num_clusters"], run["num_points"]) == ("completed", 2, 40)
    assert run["positions"] == {"0": 14, "1": 13, "2": 13}
    assert -1 <= run["metrics"]["silhouette_score"] <= 1
    direct = KMeans(2, n_init=10, random_state=42).fit(HashingEmbedder().embed(TEXTS))
    async with context.database.connection() as connection:
        members = await (
            await connection.execute(
                "SELECT collection_id, document_id, cluster FROM cluster_members WHERE run_id = %s ORDER BY 2",
                (run_id,),
            )
        ).fetchall()
    assert members == [("col_a", f"d{n:06}", label) for n, label in enumerate(direct.labels_.tolist())]
    for centroid in run["centroids"]:
        assert np.allclose(
            centroid["centroid_vector"], direct.cluster_centers_[int(centroid["cluster_id"])], atol=1e-6
        )
        assert centroid["num_members"] == 20
        assert centroid["summary"] in TEXTS
    assert {frozenset(c["keywords"]) for c in run["centroids"]} == {
        frozenset(("ebola", "outbreak", "liberia")),
        frozenset(("yoga", "running", "fitness")),
    }

    state = await trigger_row(context)
    assert (state["last_execution_status"], state["last_job_id"]) == ("completed", "job_1")
    assert (state["successful_executions"], state["total_executions"], state["consecutive_failures"]) == (1, 1, 0)
    assert state["pending_job_id"] is None
    assert state["baseline_snapshot"] == snapshot
    assert state["baseline_sketch"] == "\\x" + b"new".hex()

    told = await results(context)
    assert [(result.status, result.revision) for result in told] == [
        ("pending", 1),
        ("processing", 2),
        ("completed", 3),
    ]
    assert (told[-1].num_clusters, told[-1].num_documents, told[-1].error) == (2, 40, None)
    assert told[-1].execution_time_ms == 0  # the test's clock stands still
    assert told[-1].outcome is not None
    assert told[-1].outcome["run_id"] == run_id


async def test_a_cluster_definition_over_vectors_with_filters(context: Context) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(60, 8)).astype(np.float32)
    await add_trigger(context, family="trigger")
    await add_documents(
        context,
        [None] * 60,
        payloads=[{"text": f"words of {n}", "source": "bbc" if n % 3 else "cnn"} for n in range(60)],
    )
    await add_vectors(context, vectors)
    body = {
        "cluster_id": "clust_1",
        "collection_ids": ["col_a"],
        "cluster_type": "vector",
        "vector_config": {
            "feature_uri": "mixpeek://test@v1/v",
            "clustering_method": "kmeans",
            "kmeans_parameters": {"n_clusters": 4},
            "normalize_features": False,
        },
        "filters": {"source": "bbc"},
    }
    async with context.database.transaction() as connection:
        await put_definition(connection, "cluster", NAMESPACE, "clust_1", "c", body)
    await queue(context, command(family="trigger", action_config={"cluster_id": "clust_1"}))
    async with running(Act(context)):
        await eventually(ended(context))
    chosen = [n for n in range(60) if n % 3]
    direct = KMeans(4, n_init=10, random_state=42).fit(vectors[chosen])
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None, await job_row(context)
    assert run["cluster_id"] == "clust_1"
    async with context.database.connection() as connection:
        rows = await (
            await connection.execute("SELECT document_id, cluster FROM cluster_members ORDER BY 1")
        ).fetchall()
    assert rows == [(f"d{n:06}", label) for n, label in zip(chosen, direct.labels_.tolist(), strict=True)]
    assert all(centroid["summary"].startswith("words of") for centroid in run["centroids"])


async def test_until_hides_what_occurred_later(context: Context) -> None:
    await add_trigger(context)
    await add_documents(context, TEXTS, partitions=2)
    await queue(context, command(until=START + timedelta(hours=10)))
    async with running(Act(context)):
        await eventually(ended(context))
    run = await row(context, "cluster_runs", "job_id", "job_1")
    assert run is not None
    assert run["num_points"] == 10  # the document of hour 10 itself is not before it
    assert run["positions"] == {"0": 5, "1": 5}


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
