"""How schedules are kept, as asked for over HTTP: policies, run now and backfill, in both families."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from schemas.times import format_instant, parse_instant
from streams.runtime.agent import Context
from tests.api import make
from tests.api.conftest import NOW
from tests.api.make import made, places, refused

HOURLY = {"cron_expression": "0 * * * *"}
PATHS = ("/v1/triggers", "/v1/clusters/triggers")


@pytest.fixture(autouse=True)
async def news(api: httpx.AsyncClient) -> None:
    """A cluster to run."""
    await make.collection(api)
    await make.cluster(api, "news")


async def trigger(
    api: httpx.AsyncClient, path: str, schedule: dict[str, Any], kind: str = "cron", **more: Any
) -> dict[str, Any]:
    action: dict[str, Any] = {"cluster_id": "topics"}
    if path == "/v1/triggers":
        action = {"action_type": "cluster", "action_config": action}
    return await made(api, path, {**action, "trigger_type": kind, "schedule_config": schedule, **more})


@pytest.mark.parametrize("path", PATHS)
async def test_a_schedule_is_kept_as_asked(api: httpx.AsyncClient, path: str) -> None:
    one = await trigger(api, path, HOURLY)
    assert one["schedule_config"] == {
        "overlap_policy": "skip",
        "catchup_window_seconds": 31_536_000,
        "jitter_seconds": 0,
        "cron_expression": "0 * * * *",
        "timezone": "UTC",
    }
    kept = {"overlap_policy": "buffer_one", "catchup_window_seconds": 600, "jitter_seconds": 60}
    patched = await api.patch(f"{path}/{one['trigger_id']}", json={"schedule_config": {**HOURLY, **kept}})
    assert {key: patched.json()["schedule_config"][key] for key in kept} == kept
    for wrong in ({"overlap_policy": "cancel_other"}, {"catchup_window_seconds": 9}, {"jitter_seconds": -1}):
        answer = await api.patch(f"{path}/{one['trigger_id']}", json={"schedule_config": {**HOURLY, **wrong}})
        error = refused(answer, 422, "ValidationError")
        assert places(error)[0][1] == ["body", "schedule_config", *wrong]


async def test_jitter_makes_nothing_overdue(api: httpx.AsyncClient, here: Context) -> None:
    one = await trigger(api, "/v1/triggers", {**HOURLY, "jitter_seconds": 3_000})
    assert one["next_scheduled_at"] == "2026-03-02T13:00:00.000Z"
    async with here.database.connection() as connection:
        row = await (await connection.execute("SELECT next_due_at FROM trigger_state")).fetchone()
        assert row is not None
        assert NOW + timedelta(minutes=30) < row[0] <= NOW + timedelta(minutes=80)
        for due, overdue in ((NOW + timedelta(seconds=1), False), (NOW - timedelta(seconds=1), True)):
            await connection.execute(
                "UPDATE trigger_state SET next_scheduled_at = %s, next_due_at = %s",
                (NOW - timedelta(hours=1), due),
            )
            shown = (await api.get(f"/v1/triggers/{one['trigger_id']}")).json()
            assert shown["is_overdue"] is overdue


@pytest.mark.parametrize("path", PATHS)
async def test_a_range_is_backfilled_once(api: httpx.AsyncClient, here: Context, path: str) -> None:
    one = await trigger(api, path, HOURLY, status="paused")
    url = f"{path}/{one['trigger_id']}/backfill"
    day = {"start_at": "2026-03-01T00:00:00Z", "end_at": "2026-03-01T03:00:00+01:00"}
    first = (await api.post(url, json=day)).json()
    assert (first["total"], first["queued"], len(set(first["task_ids"]))) == (3, 3, 3)
    assert (first["start_at"], first["end_at"]) == ("2026-03-01T00:00:00.000Z", "2026-03-01T02:00:00.000Z")
    more = (await api.post(url, json={**day, "end_at": "2026-03-01T04:59:59Z"})).json()
    assert (more["total"], more["queued"], more["task_ids"][:3]) == (5, 2, first["task_ids"])
    async with here.database.connection() as connection:
        sent = await (
            await connection.execute("SELECT value FROM outbox WHERE topic = 'trigger-commands' ORDER BY id")
        ).fetchall()
    commands = [orjson.loads(row[0]) for row in sent]
    assert [item["job_id"] for item in commands] == more["task_ids"]
    hours = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in range(5)]
    assert [parse_instant(item["nominal_at"]) for item in commands] == hours
    assert {(item["fired_by"], parse_instant(item["triggered_at"])) for item in commands} == {("backfill", NOW)}
    task = (await api.get(f"/v1/tasks/{more['task_ids'][0]}")).json()
    assert (task["status"], task["additional_data"]["reason"]) == (
        "PENDING",
        "cron '0 * * * *' (UTC) backfilled for 2026-03-01T00:00:00.000Z",
    )


async def test_an_interval_keeps_its_phase_over_a_pause(api: httpx.AsyncClient) -> None:
    one = await trigger(api, "/v1/triggers", {"interval_seconds": 3_600}, "interval")
    url = f"/v1/triggers/{one['trigger_id']}/backfill"
    span = {"start_at": format_instant(NOW - timedelta(hours=2)), "end_at": format_instant(NOW)}
    first = (await api.post(url, json=span)).json()
    assert (first["total"], first["queued"]) == (3, 3)
    await api.post(f"/v1/triggers/{one['trigger_id']}/pause")
    again = (await api.post(url, json=span)).json()
    assert (again["queued"], again["task_ids"]) == (0, first["task_ids"])


async def test_a_wrong_backfill_is_refused(api: httpx.AsyncClient) -> None:
    one = await trigger(api, "/v1/triggers", {"cron_expression": "* * * * *"})
    url = f"/v1/triggers/{one['trigger_id']}/backfill"
    start = {"start_at": "2026-03-01T00:00:00Z"}
    for wrong, place in (
        ({}, ["body", "start_at"]),
        (start, ["body", "end_at"]),
        ({**start, "end_at": "2026-03-01T01:00:00"}, ["body", "end_at"]),
    ):
        assert places(refused(await api.post(url, json=wrong), 422, "ValidationError"))[0][1] == place
    for wrong, place in (
        ({"start_at": "0001-01-01T00:00:00Z", "end_at": "0001-01-02T00:00:00Z"}, ["body", "start_at"]),
        ({"start_at": "9999-12-31T00:00:00Z", "end_at": "9999-12-31T00:00:00Z"}, ["body", "end_at"]),
        ({**start, "end_at": "2026-02-28T00:00:00Z"}, ["body", "end_at"]),
        ({**start, "end_at": "2026-03-02T12:30:01Z"}, ["body", "end_at"]),
        ({**start, "end_at": "2026-03-01T16:40:00Z"}, ["body", "end_at"]),
    ):
        assert places(refused(await api.post(url, json=wrong), 409, "ConflictError"))[0][1] == place
    # A thousand is not too many.
    answer = await api.post(url, json={**start, "end_at": "2026-03-01T16:39:00Z"})
    assert answer.json()["queued"] == 1_000
    event = await trigger(api, "/v1/triggers", {"event_type": "documents_added"}, "event")
    refused(
        await api.post(f"/v1/triggers/{event['trigger_id']}/backfill", json=start | {"end_at": start["start_at"]}),
        409,
        "ConflictError",
    )
    refused(
        await api.post("/v1/triggers/trig_no/backfill", json=start | {"end_at": start["start_at"]}),
        404,
        "NotFoundError",
    )
    await api.delete(f"/v1/triggers/{one['trigger_id']}")
    refused(await api.post(url, json=start | {"end_at": start["start_at"]}), 409, "ConflictError")


@pytest.mark.parametrize("path", PATHS)
async def test_run_now_in_both_families(api: httpx.AsyncClient, path: str) -> None:
    one = await trigger(api, path, HOURLY, status="paused")
    url = f"{path}/{one['trigger_id']}"
    task = (await api.post(f"{url}/execute")).json()
    assert (task["task_type"], task["status"]) == ("engine_cluster_build", "PENDING")
    shown = (await api.get(url)).json()
    assert shown.get("last_execution_task_id", shown.get("last_execution_job_id")) == task["task_id"]
    assert (shown["status"], shown["next_scheduled_at"]) == ("paused", None)


async def test_a_failed_trigger_is_brought_back_by_its_status(api: httpx.AsyncClient, here: Context) -> None:
    one = await trigger(api, "/v1/triggers", HOURLY)
    async with here.database.connection() as connection:
        await connection.execute(
            "UPDATE trigger_state SET status = 'failed', consecutive_failures = 5, buffered_at = now(),"
            " next_scheduled_at = '2020-01-01Z'"
        )
    url = f"/v1/triggers/{one['trigger_id']}"
    shown = (await api.get(url)).json()
    assert (shown["status"], shown["is_overdue"]) == ("failed", False)
    back = (await api.patch(url, json={"status": "active"})).json()
    assert (back["status"], back["consecutive_failures"], back["next_scheduled_at"], back["is_overdue"]) == (
        "active",
        0,
        "2026-03-02T13:00:00.000Z",
        False,
    )
