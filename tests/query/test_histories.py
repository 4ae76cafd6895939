"""What triggers of both families ran."""

from datetime import timedelta
from typing import Any

from mixpeek.models.shared_clusters_triggers_models_trigger_history_response import (
    SharedClustersTriggersModelsTriggerHistoryResponse,
)
from mixpeek.models.shared_triggers_models_trigger_history_response import (
    SharedTriggersModelsTriggerHistoryResponse,
)

from schemas.events.trigger import TriggerFamily, TriggerResult
from schemas.topics import TRIGGER_RESULTS
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.query.asking import body, missing, parsed
from tests.query.support import NAMESPACE, NOON, apply, client, define_namespace


def fired(number: int, family: TriggerFamily) -> TriggerResult:
    done = number % 2 == 0
    return TriggerResult(
        job_id=f"job_{family}_{number}",
        trigger_id=f"trig_{family}",
        namespace_id=NAMESPACE,
        family=family,
        action_type="cluster",
        status="completed" if done else "failed",
        revision=2,
        nominal_at=NOON,
        triggered_at=NOON + timedelta(hours=number),
        reason="cosine_drift 0.4 exceeds 0.3",
        execution_time_ms=1200 + number,
        error=None if done else "no documents",
        num_clusters=8 if done else None,
        num_documents=90 if done else None,
        fired_by="condition",
    )


async def define_trigger(context: Context, family: TriggerFamily) -> None:
    async with context.database.transaction() as connection:
        await put_definition(connection, family, NAMESPACE, f"trig_{family}", None, {"trigger_id": "x"})


async def test_cluster_trigger_history(context: Context) -> None:
    await define_namespace(context)
    await define_trigger(context, "cluster_trigger")
    await apply(context, TRIGGER_RESULTS, *(fired(n, "cluster_trigger").encode() for n in range(5)))
    path = "/v1/clusters/triggers/trig_cluster_trigger/history"
    async with client(context) as http:
        plain = await http.post(path, headers={"Content-Type": "application/json"})
        assert plain.status_code == 200
        found = plain.json()
        parsed(SharedClustersTriggersModelsTriggerHistoryResponse, found)
        assert (found["trigger_id"], found["total"], found["offset"], found["limit"]) == (
            "trig_cluster_trigger",
            5,
            0,
            50,
        )
        assert [item["job_id"][-1] for item in found["executions"]] == ["4", "3", "2", "1", "0"]
        assert found["executions"][0] == {
            "job_id": "job_cluster_trigger_4",
            "triggered_at": "2024-05-01T16:00:00.000Z",
            "nominal_at": "2024-05-01T12:00:00.000Z",
            "status": "completed",
            "execution_time_ms": 1204,
            "error": None,
            "num_clusters": 8,
            "num_documents": 90,
            "reason": "cosine_drift 0.4 exceeds 0.3",
            "fired_by": "condition",
        }
        failed = (await http.post(path, json={"status_filter": "FAILED", "limit": 1, "offset": 1})).json()
        assert failed["total"] == 2
        assert [item["job_id"] for item in failed["executions"]] == ["job_cluster_trigger_1"]
        nulls = await http.post(path, json={"offset": None, "limit": None, "status_filter": None})
        assert nulls.json()["executions"] == found["executions"]
        wrong: list[Any] = [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"status": "failed"}, []]
        wrong += [{"status_filter": "a\x00"}, {"offset": 1 << 63}]
        for bad in wrong:
            assert (await http.post(path, json=bad)).status_code == 422, bad
        unknown = await http.post("/v1/clusters/triggers/trig_none/history")
        assert unknown.status_code == 404
        # The other family's trigger is not one of these.
        await define_trigger(context, "trigger")
        assert (await http.post("/v1/clusters/triggers/trig_trigger/history")).status_code == 404


async def test_trigger_history(context: Context) -> None:
    await define_namespace(context)
    await define_trigger(context, "trigger")
    await apply(context, TRIGGER_RESULTS, *(fired(n, "trigger").encode() for n in range(3)))
    async with client(context) as http:
        found = await body(http, "/v1/triggers/trig_trigger/history", limit=2, offset=1)
        parsed(SharedTriggersModelsTriggerHistoryResponse, found)
        assert [item["task_id"] for item in found["executions"]] == ["job_trigger_1", "job_trigger_0"]
        assert (found["total"], found["offset"], found["limit"]) == (3, 1, 2)
        assert found["executions"][0]["error"] == "no documents"
        failed = await body(http, "/v1/triggers/trig_trigger/history", status_filter="FAILED")
        assert (failed["total"], [item["task_id"] for item in failed["executions"]]) == (1, ["job_trigger_1"])
        assert (await http.get("/v1/triggers/trig_trigger/history?limit=0")).status_code == 422
        assert await missing(http, "/v1/triggers/trig_none/history")


async def test_runs_decided_at_once_are_in_the_order_of_their_nominal_times(context: Context) -> None:
    await define_namespace(context)
    await define_trigger(context, "trigger")
    hours = (3, 1, 2)
    runs = [
        fired(0, "trigger").model_copy(update={"job_id": f"job_{n}", "nominal_at": NOON + timedelta(hours=n)})
        for n in hours
    ]
    grown = runs[0].model_copy(update={"status": "skipped", "revision": 3, "reason": "3 nominal times skipped"})
    # Of one job the highest revision is shown, whatever came last.
    await apply(context, TRIGGER_RESULTS, *(run.encode() for run in (*runs, grown, runs[0])))
    async with client(context) as http:
        found = (await body(http, "/v1/triggers/trig_trigger/history"))["executions"]
    assert [item["task_id"] for item in found] == ["job_3", "job_2", "job_1"]
    assert (found[0]["status"], found[0]["reason"]) == ("skipped", "3 nominal times skipped")
