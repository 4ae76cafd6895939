"""Each station is killed between two of its steps once; the outcome is the same as without the kill.

A station whose removal leaves these green would not be doing anything: every check below is on what one of them
must have made.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from schemas.events.document import DocumentEvent
from streams.settings import Settings
from tests.kill.system import System
from tests.support import TestBroker

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

STATIONS = "match,collect,trigger,act,notify,relay"
DOCUMENTS = 600
MANIFEST = """
kind: collection
collection_name: news
source: {{type: direct_upsert}}
---
kind: alert
name: storms
filter: {{field: text, operator: text, value: storm}}
collections: [news]
notification_config:
  channels:
    - {{channel_type: webhook, config: {{url: "{url}", signing_secret: whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=}}}}
---
kind: cluster
cluster_name: topics
collection_ids: [news]
cluster_type: vector
vector_config:
  feature_uri: mixpeek://hashing@v1/words
  clustering_method: kmeans
  kmeans_parameters: {{n_clusters: 3, n_init: 1}}
---
kind: cluster_trigger
description: topics after 500 documents
cluster_id: topics
trigger_type: event
schedule_config: {{event_type: documents_added, event_threshold: 500, collection_id: news}}
---
kind: retriever
retriever_name: all storms
collection_identifiers: [news]
stages:
  - stage_name: filter
    config:
      stage_id: attribute_filter
      parameters: {{conditions: {{field: text, operator: text, value: storm}}}}
---
kind: trigger
name: after ten storms
action_type: retriever_execution
action_config: {{retriever_id: all storms}}
trigger_type: event
schedule_config: {{event_type: alert_triggered, alert_id: storms, event_threshold: 10}}
---
kind: trigger
name: drift
action_type: cluster
action_config: {{cluster_id: topics}}
trigger_type: conditional
schedule_config:
  condition_type: drift
  time_domain: event_time
  check_interval_seconds: 86400
  window_seconds: 86400
  threshold: 0.5
  min_sample: 50
  collection_id: news
"""


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A webhook endpoint; yields its address and what it was sent, as (webhook-id, body)."""
    received: list[tuple[str, dict[str, Any]]] = []

    async def take(request: web.Request) -> web.Response:
        received.append((request.headers["webhook-id"], orjson.loads(await request.read())))
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", received
    finally:
        await runner.cleanup()


