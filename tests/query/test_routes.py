"""The read endpoints over a real database, in the shapes the official SDK parses."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from mixpeek.models.alert_execution_list_response import AlertExecutionListResponse
from mixpeek.models.alert_execution_result import AlertExecutionResult
from mixpeek.models.cluster_execution_result import ClusterExecutionResult
from mixpeek.models.cluster_groups_response import ClusterGroupsResponse
from mixpeek.models.execution_detail import ExecutionDetail
from mixpeek.models.list_cluster_executions_response import ListClusterExecutionsResponse
from mixpeek.models.list_executions_response import ListExecutionsResponse
from mixpeek.models.shared_clusters_triggers_models_trigger_history_response import (
    SharedClustersTriggersModelsTriggerHistoryResponse,
)
from mixpeek.models.shared_triggers_models_trigger_history_response import (
    SharedTriggersModelsTriggerHistoryResponse,
)
from psycopg.types.json import Jsonb

from schemas.events.alert_result import AlertResultRecord, Found, encode_alert_result
from schemas.events.notification import DeliveryRecord
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.events.trigger import TriggerFamily, TriggerResult
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS, NOTIFICATIONS, RETRIEVER_EXECUTIONS, TRIGGER_RESULTS
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version, put_definition
from tests.query.support import (
    NAMESPACE,
    NOON,
    apply,
    client,
    define_alert,
    define_collection,
    define_namespace,
    define_retriever,
    delete,
    hit,
    progress,
    result,
)

URI = "mixpeek://hashing@v1/words"


async def put(context: Context, *records: AlertResultRecord) -> None:
    await apply(context, ALERT_RESULTS, *(encode_alert_result(record) for record in records))


async def body(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await http.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def parsed(model: Any, raw: Any) -> Any:
    """``raw`` as the SDK reads it."""
    found = model.from_dict(raw)
    assert found is not None
    return found


async def missing(http: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> bool:
    response = await http.get(path, headers=headers)
    if response.status_code != 404:
        return False
    error = response.json()
    return error["success"] is False and error["error"]["type"] == "NotFoundError"


async def test_the_latest_result_is_the_newest_execution(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await define_collection(context, "alt_a")
    newest = result(5, hit(alert, 0.5), at=NOON + timedelta(days=2))
    await put(context, result(1, hit(alert)), newest, result(2, hit(alert), at=NOON + timedelta(days=1)))
    await apply(context, MATCH_PROGRESS, progress(9, next_offset=6).encode())
    identifier = execution_id(newest.base, alert.record.number)
    delivery = DeliveryRecord(
        namespace_id=NAMESPACE,
        alert_id="alt_a",
        execution_id=identifier,
        channel_index=0,
        channel_type="webhook",
        status="failed",
        attempt=2,
        at=NOON,
        error="connection refused",
    )
    await apply(context, NOTIFICATIONS, delivery.encode())
    async with client(context) as http:
        found = await body(http, "/v1/alerts/alt_a/results")
        assert await body(http, "/v1/alerts/a/results") == found
        through = found.pop("checked_through")
        assert await body(http, f"/v1/alerts/executions/{identifier}") == found
    read = parsed(AlertExecutionResult, found)
    assert (read.execution_id, read.triggered, read.match_count) == (identifier, True, 1)
    assert found["executed_at"] == "2024-05-03T12:00:00.007Z"
    assert found["source_documents"] == ["doc_5"]
    assert found["collection_id"] == "col_a"
    assert found["reason"] == "severity is 5"
    assert found["deliveries"] == [{"channel_type": "webhook", "status": "failed", "error": "connection refused"}]
    assert found["matches"] == [
        {
            "document_id": "doc_5",
            "score": 0.5,
            "asset_id": None,
            "matched_features": {URI: 0.5},
            "metadata": {"title": "Title 5", "severity": 5},
        }
    ]
    assert through["position"] == {"col_a": {"0": 6}}
    assert through["occurred_at"] == "2024-05-01T11:59:00.000Z"


async def test_an_alert_without_matches_in_its_results_has_none(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a", include_matches=False)
    await put(context, result(1, hit(alert)))
    async with client(context) as http:
        found = await body(http, "/v1/alerts/alt_a/results")
    assert found["matches"] is None
    assert found["match_count"] == 1
    parsed(AlertExecutionResult, found)


async def test_a_score_outside_the_contract_is_brought_inside(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await put(context, result(1, hit(alert, 1.0000001)), result(2, hit(alert, -0.25)))
    async with client(context) as http:
        listed = await body(http, "/v1/alerts/executions")
    parsed(AlertExecutionListResponse, listed)
    assert sorted(item["matches"][0]["score"] for item in listed["results"]) == [0.0, 1.0]


async def test_only_a_checked_alert_that_never_fired_has_a_derived_result(context: Context) -> None:
    await define_namespace(context)
    fired, silent = await define_alert(context, "a"), await define_alert(context, "b")
    await define_alert(context, "c")
    async with client(context) as http:
        attached = await define_collection(context, "alt_a", "alt_b")
        version = attached.record.version.number
        await apply(context, MATCH_PROGRESS, progress(version - 1).encode())
        assert await missing(http, "/v1/alerts/alt_b/results")
        await put(context, result(1, hit(fired)))
        await apply(context, MATCH_PROGRESS, progress(version, next_offset=12).encode())

        found = await body(http, "/v1/alerts/alt_b/results")
        read = parsed(AlertExecutionResult, found)
        assert (read.triggered, read.match_count, read.matches) == (False, 0, [])
        assert found["deliveries"] is None
        assert found["checked_through"]["position"] == {"col_a": {"0": 12}}
        identifier = found["execution_id"]
        assert (await body(http, f"/v1/alerts/executions/{identifier}"))["alert_id"] == "alt_b"
        for path, expected in (
            ("/v1/alerts/alt_b/executions", [identifier]),
            ("/v1/alerts/executions", [execution_id(result(1).base, fired.record.number), identifier]),
        ):
            listed = await body(http, path)
            parsed(AlertExecutionListResponse, listed)
            assert [item["execution_id"] for item in listed["results"]] == expected
            assert listed["total_count"] == len(expected)
        # Never attached on ingest, so never checked.
        assert await missing(http, "/v1/alerts/alt_c/results")
        assert (await body(http, "/v1/alerts/alt_c/executions"))["total_count"] == 0

        await apply(context, MATCH_PROGRESS, progress(version, at=NOON + timedelta(days=1)).encode())
        again = await body(http, "/v1/alerts/alt_b/results")
        assert again["execution_id"] == identifier
        assert again["executed_at"] == "2024-05-02T12:00:00.000Z"

        await put(context, result(7, hit(silent)))
        assert (await body(http, "/v1/alerts/alt_b/results"))["triggered"] is True
        assert await missing(http, f"/v1/alerts/executions/{identifier}")
        assert (await body(http, "/v1/alerts/executions"))["total_count"] == 2


async def test_an_alert_that_does_not_run_on_ingest_is_not_said_to_be_checked(context: Context) -> None:
    await define_namespace(context)
    await define_alert(context, "a")
    await define_collection(context, "alt_a", mode="scheduled")
    async with context.database.connection() as connection:
        version = await current_version(connection)
    await apply(context, MATCH_PROGRESS, progress(version.number).encode())
    async with client(context) as http:
        assert await missing(http, "/v1/alerts/alt_a/results")


async def test_a_cursor_walks_everything_once_while_new_rows_arrive(context: Context) -> None:
    await define_namespace(context)
    alerts = [await define_alert(context, name) for name in ("a", "b", "c")]
    await define_alert(context, "never")
    attached = await define_collection(context, "alt_never")
    await apply(context, MATCH_PROGRESS, progress(attached.record.version.number).encode())
    # Several days, many documents of one instant, several alerts on one document.
    records = [
        result(n, *(hit(alert) for alert in alerts[: n % 3 + 1]), at=NOON - timedelta(days=n % 5, seconds=n % 2))
        for n in range(40)
    ]
    await put(context, *records)
    expected = [
        execution_id(record.base, item.alert_number)
        for record in sorted(records, key=lambda item: (item.appended_at, item.base), reverse=True)
        for item in sorted(record.hits, key=lambda item: item.alert_number, reverse=True)
    ]
    async with client(context) as http:
        walked: list[dict[str, Any]] = []
        cursor: str | None = None
        for number in range(100):
            query = {"limit": 7, **({} if cursor is None else {"cursor": cursor})}
            page = await body(http, "/v1/alerts/executions", **query)
            parsed(AlertExecutionListResponse, page)
            assert page["total_count"] == len(expected) + number + 1
            walked += page["results"]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
            await put(context, result(1000 + number, hit(alerts[0]), at=NOON + timedelta(seconds=number + 1)))
        assert [item["execution_id"] for item in walked[:-1]] == expected
        assert walked[-1]["alert_id"] == "alt_never"

        total = len(expected) + number + 1
        by_offset = [
            item["execution_id"]
            for offset in range(0, total, 25)
            for item in (await body(http, "/v1/alerts/executions", offset=offset, limit=25))["results"]
        ]
        assert by_offset[number:-1] == expected
        assert len(set(by_offset)) == total
        of_b = await body(http, "/v1/alerts/alt_b/executions", limit=1000, include_total=True)
        assert {item["alert_id"] for item in of_b["results"]} == {"alt_b"}
        assert of_b["total_count"] == len(of_b["results"]) == of_b["pagination"]["total"]
        assert of_b["pagination"]["next_cursor"] is None


async def test_a_body_on_the_list_counts_where_the_query_is_silent(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await put(context, *(result(n, hit(alert), at=NOON + timedelta(seconds=n)) for n in range(6)))
    async with client(context) as http:

        async def ask(content: bytes, query: str = "") -> httpx.Response:
            return await http.request("GET", f"/v1/alerts/executions{query}", content=content)

        page = (await ask(b'{"limit": 2, "offset": 3, "include_total": true}')).json()
        assert [item["source_documents"] for item in page["results"]] == [["doc_2"], ["doc_1"]]
        assert page["pagination"]["total"] == 6
        assert len((await ask(b'{"limit": 2}', "?limit=4")).json()["results"]) == 4
        second = (await ask(b'{"limit": 2}', "?page=2")).json()
        assert [item["source_documents"] for item in second["results"]] == [["doc_3"], ["doc_2"]]
        first = (await ask(b'{"limit": 4}', "?base_url=https://view.example/")).json()["pagination"]
        assert first["next_page"].startswith("https://view.example/v1/alerts/executions?limit=4&cursor=")
        rest = (await ask(f'{{"cursor": "{first["next_cursor"]}"}}'.encode())).json()
        assert [item["source_documents"] for item in rest["results"]] == [["doc_1"], ["doc_0"]]
        assert (await ask(b"")).json()["pagination"]["page_size"] == 50
        assert (await ask(b'{"limit": null, "cursor": null}')).status_code == 200
        for bad in (b'{"limit": 0}', b'{"size": 3}', b"[]", b"{"):
            refused = await ask(bad)
            assert refused.status_code == 422
            assert refused.json()["error"]["details"]["validation_errors"][0]["location"][0] == "body"
        assert (await ask(b"", "?cursor=abc")).status_code == 400
        assert (await ask(b"", "?limit=1001")).status_code == 422


async def test_others_see_nothing(context: Context) -> None:
    await define_namespace(context)
    await define_namespace(context, "ns_b", "other")
    await define_retriever(context)
    alert = await define_alert(context, "a")
    record = result(1, hit(alert))
    await put(context, record)
    identifier = execution_id(record.base, alert.record.number)
    other = {"X-Namespace": "other"}
    paths = [
        "/v1/alerts/alt_a/results",
        "/v1/alerts/alt_a/executions",
        f"/v1/alerts/executions/{identifier}",
        f"/v1/retrievers/ret_a/executions/{identifier}",
    ]
    async with client(context) as http:
        for path in paths:
            assert (await http.get(path)).status_code == 200
            assert await missing(http, path, other), path
            assert (await http.get(path, headers={"Authorization": "Bearer sk_wrong"})).status_code == 401
        assert (await http.get("/v1/alerts/executions", headers=other)).json()["total_count"] == 0


async def test_a_deleted_alert_is_gone(context: Context) -> None:
    await define_namespace(context)
    alert, stays = await define_alert(context, "a"), await define_alert(context, "b")
    record = result(1, hit(alert), hit(stays))
    await put(context, record)
    await delete(context, "alt_a")
    # An execution that was on its way when the alert was deleted.
    await put(context, result(2, hit(alert)))
    async with client(context) as http:
        assert await missing(http, "/v1/alerts/alt_a/results")
        assert await missing(http, "/v1/alerts/alt_a/executions")
        assert await missing(http, f"/v1/alerts/executions/{execution_id(record.base, alert.record.number)}")
        listed = await body(http, "/v1/alerts/executions")
        assert [item["alert_id"] for item in listed["results"]] == ["alt_b"]
        assert listed["total_count"] == 1


@pytest.mark.parametrize("identifier", ["exec_1", "nothing", "exec_" + "0" * 24 + "f" * 17, "a%00b"])
async def test_an_unknown_execution_is_not_found(context: Context, identifier: str) -> None:
    await define_namespace(context)
    await define_retriever(context)
    async with client(context) as http:
        assert await missing(http, f"/v1/alerts/executions/{identifier}")
        assert await missing(http, f"/v1/retrievers/ret_a/executions/{identifier}")
        assert await missing(http, f"/v1/alerts/{identifier}/results")


async def test_an_alert_execution_is_an_execution_of_its_retriever(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    fields = {"document_id": "doc_1", "collection_id": "col_a", "title": "T", "metadata": {"k": 1}}
    record = result(1, hit(alert), document=fields)
    await put(context, record)
    identifier = execution_id(record.base, alert.record.number)
    async with client(context) as http:
        found = await body(http, f"/v1/retrievers/ret_a/executions/{identifier}")
    read = parsed(ExecutionDetail, found)
    assert (read.execution_id, read.status, read.total_returned) == (identifier, "completed", 1)
    own = {"title": "T", "metadata": {"k": 1}}
    assert found["documents"] == [
        {
            **own,
            "document_id": "doc_1",
            "collection_id": "col_a",
            "score": 0.75,
            "matched_features": {URI: 0.75},
            "payload": own,
        }
    ]
    assert list(found["stage_statistics"]["stages"]) == ["severe", "recent"]
    assert read.stage_statistics.stages["severe"].output_count == 1
    assert found["stage_statistics"]["total_time_ms"] == 3.0
    assert found["budget"] == {
        "credits_used": 0.0,
        "credits_remaining": 5.0,
        "credits_limit": 5.0,
        "time_used_ms": 3.0,
        "time_limit_ms": 900,
    }
    assert {"total", "limit", "offset", "has_next", "has_previous"} <= found["pagination"].keys()
    assert {"method", "page_number", "page_size", "returned"} <= found["pagination"].keys()


async def test_recorded_runs_and_alert_executions_are_listed_together(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    await put(context, *(result(n, hit(alert), at=NOON + timedelta(seconds=2 * n)) for n in range(3)))
    run = RetrieverExecutionRecord(
        execution_id="exec_run",
        namespace_id=NAMESPACE,
        retriever_id="ret_a",
        status="failed",
        created_at=NOON + timedelta(seconds=1),
        completed_at=NOON + timedelta(seconds=1.5),
        detail={
            "documents": [{"document_id": "d", "score": 0.5}],
            "error": "Budget exceeded: time",
            "stage_statistics": {
                "stages": {"s": {"input_count": 8, "output_count": 1, "duration_ms": 2.5, "efficiency": 0.125}}
            },
        },
    )
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    async with client(context) as http:
        detail = await body(http, "/v1/retrievers/a/executions/exec_run")
        assert parsed(ExecutionDetail, detail).error == "Budget exceeded: time"
        assert detail["budget"]["time_used_ms"] == 500.0
        assert detail["completed_at"] == "2024-05-01T12:00:01.500Z"

        async def listed(json: Any = None, **query: int) -> Any:
            response = await http.post("/v1/retrievers/ret_a/executions/list", json=json, params=query)
            assert response.status_code == 200, response.text
            parsed(ListExecutionsResponse, response.json())
            return response.json()

        everything = await listed()
        kinds = [item["execution_id"] == "exec_run" for item in everything["results"]]
        assert kinds == [False, False, True, False]
        page = {"total": 4, "limit": 50, "offset": 0, "has_next": False, "next_cursor": None}
        assert everything["pagination"] == page
        assert everything["results"][2]["total_processed"] == 8
        paged = await listed(limit=2, offset=1)
        assert paged["results"] == everything["results"][1:3]
        assert paged["pagination"]["has_next"] is True
        failed = await listed({"status": "failed"})
        assert [item["execution_id"] for item in failed["results"]] == ["exec_run"]
        assert failed["pagination"]["total"] == 1
        refused = await http.post("/v1/retrievers/ret_a/executions/list", json={"filters": {"AND": []}})
        assert refused.status_code == 400


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


async def test_cluster_runs(context: Context) -> None:
    await define_namespace(context)
    async with context.database.transaction() as connection:
        cluster = {"cluster_id": "clust_1"}
        await put_definition(connection, "cluster", NAMESPACE, "clust_1", "topics", cluster)
        await put_definition(connection, "cluster", NAMESPACE, "clust_2", "empty", {"cluster_id": "clust_2"})
        for number in range(3):
            centroids = [
                {"cluster_id": "cl_0", "num_members": 3, "label": "flu", "centroid_vector": [0.5, 0.25]},
                {"cluster_id": "cl_1", "num_members": 9, "keywords": ["ebola"], "centroid_vector": [1.0, 0.0]},
            ]
            await connection.execute(
                "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, num_clusters,"
                " num_points, metrics, centroids, created_at, completed_at)"
                " VALUES (%s, 'clust_1', %s, %s, 'completed', 2, 12, %s, %s, %s, %s)",
                (
                    f"run_{number}",
                    NAMESPACE,
                    f"job_{number}",
                    Jsonb({"silhouette_score": 0.25}),
                    Jsonb(centroids),
                    NOON + timedelta(hours=number),
                    NOON + timedelta(hours=number, seconds=9),
                ),
            )
    async with client(context) as http:
        newest = await body(http, "/v1/clusters/topics/executions")
        read = parsed(ClusterExecutionResult, newest)
        assert (read.run_id, read.num_clusters, read.num_points) == ("run_2", 2, 12)
        assert all("centroid_vector" not in item for item in newest["centroids"])
        full = await body(http, "/v1/clusters/clust_1/executions/run_0", include_vectors=True)
        assert full["centroids"][0]["centroid_vector"] == [0.5, 0.25]
        assert full["created_at"] == "2024-05-01T12:00:00.000Z"
        assert await missing(http, "/v1/clusters/clust_1/executions/run_9")
        assert await missing(http, "/v1/clusters/clust_2/executions")
        assert await missing(http, "/v1/clusters/clust_2/groups")

        groups = await body(http, "/v1/clusters/clust_1/groups")
        parsed(ClusterGroupsResponse, groups)
        assert [(item["cluster_id"], item["member_count"]) for item in groups["groups"]] == [
            ("cl_1", 9),
            ("cl_0", 3),
        ]
        walked: list[str] = []
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 2, **({} if cursor is None else {"cursor": cursor})}
            response = await http.post("/v1/clusters/clust_1/executions/list", params=query)
            page = response.json()
            parsed(ListClusterExecutionsResponse, page)
            assert page["total_count"] == 3
            walked += [item["run_id"] for item in page["results"]]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
        assert walked == ["run_2", "run_1", "run_0"]
        bad = await http.post("/v1/clusters/clust_1/executions/list?cursor=WzFd")
        assert bad.status_code == 400


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b'{"limit": NaN}', "application/json"),
        (b'{"search": "a\\u0000b"}', "application/json"),
        (b"[" * 3000 + b"]" * 3000, "application/json"),
        (b"{}", "text/plain"),
    ],
)
@pytest.mark.parametrize(
    "path",
    ["retrievers/ret_a/executions/list", "clusters/clust_1/executions/list", "clusters/triggers/trig_1/history"],
)
async def test_bodies_are_read_as_strictly_as_those_of_definitions(
    context: Context, path: str, content: bytes, kind: str
) -> None:
    async with client(context) as http:
        answer = await http.post(f"/v1/{path}", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "ValidationError")


@pytest.mark.parametrize(
    "content", [b"{", b'{"limit": NaN}', b'{"cursor": "a\\u0000b"}', b"[" * 3000 + b"]" * 3000]
)
async def test_the_body_of_a_get_is_read_as_strictly(context: Context, content: bytes) -> None:
    await define_namespace(context)
    async with client(context) as http:
        answer = await http.request("GET", "/v1/alerts/executions", content=content)
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "ValidationError")


async def test_what_a_look_up_found(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert, silent = await define_alert(context, "a"), await define_alert(context, "b")
    matches = [
        {"document_id": "p1", "score": 1.0000001, "metadata": {"name": "Ann"}, "matched_features": {URI: 0.9}},
        {"document_id": "p2", "score": 0.5},
    ]
    found = replace(hit(alert), found=Found(7, matches, {"0": 4, "2": 9}))
    none = replace(hit(silent), found=Found(0, [], {"0": 4}))
    record = result(1, found, none)
    await put(context, record)
    (identifier, _), (nothing, _) = record.executions()
    run = RetrieverExecutionRecord(
        execution_id=identifier,
        namespace_id=NAMESPACE,
        retriever_id="ret_a",
        status="completed",
        created_at=NOON,
        completed_at=NOON,
        detail={"documents": [{"document_id": "p1", "score": 0.9}], "alert_id": alert.record.id},
    )
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    async with client(context) as http:
        shown = await body(http, f"/v1/alerts/executions/{identifier}")
        parsed(AlertExecutionResult, shown)
        assert (shown["match_count"], shown["source_documents"]) == (7, ["doc_1"])
        assert [(item["document_id"], item["score"]) for item in shown["matches"]] == [("p1", 1.0), ("p2", 0.5)]
        assert shown["matches"][0]["metadata"] == {"name": "Ann"}
        assert shown["reference_position"] == {"0": 4, "2": 9}
        empty = await body(http, f"/v1/alerts/executions/{nothing}")
        parsed(AlertExecutionResult, empty)
        assert (empty["triggered"], empty["match_count"], empty["matches"]) == (True, 0, [])
        # Its run is found under the same id, and is listed once.
        detail = await body(http, f"/v1/retrievers/ret_a/executions/{identifier}")
        parsed(ExecutionDetail, detail)
        assert [item["document_id"] for item in detail["documents"]] == ["p1"]
        listed = (await http.post("/v1/retrievers/ret_a/executions/list", json={})).json()
        parsed(ListExecutionsResponse, listed)
        returned = {item["execution_id"]: item["total_returned"] for item in listed["results"]}
        assert (len(listed["results"]), listed["pagination"]["total"]) == (2, 2)
        assert returned == {identifier: 7, nothing: 0}


async def test_an_alert_whose_retriever_changed_is_not_said_to_be_checked_by_it(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    await define_alert(context, "a")
    attached = await define_collection(context, "alt_a")
    await apply(context, MATCH_PROGRESS, progress(attached.record.version.number).encode())
    async with client(context) as http:
        before = await body(http, "/v1/alerts/alt_a/results")
        changed = await define_retriever(context)
        assert await missing(http, "/v1/alerts/alt_a/results")
        await apply(context, MATCH_PROGRESS, progress(changed.record.version.number, next_offset=11).encode())
        assert (await body(http, "/v1/alerts/alt_a/results"))["execution_id"] == before["execution_id"]
