from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from mixpeek.models.shared_clusters_triggers_models_trigger_model import SharedClustersTriggersModelsTriggerModel
from mixpeek.models.shared_triggers_models_list_triggers_response import SharedTriggersModelsListTriggersResponse
from mixpeek.models.shared_triggers_models_trigger_model import SharedTriggersModelsTriggerModel
from mixpeek.models.task_response import TaskResponse

from schemas.times import format_instant
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.definitions import find_definition
from tests.api import make
from tests.api.conftest import NOW
from tests.api.make import made, places, refused

SCHEDULES: dict[str, dict[str, Any]] = {
    "cron": {"cron_expression": "0 2 * * *", "timezone": "Europe/Berlin"},
    "interval": {"interval_seconds": 3600},
    "event": {"event_type": "documents_added", "event_threshold": 100},
    "conditional": {"condition_type": "drift", "threshold": 0.3},
}
FIELDS = {
    *("trigger_id", "namespace_id", "internal_id", "action_type", "action_config", "trigger_type"),
    *("schedule_config", "status", "last_triggered_at", "next_scheduled_at", "last_cooldown_at"),
    *("last_condition_check_at", "last_execution_task_id", "last_execution_status", "last_execution_error"),
    *("execution_count", "consecutive_failures", "event_counter", "baseline_snapshot"),
    *("last_drift_measurement", "last_volume_measurement", "name", "description", "created_by"),
    *("created_at", "updated_at", "is_overdue"),
}


async def trigger(api: httpx.AsyncClient, kind: str = "interval", **more: Any) -> dict[str, Any]:
    body = {
        "action_type": "cluster",
        "action_config": {"cluster_id": "topics"},
        "trigger_type": kind,
        "schedule_config": SCHEDULES[kind],
        **more,
    }
    return await made(api, "/v1/triggers", body)


@pytest.fixture
async def news(api: httpx.AsyncClient) -> dict[str, Any]:
    """A collection with a cluster over it."""
    collection = await make.collection(api)
    await make.cluster(api, "news")
    return collection


@pytest.mark.parametrize("kind", SCHEDULES)
async def test_create_get_and_the_sdk_reads_it(
    api: httpx.AsyncClient, news: dict[str, Any], here: Context, kind: str
) -> None:
    one = await trigger(api, kind, name="t", description="d")
    assert set(one) == FIELDS
    assert (await api.get(f"/v1/triggers/{one['trigger_id']}")).json() == one
    read = SharedTriggersModelsTriggerModel.from_dict(one)
    assert read is not None
    assert read.is_overdue is False
    assert one["internal_id"].startswith("int_")
    assert one["action_config"]["cluster_id"].startswith("clust_")
    due = {"cron": "2026-03-03T01:00:00.000Z", "interval": format_instant(NOW + timedelta(hours=1)), "event": None}
    if kind in due:
        assert one["next_scheduled_at"] == due[kind]
    assert "watched_collection_ids" not in orjson.dumps(one).decode()
    async with here.database.connection() as connection:
        stored = await find_definition(connection, "trigger", one["namespace_id"], one["trigger_id"])
    assert stored is not None
    assert stored.body["watched_collection_ids"] == [news["collection_id"]]


