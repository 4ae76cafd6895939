"""An enrichment killed in the middle of its batches: every document is written, counted and checked once."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import CAUSED_BY, header
from schemas.times import from_millis
from schemas.topics import DOCUMENTS
from streams.settings import Settings
from tests.kill.system import System
from tests.support import TestBroker

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

STATIONS: Final = "match,collect,trigger,act,notify,relay"
COUNT: Final = 350
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
TOPICS: Final = ("weather", "markets")


def document(system: System, collection_id: str, name: str, number: int, **payload: Any) -> DocumentEvent:
    moment = START + timedelta(minutes=number)
    return DocumentEvent("document.upserted", system.namespace_id, collection_id, name, moment, payload)


async def collection(system: System, name: str) -> str:
    """A collection for documents that are published; its id."""
    body = {"collection_name": name, "source": {"type": "direct_upsert"}}
    identifier: str = (await system.get("/v1/collections", "POST", body))["collection_id"]
    return identifier


async def defined(system: System) -> tuple[str, str, str]:
    """Two collections, a taxonomy by code, an alert on what it writes, and the trigger; ids of the collections and
    the trigger."""
    news, topics = [await collection(system, name) for name in ("news", "topics")]
    for name, condition in (
        ("by code", {"field": "code", "operator": "eq", "value": "{{INPUT.code}}"}),
        ("enriched", {"field": "topic", "operator": "exists", "value": True}),
    ):
        config = {"stage_id": "attribute_filter", "parameters": {"conditions": condition}}
        stages = [{"stage_name": "filter", "config": config}]
        await system.get("/v1/retrievers", "POST", {"retriever_name": name, "stages": stages})
    taxonomy = {
        "retriever_id": "by code",
        "input_mappings": [{"input_key": "code", "source_type": "payload", "path": "code"}],
        "source_collection": {"collection_id": topics, "enrichment_fields": [{"field_path": "topic"}]},
    }
    await system.get("/v1/taxonomies", "POST", {"taxonomy_name": "codes", "config": taxonomy})
    channels = {"channels": [{"channel_type": "webhook"}]}
    alert = await system.get(
        "/v1/alerts", "POST", {"name": "E", "retriever_id": "enriched", "notification_config": channels}
    )
    constant = [{"input_key": "x", "source": {"source_type": "constant", "value": 1}}]
    attached = {"alert_applications": [{"alert_id": alert["alert_id"], "input_mappings": constant}]}
    await system.get("/v1/collections/news", "PATCH", attached)
    trigger = {
        "action_type": "taxonomy_enrichment",
        "action_config": {"taxonomy_id": "codes", "collection_id": news, "batch_size": 100},
        "trigger_type": "event",
        "schedule_config": {"event_type": "documents_added", "event_threshold": COUNT, "collection_id": news},
    }
    return news, topics, (await system.get("/v1/triggers", "POST", trigger))["trigger_id"]


async def test_an_enrichment_killed_between_batches(
    settings: Settings, real_kafka: TestBroker, logs: Path
) -> None:
    system = System(settings, logs)
    try:
        await system.start_query()
        await system.answers()
        news, topics, trigger = await defined(system)
        await system.learn()
        victim = await system.start_worker("worker", STATIONS, "act:before-step@2")
        await system.publish(document(system, topics, name, 0, code=name, topic=name) for name in TOPICS)
        await system.publish(
            document(system, news, f"d{number:03}", number, code=TOPICS[number % 2]) for number in range(COUNT)
        )
        await system.died_of_its_fault(victim)
        await system.start_worker("worker", STATIONS)
        await system.settled()
        # What the enrichment wrote is in the log now; it passes through the stream itself.
        await system.settled()
        await check(system, news, trigger)
    finally:
        await system.stop()


async def check(system: System, news: str, trigger: str) -> None:
    assert system.row(
        "SELECT count(*) FROM documents WHERE collection_id = %s AND payload->>'topic' = payload->>'code'", news
    ) == (COUNT,)
    assert system.row(
        "SELECT sum(added), sum(updated) FROM collection_counters WHERE collection_id = %s", news
    ) == (COUNT, COUNT)
    written: Counter[str | None] = Counter()
    for record in await system.read(DOCUMENTS):
        if header(record.headers, CAUSED_BY) is not None:
            moment = from_millis(record.timestamp)
            event = decode_document_event(record.key, record.value, record.headers, appended_at=moment)
            assert header(record.headers, CAUSED_BY) == trigger
            written[event.event_id] += 1
    # The relay may have sent a record twice; it is the same event then.
    assert len(written) == COUNT
    history = await system.get(f"/v1/triggers/{trigger}/history")
    assert [(item["status"], item["task_id"]) for item in history["executions"]] == [
        ("completed", history["executions"][0]["task_id"])
    ]
    task = await system.get(f"/v1/tasks/{history['executions'][0]['task_id']}")
    (facts,) = task["outputs"]
    assert (facts["documents_read"], facts["documents_written"]) == (COUNT, COUNT)
    page = await system.get("/v1/alerts/executions?limit=1000&include_total=true")
    assert Counter(result["source_documents"][0] for result in page["results"]) == Counter(
        f"d{number:03}" for number in range(COUNT)
    )
