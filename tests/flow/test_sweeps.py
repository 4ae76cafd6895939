"""Alerts that are swept, on their schedule and on demand, from documents of the API to executions."""

from typing import Any

import httpx
import pytest

from streams.act.station import build as act
from streams.notify.station import build as notify
from streams.runtime.agent import Context
from streams.settings import Settings
from streams.trigger.station import build as trigger
from tests.flow.system import EVERYTHING, created, system
from tests.support import eventually

CONSTANT = [{"input_key": "_", "source": {"source_type": "constant", "value": 1}}]
STORM = {"field": "text", "operator": "text", "value": "storm"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Sweeps every second."""
    return settings.model_copy(update={"alert_sweep_seconds": 1})


async def define(http: httpx.AsyncClient) -> str:
    collection = {"collection_name": "news", "source": {"type": "direct_upsert"}}
    collection_id = str((await created(http, "/v1/collections", collection))["collection_id"])
    stage = {
        "stage_name": "storms",
        "config": {"stage_id": "attribute_filter", "parameters": {"conditions": STORM}},
    }
    retriever = {"retriever_name": "storms", "stages": [stage], "collection_identifiers": ["news"]}
    await created(http, "/v1/retrievers", retriever)
    applications = []
    for name, mode in (("by schedule", "scheduled"), ("by hand", "on_demand")):
        body = {
            "name": name,
            "retriever_id": "storms",
            "min_count": 2,
            "notification_config": {"channels": [{"channel_type": "webhook", "config": {}}]},
        }
        made = await created(http, "/v1/alerts", body)
        applications.append({"alert_id": made["alert_id"], "execution_mode": mode, "input_mappings": CONSTANT})
    answer = await http.patch("/v1/collections/news", json={"alert_applications": applications})
    assert answer.status_code == 200, answer.text
    return collection_id


async def sweeps(http: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    """Executions of an alert, oldest first."""
    answer = await http.get(f"/v1/alerts/{name}/executions", params={"limit": 1_000})
    return list(reversed(answer.json()["results"]))


async def test_a_scheduled_alert_is_swept_and_one_on_demand_when_asked(context: Context) -> None:
    async with system(context, [*EVERYTHING, trigger, act, notify]) as http:
        collection_id = await define(http)

        async def swept() -> bool:
            return bool(await sweeps(http, "by schedule"))

        await eventually(swept, timeout=60, every=0.2, what="the alert is swept before there is anything")
        for number in range(3):
            document = {"document_id": f"d{number}", "text": "a storm" if number else "calm"}
            await created(http, f"/v1/collections/{collection_id}/documents", document)

        async def fired() -> bool:
            return any(one["triggered"] for one in await sweeps(http, "by schedule"))

        await eventually(fired, timeout=60, every=0.2, what="the scheduled alert fires")
        first = (await sweeps(http, "by schedule"))[0]
        found = next(one for one in await sweeps(http, "by schedule") if one["triggered"])
        assert (first["triggered"], first["match_count"], first["source_documents"]) == (False, 0, [])
        assert (found["match_count"], found["collection_id"]) == (2, collection_id)
        assert sorted(match["document_id"] for match in found["matches"]) == ["d1", "d2"]
        run = await http.get(f"/v1/retrievers/storms/executions/{found['execution_id']}")
        assert run.status_code == 200, run.text
        assert len(run.json()["documents"]) == 2
        assert await sweeps(http, "by hand") == []
        asked = {
            "action_type": "alert_evaluation",
            "action_config": {"alert_id": "by hand"},
            "trigger_type": "cron",
            "schedule_config": {"cron_expression": "0 0 1 1 *"},
        }
        made = await created(http, "/v1/triggers", asked)
        task = await http.post(f"/v1/triggers/{made['trigger_id']}/execute")
        assert task.status_code == 200, task.text

        async def answered() -> bool:
            return bool(await sweeps(http, "by hand"))

        await eventually(answered, timeout=60, every=0.2, what="the alert is swept on demand")
        (by_hand,) = await sweeps(http, "by hand")
        assert (by_hand["triggered"], by_hand["match_count"]) == (True, 2)

        async def told() -> bool:
            return (await sweeps(http, "by hand"))[0]["deliveries"] is not None

        await eventually(told, timeout=60, every=0.2, what="its deliveries are known")
