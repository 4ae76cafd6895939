"""Batch channels over HTTP: what they copy into is there, and is kept by its id."""

from typing import Any

import httpx

from tests.api import make
from tests.api.make import refused


def batch(**config: Any) -> dict[str, Any]:
    return {"channels": [{"channel_type": "batch", "config": config}]}


async def test_a_batch_channel_names_a_collection(api: httpx.AsyncClient) -> None:
    hits = (await make.collection(api, "hits"))["collection_id"]
    other = (await make.collection(api, "other"))["collection_id"]
    retriever = (await make.retriever(api))["retriever_id"]
    made = await make.alert(api, retriever, notification_config=batch(collection_id="hits", dedup_strategy="skip"))
    (channel,) = made["notification_config"]["channels"]
    assert channel["config"] == {"collection_id": hits, "dedup_strategy": "skip"}
    changed = await api.patch(
        f"/v1/alerts/{made['alert_id']}", json={"notification_config": batch(collection_id="other")}
    )
    assert changed.json()["notification_config"]["channels"][0]["config"]["collection_id"] == other


async def test_a_batch_channel_that_could_not_deliver_is_refused(api: httpx.AsyncClient) -> None:
    await make.collection(api, "hits")
    retriever = (await make.retriever(api))["retriever_id"]
    for status, kind, config in (
        (404, "NotFoundError", {"collection_id": "none"}),
        (403, "NotEnabledError", {"collection_id": "hits", "bucket_id": "b"}),
        (422, "ValidationError", {"collection_id": "hits", "dedup_strategy": "maybe"}),
        (422, "ValidationError", {"bucket_id": "b"}),
    ):
        body = {"name": "a", "retriever_id": retriever, "notification_config": batch(**config)}
        refused(await api.post("/v1/alerts", json=body), status, kind)
