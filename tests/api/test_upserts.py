"""Documents that bring their own vectors (contract 2.7): upsert, replays by key, reading back."""

import asyncio
from typing import Any

import httpx
import pytest
from mixpeek.models.byo_upsert_response import BYOUpsertResponse
from mixpeek.models.standalone_namespace_response_model import StandaloneNamespaceResponseModel

from streams.runtime.agent import Context
from streams.runtime.http.headers import WRITE_TOKEN
from tests.api.conftest import caller
from tests.api.make import made, places, refused
from tests.api.test_documents import published

ROOT = "/v1/namespaces/own/documents"


@pytest.fixture
async def byo(here: Context) -> httpx.AsyncClient:
    """A caller with a standalone namespace; its header names none that exists."""
    client = caller(here, **{"X-Namespace": "not-there"})
    configs = [{"name": "v", "dimension": 2}]
    one = await made(client, "/v1/namespaces/standalone", {"namespace_id": "own", "vector_configs": configs})
    assert StandaloneNamespaceResponseModel.from_dict(one) is not None
    assert (one["mode"], one["status"], one["vector_configs"]) == (
        "standalone",
        "active",
        [{"name": "v", "dimension": 2, "metric": "cosine"}],
    )
    return client


async def upserted(client: httpx.AsyncClient, documents: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    answer = await client.post(f"{ROOT}/upsert", json={"documents": documents, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert BYOUpsertResponse.from_dict(told) is not None
    return told


async def test_documents_are_replaced_and_read_back(byo: httpx.AsyncClient, here: Context) -> None:
    first = {
        "document_id": "a/1",
        "vectors": {"v": [1, 0.5]},
        "payload": {"text": "t", "n": 1, "document_id": "x"},
        "metadata": {"k": 1},
        "content_hash": "h",
    }
    told = await upserted(byo, [first, {"document_id": "b", "vectors": {}}], options={"write_token": True})
    assert (told["inserted"], told["document_ids"]) == (2, ["a/1", "b"])
    assert told["write_token"].startswith("wt_")
    assert told["dropped_payload_fields"] == {"a/1": ["document_id"]}
    assert told["unsearchable_document_ids"] == ["b"]
    shown = (await byo.get(f"{ROOT}/a%2F1", params={"return_vectors": "true"})).json()
    assert shown["vectors"] == {"v": [1, 0.5]}
    assert (shown["text"], shown["n"], shown["metadata"], shown["content_hash"]) == ("t", 1, {"k": 1}, "h")
    assert "vectors" not in (await byo.get(f"{ROOT}/a%2F1")).json()
    again = await upserted(byo, [{"document_id": "a/1", "vectors": {"v": [0, 1]}}])
    assert again["write_token"] is None
    shown = (await byo.get(f"{ROOT}/a%2F1", params={"return_vectors": "true"})).json()
    assert shown["vectors"] == {"v": [0, 1]}
    assert "n" not in shown
    refused(await byo.get(f"{ROOT}/c"), 404, "NotFoundError")
    events = [event for event, _ in await published(here)]
    assert [event.document_id for event in events] == ["a/1", "b", "a/1"]
    assert all("x-definitions-version" in headers for _, headers in await published(here))
    assert (await byo.get("/v1/collections", params={"namespace": "own"}, headers={"X-Namespace": "own"})).json()[
        "results"
    ][0]["collection_name"] == "default"


async def test_what_is_not_searched_is_kept(byo: httpx.AsyncClient) -> None:
    vectors = {"v": [1, 0], "many": [[1, 2], [3, 4]], "few": {"indices": [3, 900], "values": [0.5, 1]}}
    told = await upserted(byo, [{"document_id": "a", "vectors": vectors}])
    assert "few, many" in told["warnings"][0]
    assert (await byo.get(f"{ROOT}/a", params={"return_vectors": "true"})).json()["vectors"] == vectors
    assert not {"vectors", "_vectors"} & (await byo.get(f"{ROOT}/a")).json().keys()


async def test_the_same_key_writes_once(byo: httpx.AsyncClient, here: Context) -> None:
    document = {"document_id": "a", "vectors": {"v": [1, 0]}}
    options = {"idempotency_key": "k", "write_token": True}
    told = await asyncio.gather(*(upserted(byo, [document], options=options) for _ in range(4)))
    assert all(one == told[0] for one in told)
    assert len(await published(here)) == 1
    # Whoever asks again may wait for the write as who asked first, asked for in the body or not.
    for more in (options, {"idempotency_key": "l"}):
        body = {"documents": [document], "options": more}
        first, again = [await byo.post(f"{ROOT}/upsert", json=body) for _ in range(2)]
        assert first.headers[WRITE_TOKEN] == again.headers[WRITE_TOKEN]
        assert first.json() == again.json()
    assert len(await published(here)) == 2
    other = {"documents": [{**document, "payload": {"n": 2}}], "options": options}
    refused(await byo.post(f"{ROOT}/upsert", json=other), 409, "AlreadyExistsError")
    assert len(await published(here)) == 2


async def test_what_cannot_be_upserted_is_refused_and_nothing_is_written(
    byo: httpx.AsyncClient, here: Context
) -> None:
    good = {"document_id": "good", "vectors": {"v": [1, 0]}}
    wrong: list[tuple[dict[str, Any], list[Any]]] = [
        ({"document_id": "a", "vectors": {"v": [1]}}, ["vectors", "v"]),
        ({"document_id": "a", "vectors": {"w": [1, 0]}}, ["vectors", "w"]),
        ({"document_id": "..", "vectors": {}}, ["document_id"]),
        ({"document_id": "", "vectors": {}}, ["document_id"]),
    ]
    for document, where in wrong:
        error = refused(
            await byo.post(f"{ROOT}/upsert", json={"documents": [good, document]}), 422, "ValidationError"
        )
        assert ["body", "documents", 1, *where] in [place for _, place in places(error)]
    for body in (
        {"documents": [{"document_id": "a"}]},
        {"documents": [{"document_id": "a", "vectors": {"v": []}}]},
        {"documents": [{"document_id": "a", "vectors": {"v": [1e39, 0]}}]},
        {"documents": [good] * 1001},
        {"documents": [{**good, "colour": 1}]},
        {},
    ):
        refused(await byo.post(f"{ROOT}/upsert", json=body), 422, "ValidationError")
    for vector in ([[1], [1, 2]], {"indices": [1], "values": []}, {"indices": [1, 1], "values": [1, 2]}):
        body = {"documents": [good, {"document_id": "a", "vectors": {"m": vector}}]}
        error = refused(await byo.post(f"{ROOT}/upsert", json=body), 409, "ConflictError")
        assert places(error)[0][1][:5] == ["body", "documents", 1, "vectors", "m"]
    nowhere = {"documents": [good], "collection_id": "nowhere"}
    refused(await byo.post(f"{ROOT}/upsert", json=nowhere), 404, "NotFoundError")
    refused(await byo.post("/v1/namespaces/nowhere/documents/upsert", json=nowhere), 404, "NotFoundError")
    assert await published(here) == []
    assert (await upserted(byo, []))["inserted"] == 0
