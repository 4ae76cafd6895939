"""Clusters executed over HTTP: what is refused, and what is served of a run from its queueing to its end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from mixpeek.models.cluster_execution_result import ClusterExecutionResult
from mixpeek.models.generic_delete_response import GenericDeleteResponse
from mixpeek.models.list_cluster_executions_response import ListClusterExecutionsResponse
from mixpeek.models.task_response import TaskResponse

from streams.act.station import Act
from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.runtime.agent import Context
from tests.api import make
from tests.api.conftest import KEY
from tests.api.make import refused
from tests.support import at_work, eventually

HASHING = "mixpeek://hashing@v1/words"


@pytest.fixture
async def http(here: Context) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of the whole HTTP service: definitions and results."""
    await ensure_namespace(here.database, here.settings.namespace)
    transport = httpx.ASGITransport(build_http(here))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        yield client


async def texts(here: Context, collection: dict[str, Any], count: int) -> None:
    """Stored documents about two subjects."""
    async with here.database.connection() as connection:
        for number in range(count):
            await connection.execute(
                "INSERT INTO documents (namespace_id, collection_id, document_id, text, occurred_at, appended_at,"
                " partition, record_offset, created_at) VALUES (%s, %s, %s, %s, now(), now(), 0, %s, now())",
                (
                    collection["namespace_id"],
                    collection["collection_id"],
                    f"d{number}",
                    "ebola outbreak" if number % 2 else "yoga fitness",
                    number,
                ),
            )


async def test_a_run_is_told_from_its_queueing_to_its_end(http: httpx.AsyncClient, here: Context) -> None:
    news = await make.collection(http)
    one = await make.cluster(http, "news")
    path = f"/v1/clusters/{one['cluster_id']}"
    await texts(here, {**news, "namespace_id": one["namespace_id"]}, 12)
    refused(await http.get(f"{path}/executions"), 404, "NotFoundError")
    task = await make.made(http, "/v1/clusters/topics/execute", {"sample_size": 10})
    assert TaskResponse.from_dict(task) is not None
    assert (task["task_type"], task["status"]) == ("engine_cluster_build", "PENDING")
    run_id = task["additional_data"]["run_id"]

    waiting = (await http.get("/v1/clusters/topics/executions")).json()
    assert ClusterExecutionResult.from_dict(waiting) is not None
    assert (waiting["run_id"], waiting["status"], waiting["num_clusters"]) == (run_id, "pending", 0)
    assert (waiting["centroids"], waiting["completed_at"], waiting["metrics"]) == (None, None, None)
    shown = (await http.get(path)).json()
    assert (shown["status"], shown["last_run_id"], shown["num_clusters"]) == ("PENDING", run_id, None)
    refused(await http.get(f"{path}/groups"), 404, "NotFoundError")

    canceled = (await http.post(f"{path}/executions/{run_id}/cancel")).json()
    assert (canceled["status"], canceled["canceled"], canceled["task_id"]) == ("canceled", True, task["task_id"])
    again = (await http.post(f"{path}/executions/{run_id}/cancel")).json()
    assert (again["status"], again["canceled"]) == ("canceled", False)
    refused(await http.post(f"{path}/executions/run_none/cancel"), 404, "NotFoundError")
    assert (await http.get(f"{path}/executions/{run_id}")).json()["status"] == "canceled"
    assert (await http.get(f"/v1/tasks/{task['task_id']}")).json()["status"] == "CANCELED"

    refused(await http.post(f"{path}/execute", json={"filters": {"text": {"$bad": 1}}}), 422, "ValidationError")
    completing = await make.made(http, f"{path}/execute", {})
    await http.patch(path, json={"algorithm_params": {"n_clusters": 2}})

    async def ended() -> bool:
        told = (await http.get(f"/v1/tasks/{completing['task_id']}")).json()
        return told["status"] in ("COMPLETED", "FAILED")

    async with at_work(Act(here)):
        await eventually(ended)
    told = (await http.get(f"/v1/tasks/{completing['task_id']}")).json()
    assert (told["status"], told["additional_data"]["progress"]) == ("COMPLETED", 1)
    assert told["outputs"][0]["run_id"] == completing["additional_data"]["run_id"]
    run_path = f"{path}/executions/{told['outputs'][0]['run_id']}"
    result = (await http.get(f"{run_path}?include_vectors=true")).json()
    assert ClusterExecutionResult.from_dict(result) is not None
    assert (result["status"], result["num_clusters"], result["num_points"]) == ("completed", 2, 12)
    assert [len(centroid["centroid_vector"]) for centroid in result["centroids"]] == [1024, 1024]
    assert {centroid["num_members"] for centroid in result["centroids"]} == {6}
    labels = {frozenset(centroid["label"].split(", ")) for centroid in result["centroids"]}
    assert labels == {frozenset(("ebola", "outbreak")), frozenset(("yoga", "fitness"))}
    assert "centroid_vector" not in (await http.get(run_path)).json()["centroids"][0]
    page = (await http.post(f"{path}/executions/list", json={})).json()
    assert ListClusterExecutionsResponse.from_dict(page) is not None
    assert page["total_count"] == 2
    assert sorted(item["status"] for item in page["results"]) == ["canceled", "completed"]
    shown = (await http.get(path)).json()
    assert (shown["num_clusters"], shown["num_documents_clustered"]) == (2, 12)
    assert (await http.get(f"{path}/groups")).json()["total_documents"] == 12
    killed = (await http.delete(f"/v1/tasks/{completing['task_id']}")).json()
    assert GenericDeleteResponse.from_dict(killed) is not None
    assert killed["message"] == "Nothing to cancel: the task had ended as COMPLETED"


