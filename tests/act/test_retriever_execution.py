"""Runs of a retriever by a trigger, on a real PostgreSQL."""

from typing import Any

import pytest

from schemas.events.retriever_execution import RetrieverExecutionRecord
from streams.runtime.agent import Context
from tests.act.support import NAMESPACE, add_documents, results, row, trigger_row
from tests.act.writing import define, ran

FLU = {"field": "text", "operator": "contains", "value": "flu"}


def filtering(condition: dict[str, Any]) -> list[dict[str, Any]]:
    config = {"stage_id": "attribute_filter", "parameters": {"conditions": condition}}
    return [{"stage_name": "filter", "config": config}]


async def flu(context: Context, **body: Any) -> None:
    await add_documents(context, ["flu here", "nothing", "flu there"], payloads=[{"n": n} for n in range(3)])
    fields = {"stages": filtering(FLU), "collection_identifiers": ["col_a"], **body}
    await define(context, "retriever", "ret_flu", **fields)


def config(**more: Any) -> dict[str, Any]:
    return {"retriever_id": "ret_flu", "skip_cache": True, **more}


async def records(context: Context) -> list[RetrieverExecutionRecord]:
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT value FROM outbox WHERE topic = 'retriever-executions' ORDER BY id"
        )
        return [RetrieverExecutionRecord.decode(bytes(found[0])) for found in await cursor.fetchall()]


async def test_a_run_is_kept_like_every_execution(context: Context) -> None:
    await flu(context)
    job = await ran(context, "retriever_execution", config())
    assert job["status"] == "completed", job["error"]
    facts = job["outcome"]
    assert (facts["results"], facts["accepted"], facts["changed"]) == (2, True, None)
    (record,) = await records(context)
    assert (record.execution_id, record.retriever_id, record.status) == (
        facts["execution_id"],
        "ret_flu",
        "completed",
    )
    assert [item["document_id"] for item in record.detail["documents"]] == ["d000000", "d000002"]
    assert (record.detail["pagination"]["total"], record.detail["error"]) == (2, None)
    kept = await row(context, "retriever_executions", "execution_id", record.execution_id)
    assert kept is not None
    assert (kept["namespace_id"], kept["status"]) == (NAMESPACE, "completed")
    assert (await results(context))[-1].num_documents == 2


async def test_filters_and_inputs_narrow_a_run(context: Context) -> None:
    wanted = {"field": "n", "operator": "eq", "value": "{{INPUT.n}}"}
    schema = {"n": {"type": "integer", "required": True}}
    await flu(context, stages=filtering(wanted), input_schema=schema)
    job = await ran(context, "retriever_execution", config(inputs={"n": 2}, filters=FLU))
    assert job["outcome"]["results"] == 1
    missing = await ran(context, "retriever_execution", config(), "job_2")
    assert (missing["status"], "ret_flu: " in missing["error"]) == ("failed", True)


async def test_a_breach_fails_the_run_and_keeps_it(context: Context) -> None:
    await flu(context)
    job = await ran(context, "retriever_execution", config(acceptance={"min_results": 3}))
    assert (job["status"], job["error"]) == (
        "failed",
        "acceptance: it found 2 results, at least 3 were wanted",
    )
    assert job["outcome"]["breaches"] == ["it found 2 results, at least 3 were wanted"]
    assert [record.status for record in await records(context)] == ["completed"]
    assert (await trigger_row(context))["consecutive_failures"] == 1


async def test_a_run_says_whether_its_results_changed(context: Context) -> None:
    await flu(context)
    await ran(context, "retriever_execution", config())
    same = await ran(context, "retriever_execution", config(), "job_2")
    async with context.database.connection() as connection:
        await connection.execute("UPDATE documents SET text = 'flu' WHERE document_id = 'd000001'")
    other = await ran(context, "retriever_execution", config(), "job_3")
    assert [job["outcome"]["changed"] for job in (same, other)] == [False, True]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"retriever_id": "ret_gone"}, "retriever ret_gone does not exist"),
        ({"filters": {"a": {"x": 1}}}, "filters"),
    ],
)
async def test_a_run_that_cannot_be_says_why(context: Context, more: dict[str, Any], words: str) -> None:
    await flu(context)
    job = await ran(context, "retriever_execution", config(**more))
    assert job["status"] == "failed"
    assert words in job["error"]
    assert await records(context) == []


async def test_a_stage_that_fails_fails_the_run_with_its_words(context: Context) -> None:
    stages = [{"stage_name": "few", "config": {"stage_id": "limit", "parameters": {"limit": "{{INPUT.n}}"}}}]
    await flu(context, stages=stages)
    job = await ran(context, "retriever_execution", config(inputs={"n": "many"}))
    assert job["status"] == "failed"
    (record,) = await records(context)
    assert record.status == "failed"
    assert record.detail["error"] == job["error"]
