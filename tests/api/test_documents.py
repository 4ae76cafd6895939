from typing import Any

import httpx
import numpy as np
import pytest
from mixpeek.models.batch_delete_documents_response import BatchDeleteDocumentsResponse
from mixpeek.models.batch_update_documents_response import BatchUpdateDocumentsResponse
from mixpeek.models.bulk_update_documents_response import BulkUpdateDocumentsResponse
from mixpeek.models.document_response import DocumentResponse
from mixpeek.models.task_response import TaskResponse
from psycopg.types.json import Jsonb

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import DEFINITIONS_VERSION, DefinitionsVersion
from streams.api import document_batches
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version
from tests.api import make
from tests.api.conftest import NOW
from tests.api.make import made, places, refused

PATH = "/v1/collections/news/documents"


async def published(here: Context) -> list[tuple[DocumentEvent, dict[str, str]]]:
    async with here.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT key, value, headers FROM outbox WHERE topic = 'documents' ORDER BY id"
        )
        return [
            (decode_document_event(key, value, [], appended_at=NOW), dict(headers))
            for key, value, headers in await cursor.fetchall()
        ]


async def test_create_publishes_an_event_with_the_version_it_saw(api: httpx.AsyncClient, here: Context) -> None:
    news = await make.collection(api)
    body = {
        "document_id": "tweet/1",
        "text": "Ebola",
        "asset_id": "a1",
        "occurred_at": "2014-10-01T12:00:00Z",
        "title": None,
        "n": 3,
        "metadata": {"k": "v"},
        "vectors": {"embedding": [1, 0.5]},
        "collection_id": "news",
    }
    answer = await api.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert DocumentResponse.from_dict(shown) is not None
    assert shown["document_id"] == "tweet/1"
    assert (shown["text"], shown["n"], shown["title"], shown["metadata"]) == ("Ebola", 3, None, {"k": "v"})
    assert shown["_internal"]["namespace_id"] == news_namespace(shown)
    ((event, headers),) = await published(here)
    assert (event.type, event.document_id, event.text, event.asset_id) == (
        "document.upserted",
        "tweet/1",
        "Ebola",
        "a1",
    )
    assert event.collection_id == news["collection_id"]
    assert event.occurred_at.isoformat() == "2014-10-01T12:00:00+00:00"
    assert event.payload == {"title": None, "n": 3, "metadata": {"k": "v"}}
    assert event.event_id
    vector = event.features["mixpeek://passthrough_extractor@v1/embedding"]
    assert np.array_equal(vector, np.array([1, 0.5], dtype=np.float32))
    async with here.database.connection() as connection:
        version = await current_version(connection)
    assert DefinitionsVersion.parse(headers[DEFINITIONS_VERSION]) == version
    assert answer.headers["X-Definitions-Version"] == str(version)
    second = (await api.post(PATH, json={"text": "x"})).json()
    assert second["document_id"].startswith("doc_")
    events = [event for event, _ in await published(here)]
    assert events[0].event_id != events[1].event_id
    assert events[1].occurred_at == NOW


def news_namespace(shown: dict[str, Any]) -> str:
    namespace: str = shown["_internal"]["namespace_id"]
    assert namespace.startswith("ns_")
    return namespace


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("body", "status", "location"),
    [
        ({"document_id": "count"}, 422, ["body", "document_id"]),
        ({"document_id": ""}, 422, ["body", "document_id"]),
        ({"document_id": "a\nb"}, 422, ["body", "document_id"]),
        ({"collection_id": "col_other"}, 422, ["body", "collection_id"]),
        ({"occurred_at": "yesterday"}, 422, ["body", "occurred_at"]),
        ({"vectors": {"embedding": [1.0]}}, 422, ["body", "vectors"]),
        ({"vectors": {"nope": [1, 2, 3]}}, 422, ["body", "vectors", "nope"]),
        ({"vectors": {"embedding": [1e39, 0, 0]}}, 422, ["body", "vectors", "embedding", 0]),
        ({"text": "a\x00b"}, 422, ["body"]),
        ({"blob": "x" * 900_000}, 413, None),
    ],
)
async def test_a_wrong_document_is_refused_and_not_published(
    api: httpx.AsyncClient, here: Context, body: dict[str, Any], status: int, location: list[Any] | None
) -> None:
    extractor = {
        "feature_extractor_name": "passthrough_extractor",
        "version": "v1",
        "parameters": {"vector_fields": [{"field": "v", "name": "embedding", "dimensions": 3}]},
    }
    await make.collection(api, feature_extractor=extractor)
    error = refused(
        await api.post(PATH, json=body), status, "ValidationError" if status == 422 else "BadRequestError"
    )
    if location is not None:
        assert places(error)[0][1] == location
    assert await published(here) == []


