from typing import Any

import httpx
import pytest
from mixpeek.models.collection_response import CollectionResponse
from mixpeek.models.list_collections_response import ListCollectionsResponse

from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition
from tests.api import make
from tests.api.make import CONSTANT, places, refused

PASSTHROUGH = {
    "feature_extractor_name": "passthrough_extractor",
    "version": "v1",
    "parameters": {"vector_fields": [{"field": "v", "name": "embedding", "dimensions": 3}]},
}


async def test_create_get_and_the_sdk_reads_it(api: httpx.AsyncClient) -> None:
    made = await make.collection(api, description="tweets", metadata={"a": 1})
    assert (await api.get("/v1/collections/news")).json() == made
    read = CollectionResponse.from_dict(made)
    assert read is not None
    assert read.collection_id is not None
    assert read.collection_id.startswith("col_")
    assert len(read.collection_id) == 14
    assert read.feature_extractor.feature_extractor_id == "passthrough_extractor_v1"
    assert read.source.type.value == "direct_upsert"
    assert made["document_count"] == 0
    assert made["alert_applications"] is None


async def test_a_declared_index_is_shown(api: httpx.AsyncClient) -> None:
    made = await make.collection(api, feature_extractor=PASSTHROUGH)
    assert made["feature_extractor"]["parameters"]["extractor_type"] == "passthrough_extractor"
    assert made["vector_indexes"] == [
        {
            "name": "embedding",
            "feature_uri": "mixpeek://passthrough_extractor@v1/embedding",
            "type": "single",
            "index": {"name": "passthrough_extractor_v1_embedding", "dimensions": 3, "distance": "cosine"},
        }
    ]
    assert CollectionResponse.from_dict(made) is not None


async def test_attachments_are_stored_with_ids_and_read_by_the_sdk(api: httpx.AsyncClient, here: Context) -> None:
    await make.retriever(api)
    alert = await make.alert(api, "ebola")
    made = await make.collection(
        api, alert_applications=[{"alert_id": "Ebola", "input_mappings": CONSTANT, "priority": 7}]
    )
    assert made["alert_applications"] == [
        {
            "alert_id": alert["alert_id"],
            "execution_mode": "on_ingest",
            "input_mappings": CONSTANT,
            "execution_phase": 3,
            "priority": 7,
        }
    ]
    assert CollectionResponse.from_dict(made) is not None
    async with here.database.connection() as connection:
        stored = await find_definition(connection, "collection", alert["namespace_id"], "news")
    assert stored is not None
    assert stored.body["alert_applications"] == made["alert_applications"]
    answer = await api.patch("/v1/collections/news", json={"alert_applications": []})
    assert answer.json()["alert_applications"] is None


@pytest.mark.parametrize(
    ("alert", "retriever", "words"),
    [
        ({"min_count": 2}, {}, "min_count"),
        ({"trigger_on": "no_results"}, {}, "no_results"),
        (
            {},
            {"stages": [{"stage_name": "s", "config": {"stage_id": "group_by", "parameters": {}}}]},
            "other documents",
        ),
        (
            {},
            {"stages": [{"stage_name": "s", "config": {"stage_id": "limit", "parameters": {"limit": 3}}}]},
            "every document",
        ),
    ],
)
async def test_what_one_document_cannot_decide_is_refused_in_words(
    api: httpx.AsyncClient, alert: dict[str, Any], retriever: dict[str, Any], words: str
) -> None:
    await make.retriever(api, **retriever)
    await make.alert(api, "ebola", **alert)
    applications = [{"alert_id": "Ebola", "input_mappings": CONSTANT}]
    body = {
        "collection_name": "news",
        "source": {"type": "direct_upsert"},
        "alert_applications": applications,
    }
    error = refused(await api.post("/v1/collections", json=body), 422, "ValidationError")
    assert words in error["message"]
    assert places(error) == [("value_error", ["body", "alert_applications", 0])]
    await make.collection(api)
    patch = {"alert_applications": applications}
    assert words in refused(await api.patch("/v1/collections/news", json=patch), 422, "ValidationError")["message"]
    # Run by hand or by a trigger it may do what one document cannot decide.
    on_demand = [{**applications[0], "execution_mode": "on_demand"}]
    assert (await api.patch("/v1/collections/news", json={"alert_applications": on_demand})).status_code == 200


