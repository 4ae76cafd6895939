"""Every ``action_config`` of contract 4.8: what is accepted, filled in, refused and watched."""

from typing import Any

import httpx
import pytest

from schemas.api.actions import LONGEST_CHAIN
from schemas.api.channel import MASK
from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition
from tests.api import make
from tests.api.make import made, places, refused

EVENT = {"event_type": "documents_added"}
TREE = {
    "retriever_id": "ebola",
    "input_mappings": [{"input_key": "q", "path": "text"}],
    "source_collection": {"collection_id": "topics_of_news"},
}


@pytest.fixture
async def ids(api: httpx.AsyncClient) -> dict[str, str]:
    """One of everything an action may name, by name."""
    found: dict[str, str] = {}
    for name, source in (
        ("news", {"type": "direct_upsert"}),
        ("topics_of_news", {"type": "direct_upsert"}),
        ("derived", {"type": "collection", "collection_ids": ["news"]}),
    ):
        body = {"collection_name": name, "source": source}
        found[name] = (await made(api, "/v1/collections", body))["collection_id"]
    await make.cluster(api, "news", "grouped")
    schema = {"q": {"type": "string", "required": True}}
    await make.retriever(api, "asked", input_schema=schema, collection_identifiers=["news"])
    retriever = await make.retriever(api, collection_identifiers=["news"])
    await make.alert(api, retriever["retriever_id"], "Ebola")
    await made(api, "/v1/taxonomies", {"taxonomy_name": "tree", "config": TREE})
    return found


def body(action_type: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "action_type": action_type,
        "action_config": config,
        "trigger_type": "event",
        "schedule_config": EVENT,
        **more,
    }


async def watched(here: Context, trigger: dict[str, Any]) -> list[str]:
    async with here.database.connection() as connection:
        stored = await find_definition(connection, "trigger", trigger["namespace_id"], trigger["trigger_id"])
    assert stored is not None
    found: list[str] = stored.body["watched_collection_ids"]
    return found


@pytest.mark.parametrize(
    ("action_type", "config", "defaults", "about"),
    [
        ("cluster", {"cluster_id": "grouped"}, {"mode": "full", "assignment_threshold": 0.5}, "news"),
        (
            "taxonomy_enrichment",
            {"taxonomy_id": "tree", "collection_id": "news", "filters": {"lang": "en"}},
            {"incremental": False, "batch_size": 1000, "parallelism": 4},
            "news",
        ),
        ("collection_trigger", {"collection_id": "derived"}, {}, "news"),
        (
            "collection_trigger",
            {"collection_id": "derived", "include_collections": ["topics_of_news", "topics_of_news"]},
            {},
            "topics_of_news",
        ),
        ("collection_trigger", {"collection_id": "news", "source_filters": {"filters": {"a": 1}}}, {}, "news"),
        (
            "retriever_execution",
            {"retriever_id": "asked", "inputs": {"q": "x"}, "acceptance": {"min_results": 0}},
            {"skip_cache": True},
            "news",
        ),
        ("alert_evaluation", {"alert_id": "Ebola"}, {}, "news"),
    ],
)
async def test_an_action_gets_defaults_ids_and_collections_to_watch(
    api: httpx.AsyncClient,
    ids: dict[str, str],
    here: Context,
    action_type: str,
    config: dict[str, Any],
    defaults: dict[str, Any],
    about: str,
) -> None:
    one = await made(api, "/v1/triggers", body(action_type, config))
    shown = one["action_config"]
    assert {**defaults, **{key: shown[key] for key in shown if key not in config}} == defaults
    for key, prefix in (
        ("cluster_id", "clust_"),
        ("taxonomy_id", "tax_"),
        ("collection_id", "col_"),
        ("retriever_id", "ret_"),
        ("alert_id", "alt_"),
    ):
        assert shown.get(key, prefix).startswith(prefix)
    assert await watched(here, one) == [ids[about]]
    listed = (await api.post("/v1/triggers/list", json={"action_type": action_type})).json()
    assert [item["trigger_id"] for item in listed["results"]] == [one["trigger_id"]]


