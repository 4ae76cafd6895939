"""Definitions that tests begin with."""

from typing import Any

import httpx

EBOLA = {"field": "text", "operator": "text", "value": "ebola"}
UNCONFIGURED = {"channels": [{"channel_type": "webhook"}]}
CONSTANT = [{"input_key": "alert", "source": {"source_type": "constant", "value": "x"}}]


async def made(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create and expect success with the version header."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    epoch, _, number = answer.headers["X-Definitions-Version"].rpartition(":")
    assert epoch
    assert int(number) > 0
    result: dict[str, Any] = answer.json()
    return result


async def collection(client: httpx.AsyncClient, name: str = "news", **more: Any) -> dict[str, Any]:
    """A collection fed by the stream."""
    body = {"collection_name": name, "source": {"type": "direct_upsert"}, **more}
    return await made(client, "/v1/collections", body)


def filter_stage(condition: dict[str, Any], name: str = "filter") -> dict[str, Any]:
    """An attribute filter."""
    parameters = {"conditions": condition}
    return {"stage_name": name, "config": {"stage_id": "attribute_filter", "parameters": parameters}}


async def retriever(client: httpx.AsyncClient, name: str = "ebola", **more: Any) -> dict[str, Any]:
    """A retriever that can be checked on ingest."""
    return await made(client, "/v1/retrievers", {"retriever_name": name, "stages": [filter_stage(EBOLA)], **more})


async def alert(client: httpx.AsyncClient, retriever_id: str, name: str = "Ebola", **more: Any) -> dict[str, Any]:
    """An alert without delivery."""
    body = {"name": name, "retriever_id": retriever_id, "notification_config": UNCONFIGURED, **more}
    return await made(client, "/v1/alerts", body)


async def cluster(client: httpx.AsyncClient, collection_id: str, name: str = "topics") -> dict[str, Any]:
    """A kmeans cluster over the built-in embedding."""
    config = {
        "feature_uri": "mixpeek://hashing@v1/words",
        "clustering_method": "kmeans",
        "kmeans_parameters": {"n_clusters": 4},
    }
    body = {
        "cluster_name": name,
        "collection_ids": [collection_id],
        "cluster_type": "vector",
        "vector_config": config,
    }
    return await made(client, "/v1/clusters", body)


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The error of an answer in the envelope of contract 1.3."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is False
    assert body["status"] == status
    assert body["error"]["type"] == kind
    assert body["error"]["message"]
    assert set(body["error"]) == {"message", "type", "code", "details"}
    error: dict[str, Any] = body["error"]
    return error


def places(error: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """Type and location of each validation error."""
    return [(item["type"], item["location"]) for item in error["details"]["validation_errors"]]
