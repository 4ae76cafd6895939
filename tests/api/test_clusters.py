from typing import Any

import httpx
import pytest
from mixpeek.models.cluster_metadata import ClusterMetadata
from mixpeek.models.cluster_model import ClusterModel
from mixpeek.models.list_clusters_response import ListClustersResponse

from streams.runtime.agent import Context
from tests.api import make
from tests.api.make import refused

CONFIG = {"feature_uri": "mixpeek://hashing@v1/words", "clustering_method": "kmeans"}


async def test_create_get_patch_and_the_sdk_reads_it(api: httpx.AsyncClient, here: Context) -> None:
    news = await make.collection(api)
    one = await make.cluster(api, "news")
    assert (await api.get("/v1/clusters/topics")).json() == one
    assert ClusterMetadata.from_dict(one) is not None
    assert one["cluster_id"].startswith("clust_")
    assert one["cluster_id"].removeprefix("clust_").isalnum()
    assert one["input_collections"] == [news["collection_id"]]
    assert (one["algorithm"], one["algorithm_params"]) == ("kmeans", {"n_clusters": 4})
    assert (one["status"], one["num_clusters"], one["last_run_id"]) == (None, None, None)
    patch = {"algorithm_params": {"n_clusters": 6}, "sample_size": 100, "cluster_name": "t2"}
    changed = (await api.patch("/v1/clusters/topics", json=patch)).json()
    assert ClusterModel.from_dict(changed) is not None
    shown = (await api.get("/v1/clusters/t2")).json()
    assert (shown["algorithm_params"], shown["sample_size"]) == ({"n_clusters": 6}, 100)
    refused(await api.patch("/v1/clusters/t2", json={"algorithm_params": {"eps": 1}}), 422, "ValidationError")
    async with here.database.connection() as connection:
        for number in (1, 2):
            await connection.execute(
                "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status,"
                " num_clusters, num_points, created_at) VALUES"
                " (%s, %s, %s, %s, 'completed', %s, 50, now() + %s * interval '1 s')",
                (f"run_{number}", one["cluster_id"], one["namespace_id"], f"job_{number}", number, number),
            )
    page = (await api.get("/v1/clusters")).json()
    assert ListClustersResponse.from_dict(page) is not None
    newest = page["results"][0]
    assert (newest["last_run_id"], newest["num_clusters"], newest["status"]) == ("run_2", 2, "COMPLETED")
    assert newest["num_documents_clustered"] == 50
    assert (await api.delete("/v1/clusters/t2")).status_code == 200
    refused(await api.get("/v1/clusters/t2"), 404, "NotFoundError")


async def test_one_without_a_name_gets_one(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    one = await make.made(api, "/v1/clusters", {"collection_ids": ["news"], "vector_config": CONFIG})
    assert one["cluster_name"]
    assert one["cluster_type"] == "vector"
    assert (await api.get(f"/v1/clusters/{one['cluster_name']}")).json() == one


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"cluster_name": "triggers"}, 422, "ValidationError"),
        ({"collection_ids": None}, 422, "ValidationError"),
        ({"collection_ids": ["no"]}, 404, "NotFoundError"),
        ({"vector_config": None}, 422, "ValidationError"),
        ({"vector_config": {**CONFIG, "clustering_method": "astrology"}}, 422, "ValidationError"),
        ({"vector_config": {**CONFIG, "kmeans_parameters": {"n_clusters": 1}}}, 422, "ValidationError"),
        ({"vector_config": {**CONFIG, "kmeans_parameters": {"eps": 1}}}, 422, "ValidationError"),
        ({"vector_config": {**CONFIG, "sample_size": 1_000_001}}, 422, "ValidationError"),
        ({"vector_config": {**CONFIG, "clustering_method": "leiden"}}, 403, "NotEnabledError"),
        ({"vector_config": {**CONFIG, "clustering_method": "evoc"}}, 403, "NotEnabledError"),
        ({"vector_config": {**CONFIG, "clustering_method": "attribute_based"}}, 403, "NotEnabledError"),
        ({"vector_config": {**CONFIG, "multi_feature_strategy": "independent"}}, 403, "NotEnabledError"),
        ({"vector_config": {**CONFIG, "effective_feature_method": "medoid"}}, 403, "NotEnabledError"),
        ({"llm_labeling": {"enabled": True}}, 403, "NotEnabledError"),
        ({"cluster_type": "attribute", "attribute_config": {"attributes": []}}, 422, "ValidationError"),
        ({"cluster_type": "attribute", "vector_config": None}, 422, "ValidationError"),
        ({"collection_ids": None, "source_cluster_ids": ["no"]}, 404, "NotFoundError"),
        ({"source_enrichment_config": {"field_mappings": []}}, 422, "ValidationError"),
        (
            {
                "enrich_source_collection": True,
                "source_enrichment_config": {
                    "field_mappings": [{"source_field": "cluster_id", "target_field": "document_id"}]
                },
            },
            422,
            "ValidationError",
        ),
        ({"auto_execute_min_documents": 5}, 422, "ValidationError"),
        ({"filters": {"a": {"bigger_than": 1}}}, 422, "ValidationError"),
        ({"filters": {"field": "a", "operator": "regex"}}, 422, "ValidationError"),
    ],
)
async def test_a_wrong_cluster_is_refused(
    api: httpx.AsyncClient, change: dict[str, Any], status: int, kind: str
) -> None:
    await make.collection(api)
    body = {"cluster_name": "c", "collection_ids": ["news"], "vector_config": CONFIG, **change}
    refused(await api.post("/v1/clusters", json=body), status, kind)


async def test_filters_are_kept_shown_and_changed(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    wanted = {"AND": [{"field": "lang", "operator": "eq", "value": "en"}, {"score": {"gte": 1}}]}
    body = {"cluster_name": "c", "collection_ids": ["news"], "vector_config": CONFIG, "filters": wanted}
    one = await make.made(api, "/v1/clusters", body)
    assert one["filters"] == wanted
    changed = await api.patch("/v1/clusters/c", json={"filters": {"lang": "de"}})
    assert (changed.status_code, changed.json()["filters"]) == (200, {"lang": "de"})
    bad = await api.patch("/v1/clusters/c", json={"filters": {"OR": 1}})
    assert make.places(refused(bad, 422, "ValidationError")) == [("value_error", ["body", "filters"])]
    assert (await api.get("/v1/clusters/c")).json()["filters"] == {"lang": "de"}