async def test_a_batch_is_an_earlier_run_and_watches_what_that_was_about(
    api: httpx.AsyncClient, ids: dict[str, str], here: Context
) -> None:
    first = await made(api, "/v1/triggers", body("collection_trigger", {"collection_id": "derived"}))
    task = (await api.post(f"/v1/triggers/{first['trigger_id']}/execute")).json()
    one = await made(api, "/v1/triggers", body("batch_rerun", {"batch_id": task["task_id"]}))
    assert one["action_config"] == {"batch_id": task["task_id"], "retry_failed_only": False}
    assert await watched(here, one) == [ids["news"]]


async def test_reruns_of_reruns_that_could_never_run_are_refused_at_once(
    api: httpx.AsyncClient, ids: dict[str, str], here: Context
) -> None:
    first = await made(api, "/v1/triggers", body("collection_trigger", {"collection_id": "derived"}))
    batch = (await api.post(f"/v1/triggers/{first['trigger_id']}/execute")).json()["task_id"]
    async with here.database.transaction() as connection:
        for number in range(LONGEST_CHAIN):
            await connection.execute(
                "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
                " triggered_at) SELECT %(id)s, trigger_id, namespace_id, family, 'batch_rerun', command ||"
                " jsonb_build_object('action_type', 'batch_rerun', 'action_config',"
                " jsonb_build_object('batch_id', %(of)s::text)), nominal_at, triggered_at FROM jobs"
                " WHERE job_id = %(of)s",
                {"id": f"job_rerun{number}", "of": batch},
            )
            batch = f"job_rerun{number}"
    one = await made(api, "/v1/triggers", body("batch_rerun", {"batch_id": f"job_rerun{LONGEST_CHAIN - 2}"}))
    assert await watched(here, one) == [ids["news"]]
    error = refused(
        await api.post("/v1/triggers", json=body("batch_rerun", {"batch_id": batch})), 409, "ConflictError"
    )
    assert places(error) == [("conflict", ["body", "action_config", "batch_id"])]


@pytest.mark.parametrize(
    ("action_type", "config", "status", "location"),
    [
        ("cluster", {"cluster_id": "no"}, 404, None),
        ("cluster", {"cluster_id": "grouped", "mode": "composite"}, 422, "source_execution_ids"),
        ("cluster", {"cluster_id": "grouped", "assignment_threshold": 2}, 422, "assignment_threshold"),
        ("taxonomy_enrichment", {"collection_id": "news"}, 422, "taxonomy_id"),
        ("taxonomy_enrichment", {"taxonomy_id": "tree", "collection_id": "no"}, 404, None),
        (
            "taxonomy_enrichment",
            {"taxonomy_id": "tree", "collection_id": "news", "target_collection_id": "no"},
            404,
            None,
        ),
        (
            "taxonomy_enrichment",
            {"taxonomy_id": "tree", "collection_id": "news", "batch_size": 99},
            422,
            "batch_size",
        ),
        (
            "taxonomy_enrichment",
            {"taxonomy_id": "tree", "collection_id": "news", "parallelism": 17},
            422,
            "parallelism",
        ),
        ("batch_rerun", {}, 422, "batch_id"),
        ("batch_rerun", {"batch_id": "no"}, 404, None),
        ("batch_rerun", {"batch_id": "no", "mode": 1}, 422, "mode"),
        ("collection_trigger", {"collection_id": "no"}, 404, None),
        ("collection_trigger", {"collection_id": "news", "include_collections": ["no"]}, 404, None),
        ("collection_trigger", {"collection_id": "news", "include_buckets": ["b"]}, 403, None),
        ("collection_trigger", {"collection_id": "news", "source_filters": {"NOT": 1}}, 422, "source_filters"),
        ("retriever_execution", {"retriever_id": "no"}, 404, None),
        ("retriever_execution", {"retriever_id": "asked"}, 422, "inputs"),
        ("retriever_execution", {"retriever_id": "ebola", "filters": {"NOT": 1}}, 422, "filters"),
        (
            "retriever_execution",
            {"retriever_id": "ebola", "acceptance": {"min_pass_ratio": 2}},
            422,
            "min_pass_ratio",
        ),
        ("retriever_execution", {"retriever_id": "ebola", "notification_config": {}}, 422, "channels"),
        ("alert_evaluation", {}, 422, "alert_id"),
        ("alert_evaluation", {"alert_id": "no"}, 404, None),
    ],
)
async def test_a_wrong_action_is_refused_at_its_place(
    api: httpx.AsyncClient,
    ids: dict[str, str],
    action_type: str,
    config: dict[str, Any],
    status: int,
    location: str | None,
) -> None:
    kinds = {422: "ValidationError", 404: "NotFoundError", 403: "NotEnabledError"}
    error = refused(await api.post("/v1/triggers", json=body(action_type, config)), status, kinds[status])
    if location is not None:
        where = places(error)[0][1]
        assert where[:2] == ["body", "action_config"]
        assert where[-1] == location


