"""Running retrievers over HTTP: requests, pages, errors, streams and what is kept of them."""

import asyncio
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import mixpeek as official
import numpy as np
import orjson
import pytest
from mixpeek.models.adhoc_execution_detail import AdhocExecutionDetail
from mixpeek.models.execute_retriever_response import ExecuteRetrieverResponse
from mixpeek.models.execution_detail import ExecutionDetail
from mixpeek.models.list_adhoc_executions_response import ListAdhocExecutionsResponse
from mixpeek.models.list_executions_response import ListExecutionsResponse

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.topics import RETRIEVER_EXECUTIONS
from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.query.rows import Rows
from streams.query.store import write
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.keys import create_key
from tests.api.conftest import KEY, NOW, served_app
from tests.api.make import collection, filter_stage, made, places, refused
from tests.retrieval.storing import store

mixpeek: Any = official
FACE = "mixpeek://passthrough_extractor@v1/face"


def search_stage(**more: Any) -> dict[str, Any]:
    search = {
        "feature_uri": FACE,
        "query": {"input_mode": "vector", "value": "{{INPUT.face}}"},
        **more,
    }
    return {
        "stage_name": "alike",
        "config": {"stage_id": "feature_search", "parameters": {"searches": [search], "final_top_k": 100}},
    }


SCHEMA = {"face": {"type": "array", "required": True}, "least": {"type": "number", "default": 0}}


async def people(here: Context, http: httpx.AsyncClient, count: int = 30) -> str:
    """A collection of people around a circle, a degree each; its id."""
    made_ = await collection(http, "people")
    namespace = (await http.get("/v1/namespaces/default")).json()["namespace_id"]
    events = [
        DocumentEvent(
            UPSERTED,
            namespace,
            made_["collection_id"],
            f"p{at:02}",
            NOW,
            payload={"n": at, "name": f"Person {at}", "friend": f"p{(at + 1) % count:02}"},
            text="flu in the city" if at % 2 else "nothing",
            features={FACE: np.array([math.cos(math.radians(at)), math.sin(math.radians(at))], dtype=np.float32)},
        )
        for at in range(count)
    ]
    await store(here.database, events)
    return str(made_["collection_id"])


async def alike(http: httpx.AsyncClient, *stages: dict[str, Any], **more: Any) -> str:
    body = {
        "retriever_name": "alike",
        "collection_identifiers": ["people"],
        "stages": [search_stage(), *stages],
        "input_schema": SCHEMA,
        **more,
    }
    return str((await made(http, "/v1/retrievers", body))["retriever_id"])


