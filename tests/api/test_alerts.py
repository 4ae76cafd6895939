from typing import Any

import httpx
import pytest
from mixpeek.models.alert_response import AlertResponse
from mixpeek.models.list_alerts_response import ListAlertsResponse

from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition, list_definitions
from streams.runtime.secrets import read_secret
from tests.api import make
from tests.api.conftest import caller
from tests.api.make import CONSTANT, places, refused

HOOK = {
    "channel_type": "webhook",
    "config": {"url": "https://a.example/hook", "headers": {"X-Token": "t0ken"}, "signing_secret": "s3cret"},
}
MASKED = {
    "channel_type": "webhook",
    "config": {"url": "https://a.example/hook", "headers": {"X-Token": "********"}, "signing_secret": "********"},
}


async def test_create_get_and_the_sdk_reads_it(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    made = await make.alert(api, "ebola", cooldown_seconds=60, metadata={"team": "desk"}, min_count=None)
    by_name = (await api.get("/v1/alerts/Ebola")).json()
    by_id = (await api.get(f"/v1/alerts/{made['alert_id']}")).json()
    assert by_name == by_id == made
    read = AlertResponse.from_dict(made)
    assert read is not None
    assert read.alert_id is not None
    assert read.retriever_id is not None
    assert read.alert_id.startswith("alt_")
    assert read.retriever_id.startswith("ret_")
    assert (read.source, read.trigger_on, read.min_count) == ("retriever", "results", 1)
    assert read.cooldown_seconds == 60
    assert read.notification_config.channels[0].channel_type == "webhook"
    assert made["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("change", "kind", "location"),
    [
        ({"colour": 1}, "extra_forbidden", ["body", "colour"]),
        ({"name": ""}, "string_too_short", ["body", "name"]),
        ({"name": "x" * 201}, "string_too_long", ["body", "name"]),
        ({"name": "executions"}, "value_error", ["body", "name"]),
        ({"name": "a/b"}, "value_error", ["body", "name"]),
        ({"retriever_id": None}, "missing", ["body", "retriever_id"]),
        ({"notification_config": None}, "missing", ["body", "notification_config"]),
        ({"notification_config": {"channels": []}}, "too_short", ["body", "notification_config", "channels"]),
        ({"min_count": 0}, "greater_than_equal", ["body", "min_count"]),
        ({"cooldown_seconds": 2_592_001}, "less_than_equal", ["body", "cooldown_seconds"]),
        ({"renotify_interval_seconds": 59}, "greater_than_equal", ["body", "renotify_interval_seconds"]),
        ({"threshold": {"field": "score", "operator": "in", "value": 1}}, "literal_error", None),
        (
            {"notification_config": {"channels": [{"channel_type": "webhook", "config": {"timeout": 5}}]}},
            "missing",
            ["body", "notification_config", "channels", 0, "config", "url"],
        ),
    ],
)
async def test_a_wrong_body_is_refused_with_its_place(
    api: httpx.AsyncClient, change: dict[str, Any], kind: str, location: list[Any] | None
) -> None:
    body = {"name": "A", "retriever_id": "ebola", "notification_config": make.UNCONFIGURED, **change}
    error = refused(await api.post("/v1/alerts", json=body), 422, "ValidationError")
    found = places(error)
    assert [item[0] for item in found] == [kind]
    if location is not None:
        assert found[0][1] == location
    if kind == "extra_forbidden":
        assert "retriever_id" in error["details"]["validation_errors"][0]["message"]


async def test_duplicate_name_unknown_retriever_unknown_alert(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    await make.alert(api, "ebola")
    body = {"name": "Ebola", "retriever_id": "ebola", "notification_config": make.UNCONFIGURED}
    refused(await api.post("/v1/alerts", json=body), 409, "AlreadyExistsError")
    error = refused(
        await api.post("/v1/alerts", json={**body, "name": "B", "retriever_id": "nope"}), 404, "NotFoundError"
    )
    assert error["details"] == {"resource": "retriever", "id": "nope"}
    refused(await api.get("/v1/alerts/nope"), 404, "NotFoundError")
    refused(await api.get("/v1/alerts/%00"), 404, "NotFoundError")


async def test_what_nothing_would_evaluate_is_refused(api: httpx.AsyncClient) -> None:
    body = {
        "name": "S",
        "source": "system",
        "system_condition": {"type": "dlq_growth"},
        "notification_config": make.UNCONFIGURED,
    }
    refused(await api.post("/v1/alerts", json=body), 403, "NotEnabledError")


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Webhook-Signature"])
async def test_headers_of_the_message_itself_are_refused(api: httpx.AsyncClient, name: str) -> None:
    await make.retriever(api)
    config = {"url": "https://a.example/hook", "headers": {"X-Token": "t", name: "1"}}
    body = {
        "name": "a",
        "retriever_id": "ebola",
        "notification_config": {"channels": [{"channel_type": "webhook", "config": config}]},
    }
    error = refused(await api.post("/v1/alerts", json=body), 422, "ValidationError")
    assert f"the header {name!r} is set by the sender" in str(error)


async def test_cooldown_and_renotify_are_kept(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    made = await make.alert(api, "ebola", cooldown_seconds=60, renotify_interval_seconds=3600)
    assert (made["cooldown_seconds"], made["renotify_interval_seconds"]) == (60, 3600)
    changed = await api.patch("/v1/alerts/Ebola", json={"renotify_interval_seconds": 7200, "cooldown_seconds": 0})
    assert changed.status_code == 200
    kept = (await api.get("/v1/alerts/Ebola")).json()
    assert (kept["cooldown_seconds"], kept["renotify_interval_seconds"]) == (0, 7200)


async def test_secrets_are_stored_encrypted_masked_and_kept_when_the_mask_returns(
    api: httpx.AsyncClient, here: Context
) -> None:
    await make.retriever(api)
    made = await make.alert(api, "ebola", notification_config={"channels": [HOOK]})
    assert made["notification_config"]["channels"] == [MASKED]
    namespace = made["namespace_id"]

    async def stored() -> tuple[str, str]:
        async with here.database.connection() as connection:
            found = await find_definition(connection, "alert", namespace, made["alert_id"])
            assert found is not None
            config = found.body["notification_config"]["channels"][0]["config"]
            outbox = await (await connection.execute("SELECT value FROM outbox")).fetchall()
            assert not any(b"t0ken" in row[0] or b"s3cret" in row[0] for row in outbox)
            plain = []
            for held in (config["headers"]["X-Token"], config["signing_secret"]):
                key = here.settings.secret_key
                plain.append(await read_secret(connection, key, namespace, held["$secret"]) or "")
            return plain[0], plain[1]

    assert await stored() == ("t0ken", "s3cret")
    path = f"/v1/alerts/{made['alert_id']}"
    back = {"notification_config": {"channels": [MASKED], "include_scores": False}}
    answer = await api.patch(path, json=back)
    assert answer.json()["notification_config"]["channels"] == [MASKED]
    assert answer.json()["notification_config"]["include_scores"] is False
    assert await stored() == ("t0ken", "s3cret")

    async def held() -> int:
        async with here.database.connection() as connection:
            cursor = await connection.execute("SELECT count(*)::int FROM secrets")
            return int((await cursor.fetchall())[0][0])

    assert await held() == 2
    config = {**MASKED["config"], "signing_secret": "an0ther"}  # type: ignore[dict-item]
    fresh = {"notification_config": {"channels": [{**MASKED, "config": config}]}}
    assert (await api.patch(path, json=fresh)).status_code == 200
    assert await stored() == ("t0ken", "an0ther")
    assert await held() == 2, "the secret that was replaced is forgotten"
    # A mask never sends a stored secret to another address.
    moved = {**MASKED, "config": {**MASKED["config"], "url": "https://evil.example"}}  # type: ignore[dict-item]
    refused(await api.patch(path, json={"notification_config": {"channels": [moved]}}), 409, "ConflictError")
    refused(
        await api.post(
            "/v1/alerts",
            json={"name": "N", "retriever_id": "ebola", "notification_config": {"channels": [MASKED]}},
        ),
        409,
        "ConflictError",
    )
    assert (await api.delete(path)).status_code == 200
    async with here.database.connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM secrets")).fetchone() == (0,)


async def test_without_a_key_a_secret_is_refused_in_words(api: httpx.AsyncClient, without_key: Context) -> None:
    await make.retriever(api)
    body = {"name": "A", "retriever_id": "ebola", "notification_config": {"channels": [HOOK]}}
    async with caller(without_key) as client:
        error = refused(await client.post("/v1/alerts", json=body), 422, "ValidationError")
    assert "TIDEWATCH_SECRET_KEY" in error["message"]


async def test_patch_changes_what_is_given_and_nulls_change_nothing(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    other = await make.retriever(api, "other")
    made = await make.alert(api, "ebola", inputs={"a": 1}, cooldown_seconds=60)
    path = f"/v1/alerts/{made['alert_id']}"
    answer = await api.patch(
        path,
        json={"name": "E2", "retriever_id": "other", "inputs": {"b": 2}, "cooldown_seconds": 0, "enabled": None},
    )
    changed = answer.json()
    assert changed["name"] == "E2"
    assert changed["retriever_id"] == other["retriever_id"]
    assert changed["inputs"] == {"b": 2}
    assert changed["cooldown_seconds"] == 0
    assert changed["enabled"] is True
    refused(await api.get("/v1/alerts/Ebola"), 404, "NotFoundError")
    refused(await api.patch(path, json={"source": "system"}), 422, "ValidationError")


async def test_delete_detaches_and_keeps_the_retriever(api: httpx.AsyncClient, here: Context) -> None:
    retriever = await make.retriever(api)
    first = await make.alert(api, "ebola")
    await make.alert(api, "ebola", "Second")
    await make.collection(
        api,
        alert_applications=[
            {"alert_id": "Ebola", "input_mappings": CONSTANT},
            {"alert_id": "Second", "input_mappings": CONSTANT},
        ],
    )
    # A retriever that alerts ask cannot go: they would fall silent.
    error = refused(await api.delete(f"/v1/retrievers/{retriever['retriever_id']}"), 409, "ConflictError")
    assert first["alert_id"] in error["details"]["alert_ids"]
    assert (await api.delete("/v1/alerts/Ebola")).json()["success"] is True
    left = (await api.get("/v1/collections/news")).json()["alert_applications"]
    assert [item["alert_id"] for item in left] != [first["alert_id"]]
    assert len(left) == 1
    assert (await api.delete("/v1/alerts/Second")).status_code == 200
    assert (await api.get("/v1/collections/news")).json()["alert_applications"] is None
    assert (await api.get("/v1/retrievers/ebola")).status_code == 200
    async with here.database.connection() as connection:
        assert await list_definitions(connection, "alert") == []


async def test_lists_page_search_sort_and_count(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    for number in range(5):
        # A space, so that no random id matches a search.
        await make.alert(api, "ebola", f"A {number}", enabled=number != 3, description="50% of it")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "include_total": True}
    while True:
        page = (await api.post("/v1/alerts/list", params=query)).json()
        assert ListAlertsResponse.from_dict(page) is not None
        assert page["total_count"] == 5
        assert page["pagination"]["total"] == 5
        seen += [item["name"] for item in page["results"]]
        if page["pagination"]["next_cursor"] is None:
            break
        query["cursor"] = page["pagination"]["next_cursor"]
    assert seen == ["A 4", "A 3", "A 2", "A 1", "A 0"]
    assert page["stats"] == {
        "total_alerts": 5,
        "enabled_alerts": 4,
        "disabled_alerts": 1,
        "alerts_by_channel_type": {"webhook": 5},
    }
    ascending = {"sort": {"field": "name"}, "limit": 2, "offset": 1}
    page = (await api.post("/v1/alerts/list", json=ascending)).json()
    assert [item["name"] for item in page["results"]] == ["A 1", "A 2"]
    assert page["pagination"]["total"] is None
    # The query wins over the body (contract 1.1).
    page = (await api.post("/v1/alerts/list", json=ascending, params={"limit": 1})).json()
    assert [item["name"] for item in page["results"]] == ["A 1"]
    for search, found in (("a 3", 1), ("A*", 5), ("* 3", 1), ("50%", 5), ("%", 5), ("5_", 0), ("0% of", 5)):
        page = (await api.get("/v1/alerts", params={"search": search})).json()
        assert page["total_count"] == found, search
    refused(await api.get("/v1/alerts", params={"limit": 1001}), 422, "ValidationError")
    refused(await api.get("/v1/alerts", params={"cursor": "zzz"}), 400, "BadRequestError")
    other = (await api.post("/v1/alerts/list", json=ascending)).json()["pagination"]["next_cursor"]
    assert other
    refused(await api.get("/v1/alerts", params={"cursor": other}), 404, "NotFoundError")
    refused(await api.post("/v1/alerts/list", json={"filters": {"AND": [None]}}), 422, "ValidationError")
    refused(await api.post("/v1/alerts/list", json={"sort": {"field": "colour"}}), 422, "ValidationError")


async def test_lists_filter_and_sort_by_any_field(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    for number, desk in enumerate(("Foreign", "sport", None, "Foreign", "arts")):
        more = {} if desk is None else {"metadata": {"desk": desk}}
        await make.alert(api, "ebola", f"A {number}", min_count=number + 1, **more)

    async def names(body: dict[str, Any]) -> list[str]:
        """Every page, two at a time."""
        found, cursor, total = [], None, None
        while True:
            answer = await api.post("/v1/alerts/list", json={**body, "limit": 2, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [item["name"] for item in page["results"]]
            assert total in (None, page["total_count"])
            total, cursor = page["total_count"], page["pagination"]["next_cursor"]
            if cursor is None:
                assert total == len(found)
                return found

    assert await names({"filters": {"metadata.desk": "foreign"}}) == ["A 3", "A 0"]
    assert await names({"filters": {"metadata.desk": "foreign"}, "case_sensitive": True}) == []
    condition = {"case_sensitive": False, "field": "min_count", "operator": "gte", "value": 4}
    assert await names({"filters": {"OR": [condition, {"name": "A 1"}]}}) == ["A 4", "A 3", "A 1"]
    assert await names({"filters": condition, "search": "A 4"}) == ["A 4"]
    assert await names({"sort": {"field": "min_count", "direction": "asc"}}) == [f"A {n}" for n in range(5)]
    by_desk = [{"field": "metadata.desk"}, {"field": "created_at", "direction": "desc"}]
    assert await names({"sorts": by_desk}) == ["A 4", "A 3", "A 0", "A 1", "A 2"]
    by_desk[0]["direction"] = "desc"
    assert await names({"sorts": by_desk}) == ["A 1", "A 3", "A 0", "A 4", "A 2"]
    page = (await api.post("/v1/alerts/list", json={"sorts": by_desk, "limit": 1})).json()
    cursor = page["pagination"]["next_cursor"]
    refused(await api.post("/v1/alerts/list", json={"cursor": cursor}), 404, "NotFoundError")
    refused(await api.post("/v1/alerts/list", json={"nope": 1}), 422, "ValidationError")


async def test_last_fired_at_comes_from_notify(api: httpx.AsyncClient, here: Context) -> None:
    await make.retriever(api)
    made = await make.alert(api, "ebola")
    async with here.database.connection() as connection:
        await connection.execute(
            "INSERT INTO alert_notify_state (namespace_id, alert_id, last_fired_at)"
            " VALUES (%s, %s, '2026-01-02T03:04:05Z')",
            (made["namespace_id"], made["alert_id"]),
        )
    assert (await api.get("/v1/alerts/Ebola")).json()["last_fired_at"] == "2026-01-02T03:04:05.000Z"


async def test_a_change_that_would_break_an_attachment_is_refused(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    made = await make.alert(api, "ebola")
    await make.collection(api, alert_applications=[{"alert_id": "Ebola", "input_mappings": CONSTANT}])
    path = f"/v1/alerts/{made['alert_id']}"
    for change in ({"min_count": 2}, {"trigger_on": "no_results"}):
        error = refused(await api.patch(path, json=change), 409, "ConflictError")
        assert "attached on ingest" in error["message"]
    empty = {"stages": [{"stage_name": "s", "config": {"stage_id": "limit", "parameters": {"limit": 3}}}]}
    error = refused(await api.patch("/v1/retrievers/ebola", json=empty), 409, "ConflictError")
    assert "attached on ingest" in error["message"]
    assert (await api.patch(path, json={"min_count": 1})).status_code == 200
