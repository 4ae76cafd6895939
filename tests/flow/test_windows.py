"""Alerts with a window, from documents on a real broker to executions: match, collect, trigger, relay and query.

The documents are those of one hour of 2020, ten seconds apart, so that all runs on event time: a match every
minute from 12:10 to 12:19, none after, an amount in each.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from schemas.headers import DEFINITIONS_VERSION, LATE
from schemas.topics import DOCUMENTS
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version
from streams.settings import Settings
from streams.trigger.station import build as trigger
from tests.flow.system import EVERYTHING, created, system
from tests.support import eventually

NOON = datetime(2020, 5, 1, 12, tzinfo=UTC)
CONSTANT = [{"input_key": "_", "source": {"source_type": "constant", "value": 1}}]
LAST = {
    "document_id": "late",
    "at": NOON + timedelta(seconds=905),
    "payload": {"kind": "order", "amount": 9},
    "late_at": NOON + timedelta(seconds=3_599),
}
"""Late in its source, by its own word: it counts where the source was, and not among the matches of 12:15."""
MATCHING = range(600, 1_200, 60)
"""Seconds after noon."""
ALERTS: dict[str, dict[str, Any]] = {
    "three in two minutes": {"window_seconds": 120, "min_count": 3},
    "three in three minutes": {"window_seconds": 180, "min_count": 3},
    "none for ten minutes": {"window_seconds": 600, "trigger_on": "no_results"},
    "much in five minutes": {
        "window_seconds": 300,
        "threshold": {"field": "sum(amount)", "operator": "gt", "value": 0.45},
    },
    "reminded": {"window_seconds": 180, "min_count": 3, "renotify_interval_seconds": 240},
}


EXPECTED = {
    # At 12:10, 12:11 and 12:12, each in a bucket of one second: the window that has all three ends at 12:12:01.
    "three in three minutes": [("12:12:01", 3)],
    # Nothing is known of the time before 12:00:00, so the first silence begins there and ends at 12:10:00.
    "none for ten minutes": [("12:10:00", 0), ("12:29:01", 0)],
    # 0.1 a match, five of them in any five minutes: exactly 0.5.
    "much in five minutes": [("12:14:01", 5), ("13:00:00", 1)],
    # It holds from 12:12:01 to 12:20.
    "reminded": [("12:12:01", 3), ("12:16:01", 3)],
}


def documents() -> list[dict[str, Any]]:
    found = []
    for at in range(0, 3_600, 10):
        payload = {"kind": "order", "amount": 0.1} if at in MATCHING else {"kind": "visit"}
        found.append({"document_id": f"d{at}", "at": NOON + timedelta(seconds=at), "payload": payload})
    return found


async def produce(
    context: Context, collection_id: str, rows: Sequence[dict[str, Any]], namespace_id: str, *, one_by_one: bool
) -> None:
    """Documents over all partitions, each with an event id, then a watermark for each partition."""
    topic = context.broker.topic(DOCUMENTS)
    async with context.database.connection() as connection:
        headers = [(DEFINITIONS_VERSION, str(await current_version(connection)).encode())]
    async with context.broker.producer() as producer:
        count = len(await producer.partitions_for(topic))
        for index, row in enumerate(rows):
            event = {
                "type": "document.upserted",
                "event_id": row["document_id"],
                "namespace_id": namespace_id,
                "collection_id": collection_id,
                "document_id": row["document_id"],
                "occurred_at": row["at"].isoformat(),
                "payload": row["payload"],
            }
            key = f"{namespace_id}/{collection_id}/{row['document_id']}".encode()
            partition = row.get("partition", index % count)
            own = [(LATE, row["late_at"].isoformat().encode())] if "late_at" in row else []
            sent = await producer.send(topic, orjson.dumps(event), key, partition=partition, headers=headers + own)
            if one_by_one:
                await sent
        await producer.flush()
        for partition in range(count):
            mark = {
                "type": "watermark",
                "namespace_id": namespace_id,
                "collection_id": collection_id,
                "occurred_at": (NOON + timedelta(hours=1)).isoformat(),
            }
            await producer.send_and_wait(topic, orjson.dumps(mark), None, partition=partition)


async def define(http: httpx.AsyncClient, time_domain: str = "event_time") -> str:
    stage = {
        "stage_name": "orders",
        "config": {
            "stage_id": "attribute_filter",
            "parameters": {"field": "kind", "operator": "eq", "value": "order"},
        },
    }
    await created(http, "/v1/retrievers", {"retriever_name": "orders", "stages": [stage]})
    applications = []
    for name, fields in ALERTS.items():
        body = {
            "name": name,
            "retriever_id": "orders",
            "notification_config": {"channels": [{"channel_type": "webhook"}]},
            "time_domain": time_domain,
            **fields,
        }
        made = await created(http, "/v1/alerts", body)
        applications.append({"alert_id": made["alert_id"], "input_mappings": CONSTANT})
    collection = {
        "collection_name": "shop",
        "source": {"type": "direct_upsert"},
        "alert_applications": applications,
    }
    return str((await created(http, "/v1/collections", collection))["collection_id"])


async def executions(http: httpx.AsyncClient) -> dict[str, list[tuple[str, int]]]:
    """By alert, oldest first, when it fired and on how many."""
    names = {one["alert_id"]: one["name"] for one in (await http.get("/v1/alerts")).json()["results"]}
    found: dict[str, list[tuple[str, int]]] = {}
    rows = (await http.get("/v1/alerts/executions", params={"limit": 1_000})).json()["results"]
    for row in reversed(rows):
        if row["triggered"]:
            at = datetime.fromisoformat(row["occurred_at"]).strftime("%H:%M:%S")
            found.setdefault(names[row["alert_id"]], []).append((at, row["match_count"]))
    return found


@pytest.fixture(params=["replay-1", "replay-12", "live-12"])
def way(request: pytest.FixtureRequest) -> tuple[str, int]:
    """How the hour comes, and over how many partitions."""
    name, partitions = str(request.param).split("-")
    return name, int(partitions)


@pytest.fixture
def settings(settings: Settings, way: tuple[str, int]) -> Settings:
    """Documents may be a minute out of order."""
    return settings.model_copy(update={"partitions": way[1], "allowed_lateness_seconds": 60.0})


async def test_the_hour_fires_the_same_however_it_comes(context: Context, way: tuple[str, int]) -> None:
    rows = documents()
    if way[0] == "replay":
        # Out of order by half a minute, and the last ones twice, in partitions of their own choice.
        rows = [row for at in range(0, len(rows), 3) for row in reversed(rows[at : at + 3])]
        rows += [{**row, "partition": 0} for row in rows[-260:]]
    async with system(context, [*EVERYTHING, trigger]) as http:
        namespace_id = (await http.get("/v1/namespaces/default")).json()["namespace_id"]
        collection_id = await define(http)
        await produce(context, collection_id, [*rows, LAST], namespace_id, one_by_one=way[0] == "live")

        async def all_fired() -> bool:
            return await executions(http) == EXPECTED

        try:
            await eventually(all_fired, timeout=40, every=0.2, what="all windows fire")
        except AssertionError:
            assert await executions(http) == EXPECTED
        reminded = (await http.get("/v1/alerts/reminded/executions")).json()["results"]
        latest = (await http.get("/v1/alerts/three in two minutes/results")).json()
    assert [row["deliveries"][0]["status"] for row in reminded] == ["not_configured"] * 2
    assert reminded[-1]["reason"].startswith("3 matches in 180 s, at least 3 wanted; the condition began to hold")
    assert [match["document_id"] for match in reminded[-1]["matches"]] == ["d720", "d660", "d600"]
    assert latest["triggered"] is False
    assert list(latest["checked_through"]["decided"]) == [collection_id]