async def test_many_attachments_are_one_call_and_each_refusal_has_its_place(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    names = [f"A{number}" for number in range(12)]
    for name in names:
        await make.alert(api, "ebola", name)
    await make.alert(api, "ebola", "Several", min_count=2)
    await make.collection(api)

    async def attach(*alerts: str, value: str = "x") -> httpx.Response:
        mappings = [{"input_key": "alert", "source": {"source_type": "constant", "value": value}}]
        given = [{"alert_id": alert, "input_mappings": mappings} for alert in alerts]
        return await api.patch("/v1/collections/news", json={"alert_applications": given})

    made = (await attach(*names)).json()["alert_applications"]
    assert len({item["alert_id"] for item in made}) == len(names)
    error = refused(await attach(*names[:5], "Several", *names[5:]), 422, "ValidationError")
    assert places(error) == [("value_error", ["body", "alert_applications", 5])]
    assert "'Several'" in error["message"]
    error = refused(await attach("A0", "A1", "nobody"), 404, "NotFoundError")
    assert "nobody" in error["message"]
    error = refused(await attach("A0", made[0]["alert_id"]), 409, "ConflictError")
    assert places(error) == [("conflict", ["body", "alert_applications", 1, "alert_id"])]
    # The record holds them all: what does not fit is said where it begins, and nothing is changed.
    error = refused(await attach("A0", "A1", "A2", value="x" * 400_000), 409, "ConflictError")
    assert places(error) == [("conflict", ["body", "alert_applications", 2])]
    assert "only the first 2 of these 3 fit" in error["message"]
    assert (await api.get("/v1/collections/news")).json()["alert_applications"] == made
    assert (await attach("A0", "A1", value="x" * 400_000)).status_code == 200


async def test_refusals(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    await make.alert(api, "ebola")
    await make.collection(api)
    source = {"type": "direct_upsert"}
    path = "/v1/collections"
    refused(await api.post(path, json={"collection_name": "news", "source": source}), 409, "AlreadyExistsError")
    for name in ("ab", "has space", "a/b", "list", "é" * 5):
        refused(await api.post(path, json={"collection_name": name, "source": source}), 422, "ValidationError")
    error = refused(await api.post(path, json={"collection_name": "other"}), 422, "ValidationError")
    assert places(error) == [("missing", ["body", "source"])]
    attach = {"alert_applications": [{"alert_id": "Ebola", "input_mappings": []}]}
    error = refused(await api.patch(f"{path}/news", json=attach), 422, "ValidationError")
    assert places(error) == [("too_short", ["body", "alert_applications", 0, "input_mappings"])]
    for body, status, kind in (
        ({"alert_applications": [{"alert_id": "no", "input_mappings": CONSTANT}]}, 404, "NotFoundError"),
        (
            {"alert_applications": [{"alert_id": "Ebola", "input_mappings": CONSTANT, "x": 1}]},
            422,
            "ValidationError",
        ),
        ({"alert_applications": [{"alert_id": "Ebola", "input_mappings": CONSTANT}] * 2}, 409, "ConflictError"),
        ({"taxonomy_applications": [{"taxonomy_id": "t"}]}, 403, "NotEnabledError"),
        ({"source": source}, 422, "ValidationError"),
    ):
        refused(await api.patch(f"{path}/news", json=body), status, kind)


async def test_rename_list_delete(api: httpx.AsyncClient, here: Context) -> None:
    first = await make.collection(api, "first")
    await make.collection(api, "second")
    refused(
        await api.patch("/v1/collections/first", json={"collection_name": "second"}), 409, "AlreadyExistsError"
    )
    renamed = (await api.patch("/v1/collections/first", json={"collection_name": "third"})).json()
    assert renamed["collection_id"] == first["collection_id"]
    page = (await api.get("/v1/collections")).json()
    assert ListCollectionsResponse.from_dict(page) is not None
    assert [item["collection_name"] for item in page["results"]] == ["second", "third"]
    # The name that was given up is free again.
    await make.collection(api, "first")
    async with here.database.connection() as connection:
        for table, columns, values in (
            ("collection_counters", "partition, added, deleted", "0, 5, 1"),
            ("collection_counters", "partition, added, deleted", "1, 2, 0"),
            (
                "drift_sketches",
                "feature, time_domain, width_seconds, partition, bucket_start, documents, sketch",
                "'f', 'event_time', 60, 0, now(), 1, ''",
            ),
            (
                "drift_seeds",
                "feature, time_domain, width_seconds, partition, up_to_offset",
                "'f', 'event_time', 60, 0, 1",
            ),
            (
                "documents",
                "document_id, occurred_at, appended_at, created_at, partition, record_offset",
                "'d', now(), now(), now(), 0, 0",
            ),
        ):
            await connection.execute(
                f"INSERT INTO {table} (namespace_id, collection_id, {columns})"
                f" SELECT namespace_id, id, {values} FROM definitions WHERE id = %s".encode(),
                (first["collection_id"],),
            )
    assert (await api.get("/v1/collections/third")).json()["document_count"] == 6
    assert (await api.delete("/v1/collections/third")).status_code == 200
    refused(await api.get("/v1/collections/third"), 404, "NotFoundError")
    async with here.database.connection() as connection:
        for table in ("documents", "collection_counters", "drift_sketches", "drift_seeds"):
            cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
            assert await cursor.fetchone() == (0,), table


async def test_an_alert_whose_query_has_another_size_is_not_attached(api: httpx.AsyncClient) -> None:
    fields = [{"field": "v", "name": "embedding", "dimensions": 3, "distance": "cosine"}]
    extractor = {
        "feature_extractor_name": "passthrough_extractor",
        "version": "v1",
        "parameters": {"vector_fields": fields},
    }
    search = {
        "feature_uri": "mixpeek://passthrough_extractor@v1/embedding",
        "query": {"input_mode": "vector", "value": "{{INPUT.v}}"},
        "min_score": 0.5,
    }
    stage = {"stage_name": "s", "config": {"stage_id": "feature_search", "parameters": {"searches": [search]}}}
    await make.retriever(api, stages=[stage])
    await make.alert(api, "ebola", inputs={"v": [1, 0]})
    applications = [{"alert_id": "Ebola", "input_mappings": CONSTANT}]
    body = {
        "collection_name": "news",
        "source": {"type": "direct_upsert"},
        "feature_extractor": extractor,
        "alert_applications": applications,
    }
    place = [("value_error", ["body", "alert_applications", 0])]
    where = "stages[0].config.parameters.searches[0].query.value: vectors of mixpeek://"
    error = refused(await api.post("/v1/collections", json=body), 422, "ValidationError")
    assert places(error) == place
    assert where in error["message"]
    assert "have 3 dimensions" in error["message"]
    await make.collection(api, feature_extractor=extractor)
    patch = {"alert_applications": applications}
    error = refused(await api.patch("/v1/collections/news", json=patch), 422, "ValidationError")
    assert where in error["message"]
    assert (await api.patch("/v1/alerts/Ebola", json={"inputs": {"v": [1, 0, 0]}})).status_code == 200
    assert (await api.patch("/v1/collections/news", json=patch)).status_code == 200
    error = refused(await api.patch("/v1/alerts/Ebola", json={"inputs": {"v": [1]}}), 409, "ConflictError")
    assert where in error["message"]