@pytest.mark.parametrize("body", [{"vectors": {"v" * 3_000: [1.0]}}, {"deep": nested(63)}])
async def test_what_no_station_could_read_is_refused(
    api: httpx.AsyncClient, here: Context, body: dict[str, Any]
) -> None:
    await make.collection(api)
    error = refused(await api.post(PATH, json=body), 413, "BadRequestError")
    assert "could not be read again" in error["message"]
    assert await published(here) == []
    assert (await api.post(PATH, json={"deep": nested(62)})).status_code == 200


async def test_get_count_and_delete_read_what_was_collected(api: httpx.AsyncClient, here: Context) -> None:
    news = await made(api, "/v1/collections", {"collection_name": "news", "source": {"type": "direct_upsert"}})
    refused(await api.get(f"{PATH}/a%2Fb"), 404, "NotFoundError")
    refused(await api.delete(f"{PATH}/a%2Fb"), 404, "NotFoundError")
    async with here.database.connection() as connection:
        namespace = await (
            await connection.execute("SELECT id FROM definitions WHERE kind='namespace'")
        ).fetchone()
        assert namespace is not None
        key = (namespace[0], news["collection_id"], "a/b")
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, occurred_at,"
            " appended_at, partition, record_offset, created_at)"
            " VALUES (%s, %s, %s, %s, 'words', '2014-01-01', '2014-01-02', 0, 0, '2014-01-01')",
            (*key, Jsonb({"title": "t", "document_id": "liar", "internal": 1})),
        )
        await connection.execute(
            "INSERT INTO document_vectors (namespace_id, collection_id, document_id, feature_uri, embedding)"
            " VALUES (%s, %s, %s, 'v', '[1,2]')",
            key,
        )
        await connection.execute(
            "INSERT INTO collection_counters (namespace_id, collection_id, partition, added, deleted)"
            " VALUES (%s, %s, 0, 5, 1), (%s, %s, 1, 3, 0)",
            (*key[:2], *key[:2]),
        )
    shown = (await api.get(f"{PATH}/a%2Fb")).json()
    assert DocumentResponse.from_dict(shown) is not None
    assert (shown["document_id"], shown["title"], shown["text"]) == ("a/b", "t", "words")
    assert shown["collection_id"] == news["collection_id"]
    assert shown["searchable_at"] == shown["_internal"]["updated_at"] == "2014-01-02T00:00:00.000Z"
    assert "vectors" not in shown
    with_vectors = (await api.get(f"{PATH}/a%2Fb", params={"return_vectors": True})).json()
    assert with_vectors["vectors"] == {"v": [1.0, 2.0]}
    count = (await api.get(f"{PATH}/count")).json()
    assert count == {"collection_id": news["collection_id"], "count": 7}
    assert (await api.delete(f"{PATH}/a%2Fb")).json() == {"message": "Successfully deleted", "success": True}
    ((event, _),) = await published(here)
    assert (event.type, event.document_id) == ("document.deleted", "a/b")


async def test_a_disabled_collection_takes_none(api: httpx.AsyncClient) -> None:
    await make.collection(api, enabled=False)
    refused(await api.post(PATH, json={"text": "x"}), 409, "ConflictError")


