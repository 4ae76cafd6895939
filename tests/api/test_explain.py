from typing import Any

import httpx
import numpy as np
import pytest

from streams.runtime.agent import Context
from tests.api import make
from tests.api.conftest import NOW, caller
from tests.api.make import places, refused
from tests.api.test_namespaces import add_key

URI = "mixpeek://passthrough_extractor@v1/embedding"


async def stored(here: Context, collection: dict[str, Any], document_id: str, text: str) -> None:
    """A document as collect leaves it, with a vector."""
    async with here.database.transaction() as connection:
        cursor = await connection.execute(
            "SELECT namespace_id FROM definitions WHERE kind = 'collection' AND id = %s",
            (collection["collection_id"],),
        )
        row = await cursor.fetchone()
        assert row is not None
        key = (row[0], collection["collection_id"], document_id)
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, payload, text, occurred_at,"
            ' appended_at, partition, record_offset, created_at) VALUES (%s, %s, %s, \'{"lang": "en"}\', %s, %s,'
            " %s, 0, 0, %s)",
            (*key, text, NOW, NOW, NOW),
        )
        await connection.execute(
            "INSERT INTO document_vectors (namespace_id, collection_id, document_id, feature_uri, embedding)"
            " VALUES (%s, %s, %s, %s, %s)",
            (*key, URI, np.array([1, 0], dtype=np.float32)),
        )


async def test_a_stored_document_and_one_that_is_sent_are_explained(api: httpx.AsyncClient, here: Context) -> None:
    news = await make.collection(api)
    search = {"searches": [{"feature_uri": URI, "query": [1, 1], "min_score": 0.5}]}
    stages = [make.filter_stage(make.EBOLA), {"stage_name": "s", "config": {"stage_id": "feature_search"}}]
    stages[1]["config"]["parameters"] = search
    await make.retriever(api, stages=stages)
    alert = await make.alert(api, "ebola")
    await stored(here, news, "d/1", "Ebola again")
    await add_key(here, "sk_reader", None, ["read"])
    async with caller(here, "sk_reader") as reader:
        answer = await reader.post(
            "/v1/alerts/Ebola/explain", json={"collection_id": "news", "document_id": "d/1"}
        )
    told = answer.json()
    assert answer.status_code == 200
    assert (told["alert_id"], told["collection_id"]) == (alert["alert_id"], news["collection_id"])
    assert (told["document_id"], told["matches"], told["score"]) == ("d/1", True, pytest.approx(0.707107))
    assert told["conditions"]["values"] == ['"Ebola again"']
    assert told["searches"] == [
        {"feature_uri": URI, "similarity": pytest.approx(0.707107), "min_score": 0.5, "found": True}
    ]
    assert told["index"]["kind"] == "vector"
    document = {"document_id": 7, "text": "flu", "features": {URI: [1, 1]}}
    sent = (await api.post(f"/v1/alerts/{alert['alert_id']}/explain", json={"document": document})).json()
    assert (sent["document_id"], sent["matches"], sent["collection_id"]) == ("7", False, None)
    assert sent["reason"] == 'text text "ebola" is false, the document has "flu"'


async def test_inputs_come_from_the_attachment(api: httpx.AsyncClient) -> None:
    stage = make.filter_stage({"field": "text", "operator": "text", "value": "{{INPUT.word}}"})
    await make.retriever(api, "word", stages=[stage], input_schema={"word": {"type": "text"}})
    await make.alert(api, "word", "Word")
    mapping = {"input_key": "word", "source": {"source_type": "constant", "value": "zika"}}
    await make.collection(api, alert_applications=[{"alert_id": "Word", "input_mappings": [mapping]}])
    body = {"document": {"text": "Zika"}}
    error = refused(await api.post("/v1/alerts/Word/explain", json=body), 409, "ConflictError")
    assert "word" in error["message"]
    told = (await api.post("/v1/alerts/Word/explain", json={**body, "collection_id": "news"})).json()
    assert told["matches"] is True


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["body", "document"]),
        ({"document_id": "d"}, ["body", "collection_id"]),
        ({"document": {}, "document_id": "d", "collection_id": "news"}, ["body", "document"]),
        ({"document": {"document_id": [1]}}, ["body", "document"]),
        ({"document": {"features": {URI: ["x"]}}}, ["body", "document"]),
        ({"document": {"type": "document.deleted"}}, ["body", "document", "type"]),
        ({"document": [1]}, ["body", "document"]),
    ],
)
async def test_a_body_without_a_document_is_refused(
    api: httpx.AsyncClient, body: dict[str, Any], place: list[Any]
) -> None:
    await make.retriever(api)
    await make.alert(api, "ebola")
    await make.collection(api)
    deleted = place[-1] == "type"
    refusal = (409, "ConflictError") if deleted else (422, "ValidationError")
    error = refused(await api.post("/v1/alerts/Ebola/explain", json=body), *refusal)
    assert [location for _, location in places(error)] == [place]


async def test_what_is_not_there_is_not_found(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    await make.alert(api, "ebola")
    await make.collection(api)
    for path, body in (
        ("/v1/alerts/nobody/explain", {"document": {}}),
        ("/v1/alerts/Ebola/explain", {"document": {}, "collection_id": "nowhere"}),
        ("/v1/alerts/Ebola/explain", {"document_id": "none", "collection_id": "news"}),
    ):
        refused(await api.post(path, json=body), 404, "NotFoundError")