async def test_the_channels_of_a_run_keep_their_secrets(
    api: httpx.AsyncClient, ids: dict[str, str], here: Context
) -> None:
    channel = {
        "channel_type": "webhook",
        "config": {"url": "https://a.example", "signing_secret": "whsec_c2VjcmV0"},
    }
    config = {"retriever_id": "ebola", "notification_config": {"channels": [channel], "notify_on": "always"}}
    one = await made(api, "/v1/triggers", body("retriever_execution", config))
    (shown,) = one["action_config"]["notification_config"]["channels"]
    assert (shown["config"]["url"], shown["config"]["signing_secret"]) == ("https://a.example", MASK)
    async with here.database.connection() as connection:
        stored = await find_definition(connection, "trigger", one["namespace_id"], one["trigger_id"])
    assert stored is not None
    assert "c2VjcmV0" not in str(stored.body)
    masked = {**config, "notification_config": one["action_config"]["notification_config"]}
    error = refused(await api.post("/v1/triggers", json=body("retriever_execution", masked)), 409, "ConflictError")
    assert places(error)[0][1][-1] == "signing_secret"
    for kind in ("email", "batch"):
        told = {**config, "notification_config": {"channels": [{"channel_type": kind}]}}
        refused(await api.post("/v1/triggers", json=body("retriever_execution", told)), 403, "NotEnabledError")


async def test_what_an_event_trigger_watches_is_there(api: httpx.AsyncClient, ids: dict[str, str]) -> None:
    await make.retriever(api, "everywhere")
    action = ("retriever_execution", {"retriever_id": "everywhere"})
    error = refused(await api.post("/v1/triggers", json=body(*action)), 409, "ConflictError")
    assert places(error) == [("conflict", ["body", "schedule_config", "collection_id"])]
    for schedule, place in (
        ({**EVENT, "alert_id": "Ebola"}, ["body", "schedule_config", "alert_id"]),
        ({"event_type": "alert_triggered", "alert_id": "no", "collection_id": "news"}, None),
    ):
        answer = await api.post("/v1/triggers", json=body(*action, schedule_config=schedule))
        if place is None:
            refused(answer, 404, "NotFoundError")
        else:
            assert places(refused(answer, 422, "ValidationError"))[0][1] == place
    schedule = {"event_type": "alert_triggered", "alert_id": "Ebola", "collection_id": "news"}
    one = await made(api, "/v1/triggers", body(*action, schedule_config=schedule))
    assert one["schedule_config"]["alert_id"].startswith("alt_")
    assert one["schedule_config"]["collection_id"] == ids["news"]