async def test_patch_and_put_merge(api: httpx.AsyncClient, here: Context) -> None:
    await make.collection(api)
    await api.post(PATH, json={"document_id": "d", "text": "t", "n": 1, "metadata": {"a": 1, "b": 2}})
    for call in (api.patch, api.put):
        answer = await call(f"{PATH}/d", json={"n": 2, "metadata": {"b": None, "c": 3}})
        assert answer.status_code == 200, answer.text
        assert DocumentResponse.from_dict(answer.json()) is not None
        assert answer.headers["X-Write-Token"].startswith("wt_")
        assert answer.json()["metadata"] == {"a": 1, "c": 3}
    shown = (await api.get(f"{PATH}/d")).json()
    assert (shown["n"], shown["text"], shown["metadata"]) == (2, "t", {"a": 1, "c": 3})
    # What was read can be sent back whole.
    assert (await api.put(f"{PATH}/d", json=shown)).json()["metadata"] == {"a": 1, "c": 3}
    events = await published(here)
    assert [event.payload["n"] for event, _ in events] == [1, 2, 2, 2]
    assert len({event.event_id for event, _ in events}) == 4
    seqs = [int(headers["x-seq"]) for _, headers in events]
    assert seqs == sorted(set(seqs))
    assert (await api.patch(f"{PATH}/d", json={})).status_code == 200
    assert len(await published(here)) == 4
    refused(await api.patch(f"{PATH}/other", json={"n": 1}), 404, "NotFoundError")
    wrong: list[tuple[Any, list[Any]]] = [
        ({"document_id": "e"}, ["body", "document_id"]),
        ({"collection_id": "col_e"}, ["body", "collection_id"]),
        ({"metadata": []}, ["body", "metadata"]),
        ({"occurred_at": "yesterday"}, ["body", "occurred_at"]),
        ({"vectors": {"v": []}}, ["body", "vectors"]),
        ({"vectors": {"v": "x"}}, ["body", "vectors", "v"]),
        ({"features": [{}]}, ["body", "features", 0, "feature_extractor_id"]),
        ({".".join("a" * 40): 1}, ["body", ".".join("a" * 40)]),
        ([], ["body"]),
        ({"n": "a\x00"}, ["body"]),
    ]
    for body, where in wrong:
        error = refused(await api.patch(f"{PATH}/d", json=body), 422, "ValidationError")
        assert places(error)[0][1][: len(where)] == where
    big = {"document_id": "big", "blob": "x" * 450_000}
    assert (await api.post(PATH, json=big)).status_code == 200
    refused(await api.patch(f"{PATH}/big", json={"more": "x" * 450_000}), 413, "BadRequestError")
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    refused(await api.patch(f"{PATH}/d", json={"a.b.c.d.e.f": deep}), 409, "ConflictError")
    assert len(await published(here)) == 5