async def test_defaults_and_extensions_of_a_conditional_schedule(
    api: httpx.AsyncClient, news: dict[str, Any]
) -> None:
    one = await trigger(api, "conditional", schedule_config={**SCHEDULES["conditional"], "collection_id": "news"})
    assert one["schedule_config"] == {
        "condition_type": "drift",
        "threshold": 0.3,
        "metric": "cosine_drift",
        "check_interval_seconds": 3600,
        "collection_id": news["collection_id"],
        "cooldown_seconds": 0,
        "feature_uri": "mixpeek://hashing@v1/words",
        "time_domain": "processing_time",
        "min_sample": 100,
        "allowed_lateness_seconds": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "status", "location"),
    [
        ({"trigger_type": "sometimes"}, 422, ["body", "trigger_type"]),
        ({"status": "disabled"}, 422, ["body", "status"]),
        ({"schedule_config": {}}, 422, ["body", "schedule_config", "interval_seconds"]),
        ({"schedule_config": {"interval_seconds": 0}}, 422, ["body", "schedule_config", "interval_seconds"]),
        ({"schedule_config": {"interval_seconds": 9, "x": 1}}, 422, ["body", "schedule_config", "x"]),
        (
            {"trigger_type": "cron", "schedule_config": {"cron_expression": "* *"}},
            422,
            ["body", "schedule_config", "cron_expression"],
        ),
        (
            {"trigger_type": "cron", "schedule_config": {"cron_expression": "61 * * * *"}},
            422,
            ["body", "schedule_config"],
        ),
        (
            {"trigger_type": "cron", "schedule_config": {"cron_expression": "* * * * *", "timezone": "Mars/X"}},
            422,
            ["body", "schedule_config", "timezone"],
        ),
        (
            {"trigger_type": "conditional", "schedule_config": {"condition_type": "volume"}},
            422,
            ["body", "schedule_config", "threshold"],
        ),
        (
            {"trigger_type": "conditional", "schedule_config": {"condition_type": "drift", "field": "price"}},
            422,
            ["body", "schedule_config", "field_type"],
        ),
        (
            {
                "trigger_type": "conditional",
                "schedule_config": {"condition_type": "drift", "field": "price", "metric": "psi"},
            },
            422,
            ["body", "schedule_config"],
        ),
        (
            {
                "trigger_type": "conditional",
                "schedule_config": {"condition_type": "drift", "baseline": {"from": "2018-01-01T00:00:00"}},
            },
            422,
            ["body", "schedule_config", "baseline", "from"],
        ),
        (
            {
                "trigger_type": "conditional",
                "schedule_config": {
                    "condition_type": "drift",
                    "baseline": {"until": "2018-01-01T00:00:00Z"},
                    "baseline_seconds": 60,
                },
            },
            422,
            ["body", "schedule_config"],
        ),
        (
            {
                "trigger_type": "conditional",
                "schedule_config": {"condition_type": "drift", "threshold": 1, "metric": "vibes"},
            },
            422,
            ["body", "schedule_config"],
        ),
        (
            {"trigger_type": "event", "schedule_config": {"event_type": "documents_added", "collection_id": "no"}},
            404,
            None,
        ),
        ({"action_config": {}}, 422, ["body", "action_config", "cluster_id"]),
        ({"action_config": {"cluster_id": "no"}}, 404, None),
        (
            {"action_config": {"cluster_id": "topics", "mode": "composite"}},
            422,
            ["body", "action_config", "source_execution_ids"],
        ),
    ],
)
async def test_a_wrong_trigger_is_refused(
    api: httpx.AsyncClient, news: dict[str, Any], change: dict[str, Any], status: int, location: list[Any] | None
) -> None:
    body = {
        "action_type": "cluster",
        "action_config": {"cluster_id": "topics"},
        "trigger_type": "interval",
        "schedule_config": {"interval_seconds": 60},
        **change,
    }
    kinds = {422: "ValidationError", 404: "NotFoundError", 403: "NotEnabledError"}
    error = refused(await api.post("/v1/triggers", json=body), status, kinds[status])
    if location is not None:
        assert places(error)[0][1] == location


async def test_patch_knows_four_fields(api: httpx.AsyncClient, news: dict[str, Any], here: Context) -> None:
    one = await trigger(api, "conditional")
    path = f"/v1/triggers/{one['trigger_id']}"
    for field in ("action_config", "action_type", "trigger_type", "nonsense"):
        error = refused(await api.patch(path, json={field: {}}), 422, "ValidationError")
        assert places(error) == [("extra_forbidden", ["body", field])]
    async with here.database.connection() as connection:
        await connection.execute("UPDATE trigger_state SET baseline_sketch = 'x', baseline_snapshot = '{}'")
    slower = {**SCHEDULES["conditional"], "check_interval_seconds": 7200}
    changed = (await api.patch(path, json={"name": "n", "description": "d", "schedule_config": slower})).json()
    assert (changed["name"], changed["description"]) == ("n", "d")
    assert changed["schedule_config"]["check_interval_seconds"] == 7200
    assert changed["next_scheduled_at"] == "2026-03-02T14:00:00.000Z"
    assert changed["baseline_snapshot"] == {}
    # Another metric measures another thing: the old baseline says nothing about it.
    other = {**slower, "metric": "mmd"}
    assert (await api.patch(path, json={"schedule_config": other})).json()["baseline_snapshot"] is None
    async with here.database.connection() as connection:
        await connection.execute("UPDATE trigger_state SET baseline_snapshot = '{}', window_until = now()")
    # By hand: from here on.
    anew = {**other, "baseline": {"from": "2026-03-02T00:00:00Z"}}
    changed = (await api.patch(path, json={"schedule_config": anew})).json()
    assert changed["baseline_snapshot"] is None
    assert changed["schedule_config"]["baseline"] == {"from": "2026-03-02T00:00:00.000Z"}
    async with here.database.connection() as connection:
        assert await fetch_value(connection, "SELECT window_until FROM trigger_state") is None
    refused(await api.patch(path, json={"status": "failed"}), 422, "ValidationError")