def news(system: System, collection_id: str) -> list[DocumentEvent]:
    """Six days of documents; on the fifth the subject changes. Results with the ids of events are written to the
    view by several statements, between which it can be killed."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    events = []
    for number in range(DOCUMENTS):
        day, hour = divmod(number, 100)
        subject = "parliament votes on the budget" if day < 4 else "volcano erupts near the harbour"
        weather = " after a storm" if number % 60 == 0 else ""
        events.append(
            DocumentEvent(
                "document.upserted",
                system.namespace_id,
                collection_id,
                f"d{number}",
                start + timedelta(days=day, minutes=hour * 10),
                text=f"{subject} report {number % 7}{weather}",
                event_id=f"event {number}",
            )
        )
    return events


@pytest.mark.parametrize(
    "fault",
    [
        "match:after-produce",
        "collect:before-commit",
        "collect:after-commit",
        "trigger:before-commit",
        "act:after-claim",
        "act:after-step",
        "act:before-commit",
        "relay:after-produce@3",
        "notify:before-commit",
        "notify:after-send",
        "query:before-commit",
        "query:after-commit@2",
    ],
)
async def test_a_killed_station_changes_nothing(
    settings: Settings, real_kafka: TestBroker, logs: Path, fault: str
) -> None:
    system = System(settings, logs)
    station = fault.partition(":")[0]
    async with receiver() as (url, received):
        try:
            await system.start_query()
            # Definitions go through a relay of their own, so that the fault meets the work and not the set-up.
            await system.start_worker("setup", "relay")
            await system.answers()
            await system.apply(MANIFEST.format(url=url))
            await system.kill("setup")
            del system.children["setup"]
            if station == "query":
                await system.kill("query")
                victim = await system.start_query(fault)
                await system.start_worker("worker", STATIONS)
                await system.answers()
            else:
                victim = await system.start_worker("worker", STATIONS, fault)
            collection = (await system.get("/v1/collections/news"))["collection_id"]
            await system.publish(news(system, collection))
            await system.died_of_its_fault(victim)
            if station == "query":
                await system.start_query()
                await system.answers()
            else:
                await system.start_worker("worker", STATIONS)
            await system.settled()
            await check(system, received)
        finally:
            await system.stop()


async def check(system: System, received: list[tuple[str, dict[str, Any]]]) -> None:
    """What every station must have made, exactly once."""
    storms = {f"d{number}" for number in range(0, DOCUMENTS, 60)}

    # match and query: one execution per storm, served over HTTP.
    page = await system.get("/v1/alerts/executions?limit=1000&include_total=true")
    assert Counter(result["source_documents"][0] for result in page["results"]) == Counter(storms)
    assert page["total_count"] == len(storms)
    executions = {result["execution_id"] for result in page["results"]}
    assert len(executions) == len(storms)

    # collect: every document stored and counted once.
    assert system.row("SELECT count(*) FROM documents") == (DOCUMENTS,)
    assert system.row("SELECT sum(added), sum(updated) FROM collection_counters") == (DOCUMENTS, 0)

    # notify: every execution delivered; a repeat after a kill has the same webhook-id.
    by_execution: dict[str, set[str]] = {}
    for webhook_id, body in received:
        by_execution.setdefault(body["execution_id"], set()).add(webhook_id)
    assert set(by_execution) == executions
    assert all(len(ids) == 1 for ids in by_execution.values())
    assert system.row("SELECT count(*) FROM deliveries WHERE state = 'delivered'") == (len(storms),)
    assert all(result["deliveries"][0]["status"] == "delivered" for result in page["results"])

    # collect's event trigger, act and query: one fire at the 500th document, one completed run in the history.
    (trigger,) = (await system.get("/v1/clusters/triggers/list", "POST", {}))["results"]
    history = await system.get(f"/v1/clusters/triggers/{trigger['trigger_id']}/history", "POST", {})
    assert [item["status"] for item in history["executions"]] == ["completed"]
    assert history["total"] == 1
    assert history["executions"][0]["num_clusters"] == 3
    assert (trigger["execution_count"], trigger["event_counter"]) == (1, DOCUMENTS - 500)

    # trigger: the same checks and the same fire as every time; act: its run.
    listed = (await system.get("/v1/triggers/list", "POST", {}))["results"]
    drift, alerted = (
        next(item for item in listed if item["name"] == name) for name in ("drift", "after ten storms")
    )
    checks = system.rows(
        "SELECT nominal_at::date::text, fired FROM trigger_checks WHERE trigger_id = %s ORDER BY nominal_at",
        drift["trigger_id"],
    )
    assert checks == [
        ("2024-01-02", False),
        ("2024-01-03", False),
        ("2024-01-04", False),
        ("2024-01-05", False),
        ("2024-01-06", True),
    ]
    assert drift["execution_count"] == 1
    runs = await system.get(f"/v1/triggers/{drift['trigger_id']}/history")
    assert [item["status"] for item in runs["executions"]] == ["completed"]
    assert system.row("SELECT count(*) FROM cluster_runs WHERE status = 'completed'") == (2,)

    # trigger's event trigger: the tenth execution of the alert, each counted once.
    assert (alerted["execution_count"], alerted["event_counter"]) == (1, 0)
    runs = await system.get(f"/v1/triggers/{alerted['trigger_id']}/history")
    assert [(item["status"], item["fired_by"]) for item in runs["executions"]] == [("completed", "event")]

    # relay: nothing left to send, and each definition on the topic.
    assert system.row("SELECT count(*) FROM outbox") == (0,)