async def test_patches_change_vectors_by_name(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    await api.post(PATH, json={"document_id": "d", "vectors": {"a": [1, 0], "b": [0, 1]}})
    assert (await api.patch(f"{PATH}/d", json={"vectors": {"b": [1, 1]}})).status_code == 200
    shown = (await api.get(f"{PATH}/d", params={"return_vector_names": "a,b"})).json()
    assert (shown["a"], shown["b"]) == ([1, 0], [1, 1])
    shown = (await api.get(f"{PATH}/d", params={"return_vector_names": "true"})).json()
    assert [name.rsplit("/", 1)[1] for name in shown["_vectors"]] == ["a", "b"]


async def test_batches(api: httpx.AsyncClient, here: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await make.collection(api)
    for number in range(4):
        await api.post(PATH, json={"document_id": f"d{number}", "n": number})
    updates: list[dict[str, Any]] = [
        {"document_id": "d0", "update_data": {"x": 1}},
        {"document_id": "gone", "update_data": {"x": 1}},
        {"document_id": "d1", "update_data": {"metadata": 1}},
        {"document_id": "d0", "update_data": {"y": 2}},
        {"document_id": "d2", "update_data": {"z": "larger than a record is" * 50_000}},
    ]
    answer = (await api.post(f"{PATH}/batch", json={"updates": updates})).json()
    assert BatchUpdateDocumentsResponse.from_dict(answer) is not None
    assert [one["success"] for one in answer["results"]] == [True, False, False, True, False]
    assert (answer["updated_count"], answer["failed_count"]) == (2, 3)
    assert "larger than" in answer["results"][4]["error"]
    assert "z" not in (await api.get(f"{PATH}/d2")).json()
    assert answer["results"][1]["error"] == "Document not found"
    shown = (await api.get(f"{PATH}/d0")).json()
    assert (shown["x"], shown["y"]) == (1, 2)
    body = {"filters": {"n": {"gte": 2}}, "update_data": {"old": True}}
    assert (await api.post(f"{PATH}/batch", json=body)).json()["updated_count"] == 2
    too_large = {"update_data": {"z": "larger than a record is" * 50_000}}
    refused(await api.patch(f"{PATH}/bulk", json=too_large), 413, "BadRequestError")
    answer = (await api.patch(f"{PATH}/bulk", json={"update_data": {"all": True}})).json()
    assert BulkUpdateDocumentsResponse.from_dict(answer) is not None
    assert (answer["updated_count"], answer["task_id"]) == (4, None)
    gone = {"document_ids": ["d0", "gone"], "reason": "why not"}
    answer = (await api.request("DELETE", f"{PATH}/batch", json=gone)).json()
    assert BatchDeleteDocumentsResponse.from_dict(answer) is not None
    assert (answer["deleted_count"], answer["failed_count"]) == (1, 1)
    answer = (await api.request("DELETE", f"{PATH}/batch", json={"filters": {"n": 3}})).json()
    assert answer["deleted_count"] == 1
    assert (await api.get(f"{PATH}/count")).json()["count"] == 2
    wrong: list[tuple[str, str, Any]] = [
        ("POST", "batch", {}),
        ("POST", "batch", {"updates": []}),
        ("POST", "batch", {"updates": updates, "filters": {}}),
        ("POST", "batch", {"filters": {"n": 1}}),
        ("POST", "batch", {"updates": [updates[0]] * 1001}),
        ("POST", "batch", {"filters": {"AND": [None]}, "update_data": {"x": 1}}),
        ("DELETE", "batch", {}),
        ("DELETE", "batch", {"document_ids": []}),
        ("DELETE", "batch", {"document_ids": ["a"], "filters": {"n": 1}}),
        ("DELETE", "batch", {"document_ids": ["a"], "reason": "x" * 501}),
        ("PATCH", "bulk", {}),
        ("PATCH", "bulk", {"update_data": {"x": 1}, "colour": 1}),
    ]
    for method, path, wrong_body in wrong:
        refused(await api.request(method, f"{PATH}/{path}", json=wrong_body), 422, "ValidationError")
    # More than a request does itself is done by a task.
    monkeypatch.setattr(document_batches, "MAX_AT_ONCE", 1)
    answer = (await api.patch(f"{PATH}/bulk", json={"update_data": {"n": 0}})).json()
    assert (answer["updated_count"], answer["status"]) == (None, "PENDING")
    task = (await api.get(f"/v1/tasks/{answer['task_id']}")).json()
    assert TaskResponse.from_dict(task) is not None
    answer = (await api.request("DELETE", f"{PATH}/batch", json={"filters": {"all": True}})).json()
    assert (answer["deleted_count"], answer["status"]) == (None, "PENDING")
    assert (await api.get(f"{PATH}/count")).json()["count"] == 2


async def test_a_disabled_collection_lets_go(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for name in ("a", "b"):
        await api.post(PATH, json={"document_id": name})
    assert (await api.patch("/v1/collections/news", json={"enabled": False})).status_code == 200
    refused(await api.patch(f"{PATH}/a", json={"n": 1}), 409, "ConflictError")
    assert (await api.delete(f"{PATH}/a")).status_code == 200
    assert (await api.request("DELETE", f"{PATH}/batch", json={"document_ids": ["b"]})).json()[
        "deleted_count"
    ] == 1
