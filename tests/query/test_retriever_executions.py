"""Executions of retrievers: recorded runs, those of alerts, and what look-ups found."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from mixpeek.models.alert_execution_result import AlertExecutionResult
from mixpeek.models.execution_detail import ExecutionDetail
from mixpeek.models.list_executions_response import ListExecutionsResponse

from schemas.events.alert_result import Found
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import execution_id
from schemas.topics import RETRIEVER_EXECUTIONS
from streams.runtime.agent import Context
from tests.query.asking import URI, body, parsed, put
from tests.query.support import (
    NAMESPACE,
    NOON,
    apply,
    client,
    define_alert,
    define_namespace,
    define_retriever,
    hit,
    result,
    run_record,
)


async def test_an_alert_execution_is_an_execution_of_its_retriever(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    fields = {"document_id": "doc_1", "collection_id": "col_a", "title": "T", "metadata": {"k": 1}}
    record = result(1, hit(alert), document=fields)
    await put(context, record)
    identifier = execution_id(record.base, alert.record.number)
    async with client(context) as http:
        found = await body(http, f"/v1/retrievers/ret_a/executions/{identifier}")
    read = parsed(ExecutionDetail, found)
    assert (read.execution_id, read.status, read.total_returned) == (identifier, "completed", 1)
    own = {"title": "T", "metadata": {"k": 1}}
    assert found["documents"] == [
        {
            **own,
            "document_id": "doc_1",
            "collection_id": "col_a",
            "score": 0.75,
            "matched_features": {URI: 0.75},
            "payload": own,
        }
    ]
    assert list(found["stage_statistics"]["stages"]) == ["severe", "recent"]
    assert read.stage_statistics.stages["severe"].output_count == 1
    assert found["stage_statistics"]["total_time_ms"] == 3.0
    assert found["budget"] == {
        "credits_used": 0.0,
        "credits_remaining": 5.0,
        "credits_limit": 5.0,
        "time_used_ms": 3.0,
        "time_limit_ms": 900,
    }
    assert {"total", "limit", "offset", "has_next", "has_previous"} <= found["pagination"].keys()
    assert {"method", "page_number", "page_size", "returned"} <= found["pagination"].keys()


async def test_recorded_runs_and_alert_executions_are_listed_together(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    await put(context, *(result(n, hit(alert), at=NOON + timedelta(seconds=2 * n)) for n in range(3)))
    run = RetrieverExecutionRecord(
        execution_id="exec_run",
        namespace_id=NAMESPACE,
        retriever_id="ret_a",
        status="failed",
        created_at=NOON + timedelta(seconds=1),
        completed_at=NOON + timedelta(seconds=1.5),
        detail={
            "documents": [{"document_id": "d", "score": 0.5}],
            "error": "Budget exceeded: time",
            "stage_statistics": {
                "stages": {"s": {"input_count": 8, "output_count": 1, "duration_ms": 2.5, "efficiency": 0.125}}
            },
        },
    )
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    async with client(context) as http:
        detail = await body(http, "/v1/retrievers/a/executions/exec_run")
        assert parsed(ExecutionDetail, detail).error == "Budget exceeded: time"
        assert detail["budget"]["time_used_ms"] == 500.0
        assert detail["completed_at"] == "2024-05-01T12:00:01.500Z"

        async def listed(json: Any = None, **query: int) -> Any:
            response = await http.post("/v1/retrievers/ret_a/executions/list", json=json, params=query)
            assert response.status_code == 200, response.text
            parsed(ListExecutionsResponse, response.json())
            return response.json()

        everything = await listed()
        kinds = [item["execution_id"] == "exec_run" for item in everything["results"]]
        assert kinds == [False, False, True, False]
        page = {"total": 4, "limit": 50, "offset": 0, "has_next": False, "next_cursor": None}
        assert everything["pagination"] == page
        assert everything["results"][2]["total_processed"] == 8
        paged = await listed(limit=2, offset=1)
        assert paged["results"] == everything["results"][1:3]
        assert paged["pagination"]["has_next"] is True
        failed = await listed({"status": "failed"})
        assert [item["execution_id"] for item in failed["results"]] == ["exec_run"]
        assert failed["pagination"]["total"] == 1
        long = await listed({"filters": {"total_processed": {"gt": 7}}, "sorts": [{"field": "duration_ms"}]})
        assert [item["execution_id"] for item in long["results"]] == ["exec_run"]


async def test_what_was_counted_in_a_window_is_what_was_returned(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    matches = [{"document_id": "p1", "score": 1.0, "metadata": {"n": 1}}, {"document_id": "p2", "score": 1.0}]
    record = replace(result(1, replace(hit(alert), found=Found(5, matches, {"0": 4}))), document_id="")
    await put(context, record)
    ((identifier, _),) = record.executions()
    async with client(context) as http:
        found = await body(http, f"/v1/retrievers/ret_a/executions/{identifier}")
        listed = (await http.post("/v1/retrievers/ret_a/executions/list")).json()
    read = parsed(ExecutionDetail, found)
    assert [document["document_id"] for document in found["documents"]] == ["p1", "p2"]
    assert (read.total_returned, found["documents_retained"]) == (5, False)
    assert listed["results"][0]["total_returned"] == 5


async def test_what_a_look_up_found(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert, silent = await define_alert(context, "a"), await define_alert(context, "b")
    matches = [
        {"document_id": "p1", "score": 1.0000001, "metadata": {"name": "Ann"}, "matched_features": {URI: 0.9}},
        {"document_id": "p2", "score": 0.5},
    ]
    found = replace(hit(alert), found=Found(7, matches, {"0": 4, "2": 9}))
    none = replace(hit(silent), found=Found(0, [], {"0": 4}))
    record = result(1, found, none)
    await put(context, record)
    (identifier, _), (nothing, _) = record.executions()
    run = RetrieverExecutionRecord(
        execution_id=identifier,
        namespace_id=NAMESPACE,
        retriever_id="ret_a",
        status="completed",
        created_at=NOON,
        completed_at=NOON,
        detail={"documents": [{"document_id": "p1", "score": 0.9}], "alert_id": alert.record.id},
    )
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    async with client(context) as http:
        shown = await body(http, f"/v1/alerts/executions/{identifier}")
        parsed(AlertExecutionResult, shown)
        assert (shown["match_count"], shown["source_documents"]) == (7, ["doc_1"])
        assert [(item["document_id"], item["score"]) for item in shown["matches"]] == [("p1", 1.0), ("p2", 0.5)]
        assert shown["matches"][0]["metadata"] == {"name": "Ann"}
        assert shown["reference_position"] == {"0": 4, "2": 9}
        empty = await body(http, f"/v1/alerts/executions/{nothing}")
        parsed(AlertExecutionResult, empty)
        assert (empty["triggered"], empty["match_count"], empty["matches"]) == (True, 0, [])
        # Its run is found under the same id, and is listed once.
        detail = await body(http, f"/v1/retrievers/ret_a/executions/{identifier}")
        parsed(ExecutionDetail, detail)
        assert [item["document_id"] for item in detail["documents"]] == ["p1"]
        listed = (await http.post("/v1/retrievers/ret_a/executions/list", json={})).json()
        parsed(ListExecutionsResponse, listed)
        returned = {item["execution_id"]: item["total_returned"] for item in listed["results"]}
        assert (len(listed["results"]), listed["pagination"]["total"]) == (2, 2)
        assert returned == {identifier: 7, nothing: 0}


async def test_a_nul_that_a_template_made_keeps_nothing_from_being_listed(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "a")
    matches = [{"document_id": "p1", "score": 0.5, "metadata": {"name": "A\x00nn"}}]
    await put(context, result(1, replace(hit(alert), found=Found(1, matches, {"0": 4}))))
    await apply(context, RETRIEVER_EXECUTIONS, run_record([{"document_id": "p1", "name": "A\x00nn"}]).encode())
    async with client(context) as http:
        for path in ("/v1/alerts/executions", "/v1/alerts/alt_a/executions"):
            (one,) = (await body(http, path))["results"]
            assert one["matches"][0]["metadata"] == {"name": "Ann"}
        assert (await body(http, "/v1/alerts/alt_a/results"))["execution_id"] == one["execution_id"]
        listed = (await http.post("/v1/retrievers/ret_a/executions/list", json={})).json()
        assert listed["pagination"]["total"] == 2
        detail = await body(http, "/v1/retrievers/ret_a/executions/exec_run")
        assert detail["documents"] == [{"document_id": "p1", "name": "Ann"}]