async def test_pause_resume_delete(api: httpx.AsyncClient, news: dict[str, Any], here: Context) -> None:
    start_now = {"interval_seconds": 60, "start_immediately": True}
    one = await trigger(api, schedule_config=start_now)
    assert one["next_scheduled_at"] == format_instant(NOW)
    path = f"/v1/triggers/{one['trigger_id']}"
    paused = (await api.post(f"{path}/pause")).json()
    assert (paused["status"], paused["next_scheduled_at"], paused["is_overdue"]) == ("paused", None, False)
    resumed = (await api.post(f"{path}/resume")).json()
    assert resumed["status"] == "active"
    # Counted from now, and it does not start at once a second time.
    assert resumed["next_scheduled_at"] == format_instant(NOW + timedelta(seconds=60))
    async with here.database.connection() as connection:
        await connection.execute("UPDATE trigger_state SET next_scheduled_at = %s", (NOW - timedelta(seconds=1),))
    assert (await api.get(path)).json()["is_overdue"] is True
    gone = await api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert gone.headers["X-Definitions-Version"]
    assert gone.headers["X-Write-Token"]
    shown = (await api.get(path)).json()
    assert (shown["status"], shown["next_scheduled_at"], shown["is_overdue"]) == ("disabled", None, False)
    refused(await api.post(f"{path}/execute"), 409, "ConflictError")
    refused(await api.delete("/v1/triggers/trig_none"), 404, "NotFoundError")


async def test_execute_queues_a_job_that_is_a_task(
    api: httpx.AsyncClient, news: dict[str, Any], here: Context
) -> None:
    one = await trigger(api, status="paused")
    path = f"/v1/triggers/{one['trigger_id']}"
    tasks = [(await api.post(f"{path}/execute")).json() for _ in range(2)]
    assert tasks[0]["task_id"] != tasks[1]["task_id"]
    for task in tasks:
        read = TaskResponse.from_dict(task)
        assert read is not None
        assert (task["task_type"], task["status"]) == ("engine_cluster_build", "PENDING")
        assert (await api.get(f"/v1/tasks/{task['task_id']}")).json()["status"] == "PENDING"
    shown = (await api.get(path)).json()
    assert shown["last_execution_task_id"] == tasks[1]["task_id"]
    assert shown["last_execution_status"] == "pending"
    assert shown["next_scheduled_at"] is None
    async with here.database.connection() as connection:
        sent = await (
            await connection.execute("SELECT value FROM outbox WHERE topic = 'trigger-commands' ORDER BY id")
        ).fetchall()
        await connection.execute("UPDATE jobs SET status = 'failed', error = 'boom'")
    assert [orjson.loads(row[0])["job_id"] for row in sent] == [task["task_id"] for task in tasks]
    failed = (await api.get(f"/v1/tasks/{tasks[0]['task_id']}")).json()
    assert (failed["status"], failed["error"]) == ("FAILED", "boom")
    refused(await api.get("/v1/tasks/none"), 404, "NotFoundError")


async def test_lists_filter_and_window(api: httpx.AsyncClient, news: dict[str, Any]) -> None:
    ids = [(await trigger(api, kind, name=kind))["trigger_id"] for kind in SCHEDULES]
    await api.post(f"/v1/triggers/{ids[0]}/pause")
    page = (await api.post("/v1/triggers/list")).json()
    assert SharedTriggersModelsListTriggersResponse.from_dict(page) is not None
    assert [item["trigger_id"] for item in page["results"]] == ids[::-1]
    assert (page["total"], page["offset"], page["limit"]) == (4, 0, 50)
    cluster_id = page["results"][0]["action_config"]["cluster_id"]
    for wanted, found in (
        ({"trigger_type": "event"}, [ids[2]]),
        ({"status": "paused"}, [ids[0]]),
        ({"resource_id": "clust_other"}, []),
        ({"resource_id": cluster_id, "limit": 1, "offset": 1, "direction": "asc"}, [ids[1]]),
    ):
        page = (await api.post("/v1/triggers/list", json=wanted)).json()
        assert [item["trigger_id"] for item in page["results"]] == found
        same = (await api.get("/v1/triggers", params={**wanted, "namespace": "default"})).json()
        assert same == page
    refused(await api.post("/v1/triggers/list", json={"limit": 0}), 422, "ValidationError")
    refused(await api.post("/v1/triggers/list", json={"sort_by": "secret"}), 422, "ValidationError")


