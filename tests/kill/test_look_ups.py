"""A worker is killed while a watch list is put out for an alert, or while documents are looked up in it; the
outcome is the same as without the kill."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events.document import DocumentEvent
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.headers import DefinitionsVersion
from schemas.topics import REFERENCES, RETRIEVER_EXECUTIONS
from streams.settings import Settings
from tests.kill.system import System
from tests.support import TestBroker, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

STATIONS = "match,collect,notify,relay"
MANIFEST = """
kind: collection
collection_name: people
source: {type: direct_upsert}
---
kind: collection
collection_name: photos
source: {type: direct_upsert}
"""
PEOPLE, PHOTOS = 600, 800
"""More people than a walk takes in one step."""


def documents(system: System, collection_id: str, count: int) -> Iterator[DocumentEvent]:
    for number in range(count):
        yield DocumentEvent(
            "document.upserted",
            system.namespace_id,
            collection_id,
            f"d{number}",
            datetime(2024, 1, 1, tzinfo=UTC),
            payload={"code": number * 10},
        )


async def alert(system: System, people: str) -> str:
    """An alert that fires on a document with the code of somebody in the list; returns its id."""
    same = {"field": "code", "operator": "eq", "value": "{{INPUT.code}}"}
    body = {
        "retriever_name": "same code",
        "collection_identifiers": [people],
        "input_schema": {"code": {"type": "integer", "required": True}},
        "stages": [
            {
                "stage_name": "same",
                "config": {"stage_id": "attribute_filter", "parameters": {"conditions": same}},
            }
        ],
    }
    await system.get("/v1/retrievers", "POST", body)
    channels = {"channels": [{"channel_type": "webhook"}]}
    made = await system.get(
        "/v1/alerts", "POST", {"name": "Wanted", "retriever_id": "same code", "notification_config": channels}
    )
    return str(made["alert_id"])


async def attach(system: System, alert_id: str) -> None:
    """Attach the alert; as long as the list is not put out yet the answer is to ask again."""
    source = {"source_type": "document_field", "path": "code"}
    application = {"alert_id": alert_id, "input_mappings": [{"input_key": "code", "source": source}]}

    async def attached() -> bool:
        try:
            await system.get("/v1/collections/photos", "PATCH", {"alert_applications": [application]})
        except AssertionError as refused:
            if "Ask again" not in str(refused):
                raise
            return False
        return True

    await eventually(attached, 120, what="the list is put out")


@pytest.mark.parametrize("fault", ["collect:before-feed@2", "collect:after-feed", "match:after-produce"])
async def test_a_kill_changes_nothing(settings: Settings, real_kafka: TestBroker, logs: Path, fault: str) -> None:
    system = System(settings, logs)
    try:
        await system.start_query()
        await system.start_worker("setup", STATIONS)
        await system.answers()
        await system.apply(MANIFEST)
        people, photos = [
            (await system.get(f"/v1/collections/{name}"))["collection_id"] for name in ("people", "photos")
        ]
        wanted = await alert(system, people)
        await system.publish(documents(system, people, PEOPLE))
        await system.settled()
        await system.kill("setup")
        del system.children["setup"]

        victim = await system.start_worker("worker", STATIONS, fault)
        attaching = asyncio.create_task(attach(system, wanted))
        if fault.startswith("collect"):
            await system.died_of_its_fault(victim)
            await system.start_worker("worker", STATIONS)
        await attaching
        epoch, number = system.row("SELECT epoch::text, definitions_version FROM stream_identity")
        system.definitions = DefinitionsVersion(epoch, number)
        await system.publish(documents(system, photos, PHOTOS))
        if fault.startswith("match"):
            await system.died_of_its_fault(victim)
            await system.start_worker("worker", STATIONS)
        await system.settled()

        # Person and photograph of one number have one code; there are more photographs than people.
        page = await system.get("/v1/alerts/executions?limit=1000&include_total=true")
        names = {f"d{number}" for number in range(PEOPLE)}
        assert Counter(result["source_documents"][0] for result in page["results"]) == Counter(names)
        assert page["total_count"] == PEOPLE
        for result in page["results"]:
            assert [match["document_id"] for match in result["matches"]] == result["source_documents"]
            assert sum(result["reference_position"].values()) >= PEOPLE
        identifiers = {result["execution_id"] for result in page["results"]}
        runs = await system.read(RETRIEVER_EXECUTIONS)
        assert {RetrieverExecutionRecord.decode(run.value).execution_id for run in runs} == identifiers
        assert {record.key.decode() for record in await system.read(REFERENCES)} == {
            f"{system.namespace_id}/{people}/{name}" for name in names
        }
    finally:
        await system.stop()
