"""Runs of a retriever by a trigger, on a real PostgreSQL."""

from typing import Any

import pytest

from schemas.events.retriever_execution import RetrieverExecutionRecord
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
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
    ("notify_on", "told"),
    [
        (None, ["changed"]),
        ("failure", ["failed", "failed"]),
        ("always", ["unchanged", "unchanged", "changed", "failed", "failed"]),
    ],
)
async def test_runs_are_told_to_the_channels_of_their_trigger(
    context: Context, notify_on: str | None, told: list[str]
) -> None:
    await flu(context)
    notified = {"channels": [{"channel_type": "webhook", "config": {"url": "https://a.example"}}]}
    if notify_on is not None:
        notified["notify_on"] = notify_on  # type: ignore[assignment]
    wanted = config(notification_config=notified)
    await ran(context, "retriever_execution", wanted)
    await ran(context, "retriever_execution", wanted, "job_2")
    async with context.database.connection() as connection:
        await connection.execute("UPDATE documents SET text = 'flu' WHERE document_id = 'd000001'")
    await ran(context, "retriever_execution", wanted, "job_3")
    failed = await ran(context, "retriever_execution", {**wanted, "acceptance": {"min_results": 4}}, "job_4")
    gone = await ran(context, "retriever_execution", {**wanted, "retriever_id": "ret_gone"}, "job_5")
    assert [job["status"] for job in (failed, gone)] == ["failed", "failed"]
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT event_type, subject_id, convert_from(metadata, 'UTF8')::jsonb FROM webhook_events ORDER BY id"
        )
        found = await cursor.fetchall()
    assert [kind for kind, _, _ in found] == [f"trigger.results.{word}" for word in told]
    for _, subject, facts in found:
        assert (subject, facts["trigger_id"]) == ("trig_1", "trig_1")
        assert "total_time_ms" not in facts
    by_job = {facts["task_id"]: facts for _, _, facts in found}
    if "job_3" in by_job:
        assert by_job["job_3"]["results"] == 3
        assert [one["document_id"] for one in by_job["job_3"]["documents"]] == ["d000000", "d000001", "d000002"]
    if "job_5" in by_job:
        assert by_job["job_5"]["error"] == gone["error"]


async def test_diagnostics_are_told_to_who_asks_for_them(context: Context) -> None:
    await flu(context)
    channel = {"channel_type": "webhook", "config": {"url": "https://a.example"}}
    notified = {"channels": [channel], "notify_on": "always", "include_internal_diagnostics": True}
    await ran(context, "retriever_execution", config(notification_config=notified))
    async with context.database.connection() as connection:
        facts = await fetch_value(connection, "SELECT convert_from(metadata, 'UTF8')::jsonb FROM webhook_events")
    assert facts["total_time_ms"] >= 0
    assert list(facts["stage_statistics"]) == ["filter"]


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
