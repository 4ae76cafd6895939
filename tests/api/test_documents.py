from typing import Any

import httpx
import numpy as np
import pytest
from mixpeek.models.document_response import DocumentResponse
from psycopg.types.json import Jsonb

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import DEFINITIONS_VERSION, DefinitionsVersion
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


@pytest.mark.parametrize(
    ("body", "status", "location"),
    [
        ({"document_id": "count"}, 422, ["body", "document_id"]),
        ({"document_id": ""}, 422, ["body", "document_id"]),
        ({"collection_id": "col_other"}, 422, ["body", "collection_id"]),
        ({"occurred_at": "yesterday"}, 422, ["body", "occurred_at"]),
        ({"vectors": {"embedding": [1.0]}}, 422, ["body", "vectors"]),
        ({"vectors": {"nope": [1, 2, 3]}}, 422, ["body", "vectors", "nope"]),
        ({"vectors": {"embedding": [1e39, 0, 0]}}, 422, ["body", "vectors"]),
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
    refused(await api.post(PATH, json={"text": "x"}), 400, "BadRequestError")
