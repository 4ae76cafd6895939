"""``POST /v1/collections/{id}/trigger``: a task is queued, and refused where it could not run."""

from typing import Any

import httpx
from mixpeek.models.trigger_collection_response import TriggerCollectionResponse

from streams.runtime.agent import Context
from tests.api import make
from tests.api.make import refused


async def triggered(api: httpx.AsyncClient, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await api.post(f"/v1/collections/{name}/trigger", json=body)
    assert answer.status_code == 202, answer.text
    result: dict[str, Any] = answer.json()
    assert TriggerCollectionResponse.from_dict(result) is not None
    return result


async def config_of(context: Context, task_id: str) -> dict[str, Any]:
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT command->'action_config' FROM jobs WHERE job_id = %s", (task_id,)
        )
        row = await cursor.fetchone()
    assert row is not None
    config: dict[str, Any] = row[0]
    return config


async def test_a_run_is_a_task_and_a_batch(here: Context, api: httpx.AsyncClient) -> None:
    news = (await make.collection(api))["collection_id"]
    made = await make.collection(api, "made", source={"type": "collection", "collection_ids": [news]})
    first = await triggered(api, "made")
    assert (first["collection_id"], first["source_collection_ids"]) == (made["collection_id"], [news])
    assert (first["batch_id"], first["total_tiers"], first["document_count"]) == (first["task_id"], 1, 0)
    task = (await api.get(f"/v1/tasks/{first['task_id']}")).json()
    assert (task["task_type"], task["status"]) == ("api_collections_trigger", "PENDING")
    body = {
        "include_collections": ["news"],
        "object_ids": ["a"],
        "source_filters": {"field": "n", "operator": "gt", "value": 1},
        "dedup_strategy": "skip",
    }
    second = await triggered(api, "news", body)
    assert second["task_id"] != first["task_id"]
    config = await config_of(here, second["task_id"])
    assert (config["include_collections"], config["document_ids"]) == ([news], ["a"])
    assert (config["dedup_strategy"], config["source_filters"]) == ("skip", body["source_filters"])


async def test_what_cannot_run_is_refused(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    await make.collection(api, "off", enabled=False)
    path = "/v1/collections/news/trigger"
    refused(await api.post("/v1/collections/none/trigger"), 404, "NotFoundError")
    refused(await api.post(path, json={"include_collections": ["none"]}), 404, "NotFoundError")
    refused(await api.post(path, json={"include_buckets": ["b"]}), 403, "NotEnabledError")
    refused(await api.post(path, json={"dedup_strategy": "maybe"}), 422, "ValidationError")
    refused(await api.post(path, json={"source_filters": {"field": "a", "operator": "x"}}), 422, "ValidationError")
    refused(await api.post("/v1/collections/off/trigger"), 409, "ConflictError")
