"""Stations killed at every step of a schedule's fires: claim, outbox, publication, the action's start and end, and
the history. Each nominal time has exactly one execution in the history at the end."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.times import parse_instant
from streams.runtime.children import Child
from streams.settings import Settings
from tests.kill.system import System
from tests.support import TestBroker, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

ROUNDS: Final = (
    ("trigger:after-claim@2", "act:after-claim"),
    ("trigger:before-commit@2", "act:before-commit", "relay:after-produce"),
    ("trigger:after-commit@2",),
)
"""Points at which stations in processes of their own die, those of a round at about the same time."""
STORMS: Final = {
    "stage_id": "attribute_filter",
    "parameters": {"conditions": {"field": "text", "operator": "text", "value": "storm"}},
}


async def every_second(system: System) -> dict[str, Any]:
    """A trigger that runs a retriever every second, whatever is still running."""
    await system.get("/v1/collections", "POST", {"collection_name": "news", "source": {"type": "direct_upsert"}})
    retriever = {
        "retriever_name": "storms",
        "collection_identifiers": ["news"],
        "stages": [{"stage_name": "filter", "config": STORMS}],
    }
    await system.get("/v1/retrievers", "POST", retriever)
    trigger = {
        "action_type": "retriever_execution",
        "action_config": {"retriever_id": "storms"},
        "trigger_type": "interval",
        "schedule_config": {"interval_seconds": 1, "overlap_policy": "allow_all"},
    }
    made: dict[str, Any] = await system.get("/v1/triggers", "POST", trigger)
    return made


async def start(system: System, point: str) -> Child:
    """The station that a fault point names, alone in a process."""
    station = point.partition(":")[0]
    return await system.start_worker(station, station, point)


async def test_each_nominal_time_is_executed_once(settings: Settings, real_kafka: TestBroker, logs: Path) -> None:
    system = System(settings, logs)
    try:
        await system.start_query()
        await system.answers()
        trigger = await every_second(system)
        url = f"/v1/triggers/{trigger['trigger_id']}"
        await system.kill("query")
        for points in ROUNDS:
            victims = [await start(system, point) for point in points]
            if points == ROUNDS[-1]:
                # What the view is told comes through these.
                await system.start_worker("others", "act,relay")
                victims.append(await system.start_query("query:after-commit"))
            for victim in victims:
                await system.died_of_its_fault(victim)
        await system.start_worker("trigger", "trigger")
        await system.start_query()
        await system.answers()
        paused = await system.get(f"{url}/pause", "POST")
        last = system.row("SELECT max(nominal_at) FROM jobs")[0]

        async def everything_is_told() -> bool:
            told = await system.get(f"{url}/history?limit=1000")
            return {item["status"] for item in told["executions"]} == {"completed"} and told[
                "total"
            ] == system.row("SELECT count(*) FROM jobs")[0]

        await eventually(everything_is_told, 60, what="every run is in the history")
        history = await system.get(f"{url}/history?limit=1000")
        nominal = sorted(parse_instant(item["nominal_at"]) for item in history["executions"])
        first = parse_instant(trigger["created_at"])
        assert (paused["status"], nominal[-1]) == ("paused", last)
        # Nothing is missing and nothing is there twice: second after second since the trigger was made.
        assert timedelta(0) < nominal[0] - first < timedelta(seconds=2)
        assert nominal == [nominal[0] + timedelta(seconds=number) for number in range(len(nominal))]
        assert len(nominal) > 2 * len(ROUNDS)
        assert len({item["task_id"] for item in history["executions"]}) == history["total"] == len(nominal)
        shown = await system.get(url)
        assert (shown["execution_count"], shown["consecutive_failures"]) == (len(nominal), 0)
    finally:
        await system.stop()