async def executed(http: httpx.AsyncClient, path: str = "alike", **body: Any) -> dict[str, Any]:
    """Execute and expect success."""
    query = body.pop("query", {})
    answer = await http.post(f"/v1/retrievers/{path}/execute", json=body, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    ExecuteRetrieverResponse.from_dict(found)
    return found


def ids(found: Mapping[str, Any]) -> list[str]:
    return [item["document_id"] for item in found["documents"]]


FRONT = {"face": [1.0, 0.0]}


async def test_an_execution_and_its_record(here: Context, http: httpx.AsyncClient) -> None:
    collection_id = await people(here, http)
    retriever_id = await alike(http)
    found = await executed(http, inputs=FRONT, limit=3)
    assert (found["status"], found["retriever_id"]) == ("completed", retriever_id)
    assert ids(found) == ["p00", "p01", "p02"]
    first = found["documents"][1]
    assert (first["score"], first["collection_id"], first["name"]) == (0.999848, collection_id, "Person 1")
    assert first["payload"]["name"] == "Person 1"
    assert first["matched_features"] == {FACE: 0.999848}
    assert "vectors" not in first
    assert found["stage_statistics"]["stages"]["alike"] == {
        **found["stage_statistics"]["stages"]["alike"],
        "input_count": 30,
        "output_count": 30,
        "efficiency": 1.0,
    }
    assert found["budget"]["credits_used"] == 0.03
    assert found["pagination"] == {
        **found["pagination"],
        "method": "cursor",
        "returned": 3,
        "limit": 3,
        "page_size": 3,
        "total": 30,
        "has_next": True,
    }
    assert found["position"] == {"0": 30}

    # Who has the answer can read the execution.
    path = f"/v1/retrievers/alike/executions/{found['execution_id']}"
    detail = (await http.get(path)).json()
    ExecutionDetail.from_dict(detail)
    for name in ("documents", "pagination", "stage_statistics", "budget", "status", "position"):
        assert detail[name] == found[name], name
    assert (detail["total_stages"], detail["stages_completed"], detail["total_returned"]) == (1, 1, 3)
    assert detail["documents_retained"] is True
    status = (await http.get(f"{path}/status")).json()
    assert (status["status"], status["stages_completed"]) == ("completed", 1)
    assert (await http.get(f"{path}/profile")).json()["budget"] == found["budget"]
    listed = (await http.post("/v1/retrievers/alike/executions/list", json={})).json()
    ListExecutionsResponse.from_dict(listed)
    assert [item["execution_id"] for item in listed["results"]] == [found["execution_id"]]
    assert listed["results"][0]["total_processed"] == 30

    # The record goes to the topic, too; read from there it changes nothing.
    async with here.database.transaction() as connection:
        value = await fetch_value(connection, "SELECT value FROM outbox WHERE topic = 'retriever-executions'")
        record = RetrieverExecutionRecord.decode(bytes(value))
        assert record.execution_id == found["execution_id"]
        rows = Rows()
        rows.add(RETRIEVER_EXECUTIONS.name, bytes(value))
        await connection.execute("DELETE FROM retriever_executions")
        await write(connection, rows)
    assert (await http.get(path)).json() == detail


async def test_filters_vectors_flags_and_an_explanation(here: Context, http: httpx.AsyncClient) -> None:
    collection_id = await people(here, http)
    least = {"field": "n", "operator": "gte", "value": "{{INPUT.least}}"}
    await alike(http, filter_stage(least))
    found = await executed(
        http,
        inputs={**FRONT, "least": 2, "unknown": 1},
        filters={"AND": [{"field": "n", "operator": "lt", "value": 5}]},
        query={"return_vectors": True, "explain": True, "include_legacy_results": True},
        return_vectors=False,
    )
    assert ids(found) == ["p02", "p03", "p04"]
    assert found["results"] == found["documents"]
    assert found["documents"][0]["vectors"][FACE] == pytest.approx(
        [math.cos(math.radians(2)), 0.0348994], abs=1e-6
    )
    plan = found["explain_plan"]
    assert plan["collections"] == [collection_id]
    assert [(stage["stage_name"], stage["output_count"]) for stage in plan["stages"]] == [
        ("alike", 5),
        ("filter", 3),
    ]
    assert "explain_plan" not in await executed(http, inputs=FRONT)
    # What has no answer is an empty list.
    nothing = await executed(http, inputs=FRONT, filters={"n": 1_000})
    assert (nothing["documents"], nothing["pagination"]["total"]) == ([], 0)


async def test_four_ways_through_the_pages(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    whole = [f"p{at:02}" for at in range(30)]

    found, pages = await executed(http, inputs=FRONT, pagination={"method": "cursor", "limit": 12}), []
    while True:
        pages.append(ids(found))
        if not found["pagination"]["has_next"]:
            break
        page = {"limit": 12, "cursor": found["pagination"]["cursor"]}
        found = await executed(http, inputs=FRONT, pagination=page)
    assert (pages, found["pagination"]["cursor"]) == ([whole[:12], whole[12:24], whole[24:]], None)

    numbered = [
        await executed(http, inputs=FRONT, pagination={"method": "offset", "page_size": 20, "page_number": number})
        for number in (1, 2, 3)
    ]
    assert [ids(one) for one in numbered] == [whole[:20], whole[20:], []]
    assert [one["pagination"]["has_previous"] for one in numbered] == [False, True, True]
    assert (numbered[1]["pagination"]["offset"], numbered[1]["pagination"]["total"]) == (20, 30)

    scrolled = await executed(http, inputs=FRONT, pagination={"method": "scroll", "limit": 29})
    page = {"method": "scroll", "limit": 29, "scroll_id": scrolled["pagination"]["scroll_id"]}
    assert ids(await executed(http, inputs=FRONT, pagination=page)) == whole[29:]

    keyed = await executed(http, inputs=FRONT, pagination={"method": "keyset", "limit": 10})
    after = keyed["pagination"]["after"]
    assert after == keyed["pagination"]["next_cursor"]
    assert (after["document_id"], after["score"]) == ("p09", keyed["documents"][-1]["score"])
    async with here.database.connection() as connection:
        await connection.execute("DELETE FROM documents WHERE document_id = 'p03'")
        await connection.execute("DELETE FROM document_vectors WHERE document_id = 'p03'")
    page = {"method": "keyset", "limit": 10, "after": after}
    assert ids(await executed(http, inputs=FRONT, pagination=page)) == whole[10:20]
    async with here.database.connection() as connection:
        await connection.execute("DELETE FROM documents WHERE document_id = 'p09'")
        await connection.execute("DELETE FROM document_vectors WHERE document_id = 'p09'")
    assert (
        ids(await executed(http, inputs=FRONT, pagination={**page, "after": {**after, "offset": 9}}))
        == whole[10:20]
    )


async def test_pages_of_a_random_choice_fit_together(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    sample = {"stage_name": "some", "config": {"stage_id": "sample", "parameters": {"count": 20}}}
    await alike(http, sample)
    first = await executed(http, inputs=FRONT, limit=10)
    cursor = first["pagination"]["cursor"]
    second = await executed(http, inputs=FRONT, pagination={"cursor": cursor})
    assert len({*ids(first), *ids(second)}) == 20
    assert second["execution_id"] != first["execution_id"]
    others = [set(ids(await executed(http, inputs=FRONT, limit=20))) for _ in range(3)]
    assert any(one != {*ids(first), *ids(second)} for one in others)
    pages = [
        await executed(http, inputs=FRONT, pagination={"method": "offset", "page_number": number})
        for number in (1, 2)
    ]
    assert len({*ids(pages[0]), *ids(pages[1])}) == 20


async def test_a_cursor_is_of_one_namespace(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    other = await http.post("/v1/namespaces", json={"namespace_name": "other"})
    assert other.status_code == 200, other.text
    stage = {"stage_name": "s", "config": {"stage_id": "limit", "parameters": {"limit": 20}}}

    async def asked(cursor: str | None, namespace: str | None) -> httpx.Response:
        body = {"stages": [stage], "pagination": {"method": "cursor", "limit": 3, "cursor": cursor}}
        headers = {} if namespace is None else {"X-Namespace": namespace}
        return await http.post("/v1/retrievers/execute", json=body, headers=headers)

    first = await asked(None, None)
    assert first.status_code == 200, first.text
    cursor = first.json()["pagination"]["cursor"]
    assert (await asked(cursor, None)).status_code == 200
    assert "another question" in (await asked(cursor, "other")).json()["error"]["message"]


async def test_cursors_that_lead_nowhere(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    first = await executed(http, inputs=FRONT, limit=3)
    cursor = first["pagination"]["cursor"]

    async def answer(pagination: dict[str, Any], **more: Any) -> httpx.Response:
        body = {"inputs": FRONT, "pagination": pagination, **more}
        return await http.post("/v1/retrievers/alike/execute", json=body)

    error = refused(await answer({"cursor": cursor}, inputs={"face": [0.0, 1.0]}), 404, "NotFoundError")
    assert "another question" in error["message"]
    for wrong in ("x", "W10"):
        refused(await answer({"cursor": wrong}), 400, "BadRequestError")
    refused(await answer({"cursor": cursor[:-4]}), 404, "NotFoundError")
    refused(await answer({"method": "keyset", "after": {"document_id": "p01"}}), 400, "BadRequestError")
    scrolled = await executed(http, inputs=FRONT, pagination={"method": "scroll", "limit": 3, "scroll_ttl": 60})
    late = Context(here.settings, here.broker, here.database, lambda: NOW + timedelta(seconds=61))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_http(late)), base_url="http://api", headers=http.headers
    ) as later:
        page = {"method": "scroll", "scroll_id": scrolled["pagination"]["scroll_id"]}
        body = {"inputs": FRONT, "pagination": page}
        gone = await later.post("/v1/retrievers/alike/execute", json=body)
        assert "scroll has ended" in refused(gone, 404, "NotFoundError")["message"]


async def test_two_sizes_that_differ_are_a_conflict(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http, 1)
    await alike(http)
    sizes = {"inputs": FRONT, "limit": 3, "page_size": 4}
    error = refused(await http.post("/v1/retrievers/alike/execute", json=sizes), 409, "ConflictError")
    assert places(error) == [("conflict", ["body", "page_size"])]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"inputs": {}}, ["body", "inputs", "face"]),
        ({"inputs": {"face": "x"}}, ["body", "inputs", "face"]),
        ({"inputs": FRONT, "colour": 1}, ["body", "colour"]),
        ({"inputs": FRONT, "limit": 501}, ["body", "limit"]),
        ({"inputs": FRONT, "pagination": {"method": "other"}}, ["body", "pagination", "method"]),
        ({"inputs": FRONT, "pagination": {"limit": 501}}, ["body", "pagination", "limit"]),
        (
            {"inputs": FRONT, "pagination": {"method": "scroll", "scroll_ttl": 59}},
            ["body", "pagination", "scroll_ttl"],
        ),
        ({"inputs": FRONT, "filters": {"AND": [None]}}, ["body", "filters"]),
        ({"inputs": FRONT, "filters": {"AND": [None]}, "stream": True}, ["body", "filters"]),
        ({"inputs": {}, "stream": True}, ["body", "inputs", "face"]),
    ],
)
async def test_requests_that_cannot_be(
    here: Context, http: httpx.AsyncClient, body: dict[str, Any], place: list[str]
) -> None:
    await people(here, http, 1)
    await alike(http)
    error = refused(await http.post("/v1/retrievers/alike/execute", json=body), 422, "ValidationError")
    assert places(error)[0][1] == place
    if body["inputs"] == {}:
        assert "face" in error["message"]
        assert places(error)[0][0] == "missing"