async def test_cluster_trigger_by_cluster_copies_what_it_runs(
    api: httpx.AsyncClient, news: dict[str, Any], here: Context
) -> None:
    body = {"trigger_type": "event", "schedule_config": SCHEDULES["event"], "cluster_id": "topics"}
    one = await made(api, "/v1/clusters/triggers", body)
    read = SharedClustersTriggersModelsTriggerModel.from_dict(one)
    assert read is not None
    assert one["execution_config"] == {
        "collection_ids": [news["collection_id"]],
        "config": {
            "algorithm": "kmeans",
            "n_clusters": 4,
            "feature_uri": "mixpeek://hashing@v1/words",
            "normalize_features": True,
        },
    }
    assert not {"is_overdue", "name", "baseline_snapshot", "watched_collection_ids"} & set(one)
    path = f"/v1/clusters/triggers/{one['trigger_id']}"
    assert (await api.get(path)).json() == one
    # The two families do not see each other's triggers.
    refused(await api.get(f"/v1/triggers/{one['trigger_id']}"), 404, "NotFoundError")
    assert (await api.post(f"{path}/pause")).json()["status"] == "paused"
    assert (await api.patch(path, json={"status": "active", "description": "d"})).json()["status"] == "active"
    for field in ("trigger_type", "cluster_id", "execution_config", "name"):
        refused(await api.patch(path, json={field: "x"}), 422, "ValidationError")
    async with here.database.connection() as connection:
        await connection.execute("UPDATE trigger_state SET total_executions = 3, successful_executions = 2")
    listed = (await api.post("/v1/clusters/triggers/list", json={"cluster_id": one["cluster_id"]})).json()
    assert [item["execution_count"] for item in listed["results"]] == [3]
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).json()["status"] == "disabled"


async def test_cluster_trigger_by_execution_config(api: httpx.AsyncClient, news: dict[str, Any]) -> None:
    body: dict[str, Any] = {"trigger_type": "interval", "schedule_config": {"interval_seconds": 60}}
    path = "/v1/clusters/triggers"
    config = {"algorithm": "hdbscan", "min_cluster_size": 3}
    one = await made(api, path, {**body, "execution_config": {"collection_ids": ["news"], "config": config}})
    assert one["execution_config"] == {"collection_ids": [news["collection_id"]], "config": config}
    assert one["cluster_id"] is None
    assert SharedClustersTriggersModelsTriggerModel.from_dict(one) is not None
    for wrong, place in (
        ({}, ["body", "execution_config"]),
        (
            {"execution_config": {"collection_ids": ["news"], "config": {"algorithm": "kmeans"}}},
            ["body", "execution_config", "config", "n_clusters"],
        ),
        (
            {"execution_config": {"collection_ids": ["news"], "config": {**config, "eps": 1}}},
            ["body", "execution_config", "config", "eps"],
        ),
        ({"execution_config": {"collection_ids": [], "config": config}}, None),
    ):
        error = refused(await api.post(path, json={**body, **wrong}), 422, "ValidationError")
        if place is not None:
            assert places(error)[0][1] == place


async def test_a_trigger_may_cluster_a_part_of_a_collection(api: httpx.AsyncClient, news: dict[str, Any]) -> None:
    one = await trigger(api, action_config={"cluster_id": "topics", "filters": {"lang": "en"}})
    assert one["action_config"]["filters"] == {"lang": "en"}
    body = {
        "action_type": "cluster",
        "action_config": {"cluster_id": "topics", "filters": {"NOT": 1}},
        "trigger_type": "interval",
        "schedule_config": SCHEDULES["interval"],
    }
    error = refused(await api.post("/v1/triggers", json=body), 422, "ValidationError")
    assert places(error) == [("value_error", ["body", "action_config", "filters"])]


@pytest.mark.parametrize("path", ["/v1/triggers/list", "/v1/clusters/triggers/list"])
async def test_a_list_refuses_what_the_database_cannot_hold(api: httpx.AsyncClient, path: str) -> None:
    for offset in (2**53 + 1, 1 << 63, 10**20):
        refused(await api.post(path, json={"offset": offset}), 422, "ValidationError")
    assert (await api.post(path, json={"offset": 2**53})).json()["results"] == []


async def test_a_list_refuses_the_same_in_the_query(api: httpx.AsyncClient) -> None:
    refused(await api.get("/v1/triggers?offset=99999999999999999999"), 422, "ValidationError")
    assert (await api.get("/v1/triggers?resource_id=%00")).status_code == 400
