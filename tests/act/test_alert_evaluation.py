"""Sweeps of alerts over stored documents, on a real PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from streams.runtime.agent import Context
from tests.act.support import START, add_documents, results, row
from tests.act.writing import define, ran

FLU = {"field": "text", "operator": "contains", "value": "{{INPUT.word}}"}


async def swept_alert(context: Context, **fields: Any) -> None:
    await add_documents(context, ["flu here", "nothing", "flu there"])
    config = {"stage_id": "attribute_filter", "parameters": {"conditions": FLU}}
    stages = [{"stage_name": "filter", "config": config}]
    schema = {"word": {"type": "string", "required": True}}
    await define(
        context, "retriever", "ret_flu", stages=stages, collection_identifiers=["col_a"], input_schema=schema
    )
    await alert(context, **fields)


async def alert(context: Context, **fields: Any) -> None:
    body = {"name": "flu", "retriever_id": "ret_flu", "enabled": True, "inputs": {"word": "flu"}, **fields}
    await define(context, "alert", "alt_flu", **body)


async def sweep(context: Context, number: int, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    return await ran(
        context,
        "alert_evaluation",
        {"alert_id": "alt_flu"},
        f"job_{number}",
        nominal_at=START + timedelta(minutes=minutes),
        **fields,
    )


async def recorded(context: Context) -> list[AlertResultRecord]:
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT value FROM outbox WHERE topic = 'alert-results' ORDER BY id")
        return [decode_alert_result(bytes(found[0])) for found in await cursor.fetchall()]


async def test_a_sweep_is_an_execution_of_the_alert_and_of_its_retriever(context: Context) -> None:
    await swept_alert(context, min_count=2)
    job = await sweep(context, 1, caused_by=("alt_x",))
    assert job["status"] == "completed", job["error"]
    (record,) = await recorded(context)
    ((identifier, hit),) = record.executions()
    assert job["outcome"]["execution_id"] == identifier
    assert (hit.alert_id, hit.retriever_id, hit.triggered, hit.held) == ("alt_flu", "ret_flu", True, None)
    assert hit.found is not None
    assert (hit.found.count, [match["document_id"] for match in hit.found.matches]) == (2, ["d000000", "d000002"])
    assert (record.collection_id, record.document_id, record.occurred_at) == ("col_a", "", START)
    assert record.caused_by == ("alt_x", "trig_1")
    kept = await row(context, "retriever_executions", "execution_id", identifier)
    assert kept is not None
    assert (kept["retriever_id"], kept["status"]) == ("ret_flu", "completed")
    assert (await results(context))[-1].num_documents == 2


async def test_it_is_told_by_rising_edge(context: Context) -> None:
    await swept_alert(context, renotify_interval_seconds=3_600)
    for number, (minutes, word) in enumerate(
        [(0, "flu"), (10, "flu"), (20, "cholera"), (30, "flu"), (60, "flu"), (90, "flu")], 1
    ):
        await alert(context, inputs={"word": word}, renotify_interval_seconds=3_600)
        await sweep(context, number, minutes)
    told = [(hit.triggered, hit.held is None) for record in await recorded(context) for hit in record.hits]
    assert told == [(True, True), (True, False), (False, True), (True, True), (True, False), (True, True)]
    held = [hit.held for record in await recorded(context) for hit in record.hits if hit.held]
    assert held[0].startswith("the condition goes on to hold; renotify every 3600 s: in cooldown until")


async def test_a_sweep_that_comes_late_is_recorded_and_tells_nobody(context: Context) -> None:
    context = replace(context, clock=lambda: START + timedelta(minutes=10))
    await swept_alert(context, cooldown_seconds=60)
    await sweep(context, 1, 10)
    await sweep(context, 2, 5)
    (_, late) = await recorded(context)
    assert [hit.held for hit in late.hits] == ["a later sweep has been decided before"]


async def test_a_clock_that_was_ahead_silences_no_later_sweep(context: Context) -> None:
    """A station whose clock was a year ahead has swept: the others go on, from what was told."""
    await swept_alert(context, cooldown_seconds=3_600, renotify_interval_seconds=7_200)
    context = replace(context, clock=lambda: START + timedelta(days=365))
    await sweep(context, 1, minutes=365 * 24 * 60)
    context = replace(context, clock=lambda: START + timedelta(hours=5))
    await sweep(context, 2)
    await sweep(context, 3, minutes=60)
    await sweep(context, 4, minutes=30)
    await sweep(context, 5, minutes=121)
    held = [hit.held for record in await recorded(context) for hit in record.hits]
    assert held[0] is None
    assert all(reason is not None and "goes on" in reason for reason in held[1:3]), held
    assert held[3:] == ["a later sweep has been decided before", None]


@pytest.mark.parametrize(
    ("fields", "triggered"),
    [
        ({"min_count": 3}, False),
        ({"trigger_on": "no_results"}, False),
        ({"trigger_on": "no_results", "inputs": {"word": "cholera"}}, True),
        ({"threshold": {"field": "text", "operator": "eq", "value": "flu here"}}, True),
        ({"threshold": {"field": "text", "operator": "eq", "value": "flu there"}}, False),
    ],
)
async def test_the_condition_is_that_of_the_alert(
    context: Context, fields: dict[str, Any], triggered: bool
) -> None:
    await swept_alert(context, **fields)
    job = await sweep(context, 1)
    assert job["outcome"]["triggered"] is triggered
    assert [hit.triggered for record in await recorded(context) for hit in record.hits] == [triggered]


async def test_what_cannot_be_swept_says_why(context: Context) -> None:
    await swept_alert(context, window_seconds=60)
    job = await sweep(context, 1)
    assert (job["status"], "decided as documents arrive" in job["error"]) == ("failed", True)
    await alert(context, inputs={})
    job = await sweep(context, 2)
    assert job["status"] == "failed"
    assert "word" in job["error"]
    await alert(context, enabled=False)
    job = await sweep(context, 3)
    assert (job["status"], job["outcome"]["reason"]) == ("completed", "the alert is disabled")
    assert await recorded(context) == []