async def test_what_is_not_there(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http, 1)
    await alike(http)
    for path in ("nobody/execute", "nobody/execute/batch"):
        body: dict[str, Any] = {"queries": [{"inputs": {}}]} if path.endswith("batch") else {}
        refused(await http.post(f"/v1/retrievers/{path}", json=body), 404, "NotFoundError")
    body = {"inputs": FRONT, "target_collection_id": "people"}
    refused(await http.post("/v1/retrievers/alike/execute", json=body), 403, "NotEnabledError")
    for path in ("alike/executions/exec_x", "alike/executions/exec_x/status", "executions/exec_x"):
        refused(await http.get(f"/v1/retrievers/{path}"), 404, "NotFoundError")


async def test_failures_are_answers(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http, budget_limits={"max_credits": 0.01})
    found = await executed(http, inputs=FRONT)
    assert found["status"] == "failed"
    assert found["error"].startswith("Budget exceeded: ")
    assert found["documents"] == []
    detail = (await http.get(f"/v1/retrievers/alike/executions/{found['execution_id']}")).json()
    assert (detail["status"], detail["error"]) == ("failed", found["error"])
    assert (detail["current_stage"], detail["stages_completed"]) == ("alike", 0)
    body = {"retriever_name": "short", "stages": [search_stage()], "budget_limits": {"max_time_ms": 0}}
    await made(http, "/v1/retrievers", body)
    assert "Budget exceeded: " in (await executed(http, "short", inputs=FRONT))["error"]
    # A vector of another length is a stage's error, and other executions of the retriever go on.
    wrong = await executed(http, "short", inputs={"face": [1.0, 0.0, 0.0]})
    assert wrong["status"] == "failed"
    listed = (await http.post("/v1/retrievers/alike/executions/list", json={"status": "failed"})).json()
    assert listed["pagination"]["total"] == 1


