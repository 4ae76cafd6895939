"""Executions of alerts set off the triggers that watch them: each once, and never their own effects."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.topics import TRIGGER_COMMANDS
from streams.runtime.agent import Context
from streams.trigger.alert_results.counting import AlertEvents
from tests.trigger.support import COLLECTION, NAMESPACE, at, create_trigger, rows, state

START = at("2024-05-01")
WATCHING = {"event_type": "alert_triggered", "event_threshold": 3}


def hit(number: int = 1, *, triggered: bool = True) -> AlertHit:
    return AlertHit(number, f"alt_{number}", 1, "ret_1", 1.0, "matched", triggered=triggered)


def result(
    offset: int,
    *hits: AlertHit,
    collection: str = COLLECTION,
    caused_by: tuple[str, ...] = (),
) -> AlertResultRecord:
    moment = START + timedelta(minutes=offset)
    return AlertResultRecord(
        base=offset.to_bytes(12, "big"),
        namespace_id=NAMESPACE,
        collection_id=collection,
        document_id=f"d{offset}",
        source_topic="documents",
        source_partition=0,
        source_offset=offset,
        appended_at=moment,
        occurred_at=moment,
        executed_at=moment,
        duration_ms=1,
        definitions_version=1,
        hits=hits or (hit(),),
        caused_by=caused_by,
    )


async def count(context: Context, events: AlertEvents, *results: AlertResultRecord) -> None:
    async with context.database.transaction() as connection:
        await events.count(connection, results, START + timedelta(days=1))


async def commands(context: Context) -> list[dict[str, Any]]:
    sent = await rows(context, "SELECT value FROM outbox WHERE topic = %s ORDER BY id", TRIGGER_COMMANDS.name)
    return [orjson.loads(value) for (value,) in sent]


async def test_every_third_execution_fires_however_batches_are_cut_and_repeated(context: Context) -> None:
    await create_trigger(context, "trig_a", "event", WATCHING, now=START)
    events, everything = AlertEvents(), [result(offset) for offset in range(8)]
    await count(context, events, *everything[:2])
    # Match died between sending and committing: it tells the same again, here and to another station.
    await count(context, events, *everything[:4], everything[3])
    await count(context, AlertEvents(), *everything[2:])
    await count(context, events, *everything)
    assert await state(context, "trig_a", "event_counter", "fire_sequence") == (2, 2)
    fired = await commands(context)
    assert [item["nominal_at"] for item in fired] == ["2024-05-01T00:02:00Z", "2024-05-01T00:05:00Z"]
    assert fired[0]["fired_by"] == "event"
    assert fired[0]["reason"] == "alert_triggered: 3 events counted, threshold 3"
    assert len({item["job_id"] for item in fired}) == 2
    assert await state(context, "trig_a", "last_job_id", "last_execution_status") == (
        fired[1]["job_id"],
        "pending",
    )


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ({"event_threshold": 100}, 3),
        ({"event_threshold": 100, "alert_id": "alt_2"}, 1),
        ({"event_threshold": 100, "alert_id": "alt_9"}, 0),
    ],
)
async def test_what_counts(context: Context, schedule: dict[str, Any], found: int) -> None:
    await create_trigger(context, "trig_a", "event", {**WATCHING, **schedule}, now=START)
    await create_trigger(context, "trig_docs", "event", {"event_type": "documents_added"}, now=START)
    await create_trigger(context, "trig_paused", "event", WATCHING, now=START)
    await rows(context, "UPDATE trigger_state SET status = 'paused' WHERE trigger_id = 'trig_paused' RETURNING 1")
    results: Sequence[AlertResultRecord] = [
        result(1, hit(1), hit(2)),
        result(2, hit(1, triggered=False)),
        result(3, collection="col_other"),
        result(4, caused_by=("trig_other",)),
    ]
    await count(context, AlertEvents(), *results)
    assert await state(context, "trig_a", "event_counter") == (found,)
    assert await state(context, "trig_docs", "event_counter") == (0,)
    assert await state(context, "trig_paused", "event_counter") == (0,)


async def test_a_trigger_is_not_set_off_by_its_own_effects(context: Context) -> None:
    once = {"event_type": "alert_triggered"}
    await create_trigger(context, "trig_a", "event", once, now=START, family="cluster_trigger")
    await create_trigger(context, "trig_b", "event", once, now=START)
    events = AlertEvents()
    await count(context, events, result(1))
    first = await commands(context)
    assert [(item["trigger_id"], item["caused_by"]) for item in first] == [
        ("trig_a", ["alt_1"]),
        ("trig_b", ["alt_1"]),
    ]
    # What the action of trig_a writes sets off alert 2: that fires trig_b, and not trig_a again.
    await count(context, events, result(2, hit(2), caused_by=("alt_1", "trig_a")))
    again = (await commands(context))[2:]
    assert [(item["trigger_id"], item["caused_by"]) for item in again] == [
        ("trig_b", ["alt_1", "trig_a", "alt_2"])
    ]
    # A chain that is full goes on as it is; the action refuses to write on it.
    full = ("alt_1", "trig_x", "alt_3", "trig_y")
    await count(context, events, result(3, hit(2), caused_by=full))
    assert {tuple(item["caused_by"]) for item in (await commands(context))[3:]} == {full}


async def test_what_was_counted_is_forgotten_when_no_log_can_repeat_it(context: Context) -> None:
    await create_trigger(context, "trig_a", "event", WATCHING, now=START)
    events = AlertEvents()
    await count(context, events, result(1))
    await rows(context, "UPDATE alert_events SET counted_at = counted_at - interval '31 days' RETURNING 1")
    await count(context, AlertEvents(), result(2))
    assert await rows(context, "SELECT count(*) FROM alert_events") == [(1,)]