async def test_a_run_that_fails_says_why(http: httpx.AsyncClient, here: Context) -> None:
    await make.collection(http)
    await make.cluster(http, "news")
    task = await make.made(http, "/v1/clusters/topics/execute", {})

    async def ended() -> bool:
        return (await http.get(f"/v1/tasks/{task['task_id']}")).json()["status"] == "FAILED"  # type: ignore[no-any-return]

    async with at_work(Act(here)):
        await eventually(ended)
    result = (await http.get("/v1/clusters/topics/executions")).json()
    assert ClusterExecutionResult.from_dict(result) is not None
    assert result["status"] == "failed"
    assert result["error_message"].endswith("has a text")
    assert result["completed_at"] is not None


async def test_a_task_is_canceled_once(api: httpx.AsyncClient, here: Context) -> None:
    await make.collection(api)
    await make.cluster(api, "news")
    task = await make.made(api, "/v1/clusters/topics/execute", {})
    path = f"/v1/tasks/{task['task_id']}"
    answers = [(await api.delete(path)).json() for _ in range(2)]
    assert [answer["message"] for answer in answers] == [
        "Task canceled",
        "Nothing to cancel: the task had ended as CANCELED",
    ]
    assert GenericDeleteResponse.from_dict(answers[0]) is not None
    assert (await api.delete("/v1/tasks/none")).json()["message"] == "Nothing to cancel: there is no such task"
    async with here.database.connection() as connection:
        rows = await (
            await connection.execute("SELECT count(*) FROM outbox WHERE topic = 'trigger-results'")
        ).fetchone()
    assert rows == (2,)  # pending, canceled


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"mode": "composite"}, ["body", "source_execution_ids"]),
        ({"mode": "composite", "source_execution_ids": ["run_1"]}, ["body", "source_execution_ids"]),
        ({"mode": "sideways"}, ["body", "mode"]),
        ({"assignment_threshold": 1.5}, ["body", "assignment_threshold"]),
        ({"sample_size": 1_000_001}, ["body", "sample_size"]),
        ({"sample_size": "5"}, ["body", "sample_size"]),
        ({"filters": {"AND": 1}}, ["body", "filters"]),
        ({"sort_of": 1}, ["body", "sort_of"]),
    ],
)
async def test_a_wrong_run_is_refused(api: httpx.AsyncClient, body: dict[str, Any], place: list[str]) -> None:
    await make.collection(api)
    await make.cluster(api, "news")
    refusal = (409, "ConflictError") if body.get("mode") == "composite" else (422, "ValidationError")
    error = refused(await api.post("/v1/clusters/topics/execute", json=body), *refusal)
    assert [location for _, location in make.places(error)] == [place]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("kmeans", {"n_clusters": 1}, "n_clusters"),
    ("kmeans", {"n_clusters": 1_001}, "n_clusters"),
    ("kmeans", {"n_clusters": 2.5}, "n_clusters"),
    ("kmeans", {"max_iter": 10_001}, "max_iter"),
    ("kmeans", {"init": "far"}, "init"),
    ("kmeans", {"tol": -1}, "tol"),
    ("dbscan", {"eps": 0}, "eps"),
    ("dbscan", {"metric": "cosine", "algorithm": "kd_tree"}, "algorithm"),
    ("hdbscan", {"min_cluster_size": 1}, "min_cluster_size"),
    ("hdbscan", {"cluster_selection_method": "all"}, "cluster_selection_method"),
    ("agglomerative", {"n_clusters": 1}, "n_clusters"),
    ("agglomerative", {"affinity": "cosine"}, "affinity"),
    ("spectral", {"gamma": 0}, "gamma"),
    ("gaussian_mixture", {"covariance_type": "round"}, "covariance_type"),
    ("gaussian_mixture", {"n_components": 0}, "n_components"),
    ("mean_shift", {"bandwidth_quantile": 1.1}, "bandwidth_quantile"),
    ("mean_shift", {"eps": 1}, "eps"),
    ("optics", {"min_samples": 1}, "min_samples"),
    ("optics", {"cluster_method": "dbscan"}, "max_eps"),
    ("auto", {"n_clusters": 3}, "n_clusters"),
]