async def test_a_scan_that_is_cut_says_so(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http, 1_010)
    stages = [filter_stage({"field": "n", "operator": "gte", "value": 5})]
    await made(http, "/v1/retrievers", {"retriever_name": "all", "stages": stages})
    found = await executed(http, "all")
    assert found["pagination"]["total"] == 1_000
    assert found["limits"][0]["name"] == "scan"
    assert "1000 of 1005" in found["warnings"][0]


async def test_references_are_put_beside_documents(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    found = await executed(http, inputs=FRONT, limit=2, expand=["friend", "name"])
    (friend,) = found["documents"][0]["_expanded"]["friend"]
    assert (friend["document_id"], friend["n"]) == ("p01", 1)
    assert found["documents"][0]["_expanded"]["name"] == []


async def test_sizes_that_disagree_and_strong_reads_are_told(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    found = await executed(http, inputs=FRONT, limit=3, pagination={"limit": 2}, consistency={"mode": "strong"})
    assert len(found["documents"]) == 2
    assert ["limit 3 was not used" in found["warnings"][0], "position" in found["warnings"][1]] == [True, True]
    assert found["consistency_mode"] == "eventual"


async def test_retrievers_that_are_not_stored(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    body = {
        "collection_identifiers": ["people"],
        "stages": [search_stage(), {"stage_id": "limit", "parameters": {"limit": 2}}],
        "input_schema": {"properties": SCHEMA},
        "inputs": FRONT,
    }
    answer = await http.post("/v1/retrievers/execute", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (ids(found), found["retriever_id"]) == (["p00", "p01"], "")
    detail = (await http.get(f"/v1/retrievers/executions/{found['execution_id']}")).json()
    AdhocExecutionDetail.from_dict(detail)
    assert detail["documents"] == found["documents"]
    listed = (await http.post("/v1/retrievers/executions/list", json={"status": "completed"})).json()
    ListAdhocExecutionsResponse.from_dict(listed)
    assert [item["execution_id"] for item in listed["results"]] == [found["execution_id"]]
    counted = {"count_only": True, "start_time": "2100-01-01T00:00:00Z"}
    assert (await http.post("/v1/retrievers/executions/list", json=counted)).json()["total"] == 0
    refused(await http.post("/v1/retrievers/execute", json={**body, "inputs": {}}), 422, "ValidationError")
    missing = {**body, "collection_identifiers": ["nowhere"]}
    refused(await http.post("/v1/retrievers/execute", json=missing), 404, "NotFoundError")
    rerank = {"stages": [{"stage_id": "rerank", "parameters": {}}]}
    refused(await http.post("/v1/retrievers/execute", json=rerank), 422, "NotEnabledError")


async def test_batches(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    queries: list[dict[str, Any]] = [
        {"inputs": {"face": [math.cos(math.radians(at)), math.sin(math.radians(at))]}} for at in range(16)
    ]
    queries[3]["filters"] = {"n": 1_000}
    body = {"queries": queries, "settings": {"limit": 1}, "concurrency": 3}
    answer = await http.post("/v1/retrievers/alike/execute/batch", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["total"], found["completed"], found["failed"]) == (16, 16, 0)
    assert [ids(one) for one in found["results"]] == [[] if at == 3 else [f"p{at:02}"] for at in range(16)]
    queries[5] = {"inputs": {}}
    error = refused(await http.post("/v1/retrievers/alike/execute/batch", json=body), 422, "ValidationError")
    assert places(error) == [("missing", ["body", "queries", 5, "inputs", "face"])]
    too_many = {"queries": [queries[0]] * 51}
    refused(await http.post("/v1/retrievers/alike/execute/batch", json=too_many), 422, "ValidationError")
    body = {"queries": queries[:3], "stream": True}
    streamed = lines(await http.post("/v1/retrievers/alike/execute/batch", json=body))
    assert sorted(one["query_index"] for one in streamed[:-1]) == [0, 1, 2]
    assert streamed[-1] == {"event_type": "batch_complete", "total": 3, "completed": 3, "failed": 0}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [orjson.loads(part.removeprefix("data: ")) for part in answer.text.split("\n\n") if part]


async def test_stages_as_events(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http, {"stage_name": "few", "config": {"stage_id": "limit", "parameters": {"limit": 2}}})
    body = {"inputs": FRONT, "stream": True, "limit": 5}
    found = lines(await http.post("/v1/retrievers/alike/execute", json=body))
    assert [(one["event_type"], one.get("stage_name"), one.get("stage_index")) for one in found] == [
        ("stage_start", "alike", 0),
        ("stage_complete", "alike", 0),
        ("stage_start", "few", 1),
        ("stage_complete", "few", 1),
        ("execution_complete", None, None),
    ]
    assert len({one["execution_id"] for one in found}) == 1
    assert {one["total_stages"] for one in found} == {2}
    assert [item["document_id"] for item in found[1]["documents"]] == ["p00", "p01", "p02", "p03", "p04"]
    assert found[1]["statistics"]["output_count"] == 30
    assert ids(found[-1]) == ["p00", "p01"]
    assert found[-1]["pagination"]["total"] == 2
    detail = await http.get(f"/v1/retrievers/alike/executions/{found[0]['execution_id']}")
    assert detail.json()["documents"] == found[-1]["documents"]
    failing = lines(await http.post("/v1/retrievers/alike/execute", json={**body, "inputs": {"face": [1.0]}}))
    assert [one["event_type"] for one in failing] == ["stage_start", "stage_error", "execution_error"]
    assert failing[-1]["error"]


async def test_a_key_that_reads_may_execute(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    async with here.database.transaction() as connection:
        _, secret = await create_key(connection, "reader", None, ("read",))
    headers = {"Authorization": f"Bearer {secret}"}
    answer = await http.post("/v1/retrievers/alike/execute", json={"inputs": FRONT}, headers=headers)
    assert answer.status_code == 200, answer.text


def through_the_sdk(url: str) -> None:
    configuration = mixpeek.Configuration(host=url, access_token=KEY)
    with mixpeek.ApiClient(configuration) as client:
        retrievers = mixpeek.RetrieversApi(client)
        request = mixpeek.ExecuteRetrieverRequest(inputs=FRONT, limit=2)
        found = retrievers.execute_retriever("alike", request, return_vectors=True, explain=True)
        assert [item["document_id"] for item in found.documents] == ["p00", "p01"]
        assert found.stage_statistics.stages["alike"].output_count == 30
        for method in ("offset", "cursor", "scroll", "keyset"):
            paged = mixpeek.ExecuteRetrieverRequest.from_dict({"inputs": FRONT, "pagination": {"method": method}})
            assert retrievers.execute_retriever("alike", paged).pagination["method"] == method
        detail = retrievers.get_execution_retrievers("alike", found.execution_id)
        assert detail.total_returned == 2
        assert retrievers.list_executions_retrievers("alike").pagination.total == 5
        status = retrievers.get_execution_status_retrievers("alike", found.execution_id)
        assert status["status"] == "completed"
        batch = mixpeek.ExecuteBatchRequest.from_dict({"queries": [{"inputs": FRONT}]})
        assert retrievers.execute_batch_retrievers("alike", batch)["completed"] == 1
        adhoc = mixpeek.AdhocRetrieversApi(client)
        wanted = {"stages": [search_stage()], "inputs": FRONT, "collection_identifiers": ["people"]}
        once = adhoc.execute_adhoc_retriever(mixpeek.AdhocExecuteRequest.from_dict(wanted))
        assert len(once["documents"]) == 10
        kept = adhoc.get_adhoc_execution_retrievers(once["execution_id"])
        assert (kept.execution_mode, kept.total_returned, kept.total_processed) == ("adhoc", 10, 30)
        assert adhoc.list_adhoc_executions_retrievers().total == 1
        with pytest.raises(mixpeek.exceptions.UnprocessableEntityException) as caught:
            retrievers.execute_retriever("alike", mixpeek.ExecuteRetrieverRequest())
        assert "face" in caught.value.data.error.message


async def test_the_sdk_runs_retrievers(here: Context, http: httpx.AsyncClient) -> None:
    await ensure_namespace(here.database, here.settings.namespace)
    await people(here, http)
    await alike(http)
    async with served_app(build_http(here)) as url:
        await asyncio.to_thread(through_the_sdk, url)
