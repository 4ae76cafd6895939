"""What a collection sets off by itself: schedules, clusters; copies of definitions."""

from typing import Any

import httpx
import mixpeek as official

from tests.api import make
from tests.api.make import CONSTANT, refused

mixpeek: Any = official
HOURLY = {"trigger_type": "interval", "schedule_config": {"interval_seconds": 3600}}
COPY_OF_NEWS = {"collection_name": "copy"}


async def patched(api: httpx.AsyncClient, name: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.patch(f"/v1/collections/{name}", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert mixpeek.CollectionResponse.from_dict(shown).collection_id == shown["collection_id"]
    return shown


async def status(api: httpx.AsyncClient, trigger_id: str) -> str:
    return str((await api.get(f"/v1/triggers/{trigger_id}")).json()["status"])


async def test_a_schedule_is_a_trigger_that_comes_and_goes_with_it(api: httpx.AsyncClient) -> None:
    news = await make.collection(api, schedule=HOURLY)
    first = news["trigger_id"]
    shown = (await api.get(f"/v1/triggers/{first}")).json()
    assert (shown["action_type"], shown["action_config"]["collection_id"], shown["status"]) == (
        "collection_trigger",
        news["collection_id"],
        "active",
    )
    assert news["schedule"]["schedule_config"]["interval_seconds"] == 3600
    # The same schedule again is no other one; an explicit null says nothing.
    assert (await patched(api, "news", {"schedule": HOURLY}))["trigger_id"] == first
    assert (await patched(api, "news", {"schedule": None, "description": "d"}))["trigger_id"] == first
    daily = {"trigger_type": "cron", "schedule_config": {"cron_expression": "0 6 * * *"}}
    second = (await patched(api, "news", {"schedule": daily}))["trigger_id"]
    assert (await status(api, first), await status(api, second)) == ("disabled", "active")
    gone = await patched(api, "news", {"schedule": {}})
    assert (gone["schedule"], gone["trigger_id"], await status(api, second)) == (None, None, "disabled")
    third = (await patched(api, "news", {"schedule": daily}))["trigger_id"]
    assert (await api.delete("/v1/collections/news")).status_code == 200
    assert await status(api, third) == "disabled"
    for broken in ({"trigger_type": "event", "schedule_config": {}}, {**HOURLY, "schedule_config": {}}):
        body = {"collection_name": "other", "source": {"type": "none"}, "schedule": broken}
        refused(await api.post("/v1/collections", json=body), 422, "ValidationError")


async def test_clusters_of_a_collection_run_by_themselves(api: httpx.AsyncClient) -> None:
    news = await make.collection(api)
    other = await make.collection(api, "other")
    topics = await make.cluster(api, news["collection_id"])
    applied = {"cluster_id": "topics", "min_document_threshold": 10, "cooldown_seconds": 60}
    shown = await patched(api, "news", {"cluster_applications": [applied]})
    (application,) = shown["cluster_applications"]
    assert (application["cluster_id"], application["auto_execute_on_batch"]) == (topics["cluster_id"], True)
    listed = (await api.post("/v1/triggers/list", json={"resource_id": topics["cluster_id"]})).json()
    (trigger,) = listed["results"]
    assert (trigger["trigger_type"], trigger["schedule_config"]["event_threshold"]) == ("event", 10)
    await patched(api, "news", {"cluster_applications": [applied]})
    assert await status(api, trigger["trigger_id"]) == "active"
    off = {**applied, "auto_execute_on_batch": False}
    assert (await patched(api, "news", {"cluster_applications": [off]}))["cluster_applications"]
    assert await status(api, trigger["trigger_id"]) == "disabled"
    assert (await patched(api, "news", {"cluster_applications": []}))["cluster_applications"] is None
    for name, given, wanted in (
        ("other", [applied], 409),
        ("news", [applied, applied], 409),
        ("news", [{"cluster_id": "nowhere"}], 404),
        ("news", [{**applied, "cooldown_seconds": -1}], 422),
    ):
        answer = await api.patch(f"/v1/collections/{name}", json={"cluster_applications": given})
        assert answer.status_code == wanted, answer.text
    body = {"collection_name": "new", "source": {"type": "none"}, "cluster_applications": [applied]}
    refused(await api.post("/v1/collections", json=body), 409, "ConflictError")
    assert other["cluster_applications"] is None


async def test_a_copy_of_a_collection_has_its_alerts_and_a_schedule_of_its_own(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    alert = await make.alert(api, "ebola")
    applied = {"alert_id": alert["alert_id"], "input_mappings": CONSTANT}
    news = await make.collection(api, schedule=HOURLY, alert_applications=[applied], metadata={"a": 1})
    answer = await api.post("/v1/collections/news/clone", json={**COPY_OF_NEWS, "description": "d"})
    assert answer.status_code == 200, answer.text
    cloned = mixpeek.CloneCollectionResponse.from_dict(answer.json())
    assert cloned.source_collection_id == news["collection_id"]
    copy = answer.json()["collection"]
    assert copy["collection_id"] != news["collection_id"]
    assert (copy["metadata"], copy["description"], copy["document_count"]) == ({"a": 1}, "d", 0)
    assert copy["alert_applications"] == news["alert_applications"]
    assert copy["trigger_id"] not in (None, news["trigger_id"])
    refused(await api.post("/v1/collections/news/clone", json=COPY_OF_NEWS), 409, "AlreadyExistsError")
    refused(await api.post("/v1/collections/nowhere/clone", json=COPY_OF_NEWS), 404, "NotFoundError")
    wanted = {**COPY_OF_NEWS, "taxonomy_applications": [{"taxonomy_id": "x"}]}
    refused(await api.post("/v1/collections/news/clone", json=wanted), 403, "NotEnabledError")


async def test_a_copy_of_a_retriever_may_have_other_limits(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    made = await make.retriever(
        api, collection_identifiers=["news"], budget_limits={"max_time_ms": 5}, tags=["a"], description="d"
    )
    changed = await api.patch("/v1/retrievers/ebola", json={"budget_limits": {"max_time_ms": 9}})
    refused(changed, 422, "ValidationError")
    body = {"retriever_name": "copy", "budget_limits": {"max_time_ms": 9}}
    answer = await api.post("/v1/retrievers/ebola/clone", json=body)
    assert answer.status_code == 200, answer.text
    mixpeek.CloneRetrieverResponse.from_dict(answer.json())
    copy = answer.json()["retriever"]
    assert (copy["budget_limits"], copy["tags"], copy["version"]) == ({"max_time_ms": 9}, ["a"], 1)
    assert copy["stages"] == made["stages"]
    assert copy["collection_ids"] == made["collection_ids"]
    refused(await api.post("/v1/retrievers/ebola/clone", json=body), 409, "AlreadyExistsError")
    refused(await api.post("/v1/retrievers/ebola/clone", json={}), 422, "ValidationError")
    refused(await api.post("/v1/retrievers/ebola/clone", json={**body, "colour": 1}), 422, "ValidationError")