async def test_parameters_out_of_bounds_are_refused_at_their_place(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for method, given, name in WRONG:
        blocks = ["algorithm_params"] + (
            [f"{method}_parameters"] if method in ("kmeans", "dbscan", "hdbscan") else []
        )
        for block in blocks:
            config = {"feature_uri": HASHING, "clustering_method": method, block: given}
            answer = await api.post("/v1/clusters", json={"collection_ids": ["news"], "vector_config": config})
            locations = [place for _, place in make.places(refused(answer, 422, "ValidationError"))]
            assert locations == [["body", "vector_config", block, name]], (method, given)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"preprocessing_steps": ["whitening", "umap"]}, ["preprocessing_steps", 1]),
        ({"preprocessing_steps": [{"method": ["tsne"]}]}, ["preprocessing_steps", 0]),
        (
            {"preprocessing_steps": [{"method": "tsne", "n_components": 9}]},
            ["preprocessing_steps", 0, "n_components"],
        ),
        ({"max_hierarchy_depth": 6}, ["max_hierarchy_depth"]),
        ({"feature_weights": {"mixpeek://other@v1/v": 1}}, ["feature_weights", "mixpeek://other@v1/v"]),
        ({"feature_weights": {HASHING: 0}}, ["feature_weights"]),
        ({"feature_weights": {HASHING: -1}}, ["feature_weights", HASHING]),
        ({"multi_feature_strategy": "weighted"}, ["feature_weights"]),
        ({"vis_n_components": 4}, ["vis_n_components"]),
    ],
)
async def test_settings_out_of_bounds_are_refused(
    api: httpx.AsyncClient, config: dict[str, Any], place: list[Any]
) -> None:
    await make.collection(api)
    whole = {"feature_uri": HASHING, "clustering_method": "kmeans", **config}
    answer = await api.post("/v1/clusters", json={"collection_ids": ["news"], "vector_config": whole})
    # That weights are of features, and not all nothing, is for no schema to say.
    refusal = (409, "ConflictError") if answer.status_code == 409 else (422, "ValidationError")
    assert make.places(refused(answer, *refusal))[0][1] == ["body", "vector_config", *place]


async def test_clusters_by_attributes_and_of_clusters(api: httpx.AsyncClient) -> None:
    news = await make.collection(api)
    attributes = {"attributes": ["lang", "meta.year"], "hierarchical_grouping": True}
    body = {"cluster_name": "langs", "collection_ids": ["news"], "attribute_config": attributes}
    langs = await make.made(api, "/v1/clusters", body)
    assert (langs["cluster_type"], langs["clustered_attributes"]) == ("attribute", ["lang", "meta.year"])
    refused(await api.patch("/v1/clusters/langs", json={"sample_size": 5}), 409, "ConflictError")
    refused(await api.post("/v1/clusters/langs/execute", json={"mode": "assign"}), 409, "ConflictError")
    first = await make.cluster(api, "news", "first")
    config = {"feature_uri": HASHING, "clustering_method": "kmeans"}
    above = {"cluster_name": "above", "source_cluster_ids": ["first", "langs"], "vector_config": config}
    refused(await api.post("/v1/clusters", json=above), 409, "ConflictError")
    whole = await make.made(api, "/v1/clusters", {**above, "source_cluster_ids": ["first"]})
    assert whole["source_cluster_ids"] == [first["cluster_id"]]
    assert whole["input_collections"] == [news["collection_id"]]
    task = await make.made(api, "/v1/clusters/above/execute", {})
    assert task["status"] == "PENDING"
    trigger = {
        "trigger_type": "interval",
        "schedule_config": {"interval_seconds": 60},
        "cluster_id": "langs",
    }
    made = await make.made(api, "/v1/clusters/triggers", trigger)
    assert made["execution_config"]["config"]["algorithm"] == "attribute_based"


async def test_a_cluster_that_executes_by_itself_has_a_trigger(api: httpx.AsyncClient) -> None:
    news = await make.collection(api)
    body = {
        "cluster_name": "auto",
        "collection_ids": ["news"],
        "vector_config": {"feature_uri": HASHING, "clustering_method": "kmeans"},
        "auto_execute_on_batch": True,
        "auto_execute_min_documents": 50,
    }
    one = await make.made(api, "/v1/clusters", body)
    triggers = (await api.get("/v1/triggers")).json()["results"]
    assert [trigger["action_config"]["cluster_id"] for trigger in triggers] == [one["cluster_id"]]
    schedule = triggers[0]["schedule_config"]
    assert (schedule["event_type"], schedule["event_threshold"]) == ("documents_added", 50)
    assert schedule["cooldown_seconds"] == 3_600
    assert triggers[0]["status"] == "active"
    assert news["collection_id"] in one["input_collections"]
    await make.made(api, "/v1/clusters/auto/execute", {})
    assert (await api.delete("/v1/clusters/auto")).status_code == 200
    shown = (await api.get(f"/v1/triggers/{triggers[0]['trigger_id']}")).json()
    assert shown["status"] == "disabled"


@pytest.mark.parametrize("deleted", ["cluster", "namespace"])
async def test_what_is_deleted_waits_for_a_job_that_ends_and_not_it_for_the_deletion(
    api: httpx.AsyncClient, here: Context, deleted: str
) -> None:
    """Two open jobs of one trigger, the second of which is about to end: job first, then the trigger's state."""
    space = await make.made(api, "/v1/namespaces", {"namespace_name": "other"})
    api.headers["X-Namespace"] = space["namespace_id"]
    await make.collection(api)
    await make.cluster(api, "news")
    trigger = await make.made(
        api,
        "/v1/triggers",
        {
            "action_type": "cluster",
            "action_config": {"cluster_id": "topics"},
            "trigger_type": "interval",
            "schedule_config": {"interval_seconds": 3_600},
        },
    )
    trigger_id = trigger["trigger_id"]
    tasks = [await make.made(api, f"/v1/triggers/{trigger_id}/execute", {}) for _ in range(2)]
    second = max(task["task_id"] for task in tasks)
    path = "/v1/clusters/topics" if deleted == "cluster" else f"/v1/namespaces/{space['namespace_id']}?force=true"

    async def waiting() -> bool:
        async with here.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return await cursor.fetchone() is not None

    async with here.database.transaction() as ending:
        await ending.execute("SELECT 1 FROM jobs WHERE job_id = %s FOR UPDATE", (second,))
        deletion = asyncio.create_task(api.delete(path))
        await eventually(waiting)
        await ending.execute("UPDATE trigger_state SET updated_at = now() WHERE trigger_id = %s", (trigger_id,))
    assert (await deletion).status_code == 200
