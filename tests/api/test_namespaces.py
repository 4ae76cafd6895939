import asyncio
import hashlib

import httpx
import orjson
from mixpeek.models.list_namespaces_response import ListNamespacesResponse
from mixpeek.models.namespace_model import NamespaceModel
from mixpeek.models.patch_namespace_request import PatchNamespaceRequest
from mixpeek.models.task_response import TaskResponse

from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context
from streams.runtime.definitions import list_definitions
from tests.api import make
from tests.api.conftest import caller
from tests.api.make import made, refused


async def add_key(context: Context, key: str, namespaces: list[str] | None, scopes: list[str]) -> None:
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO api_keys (key_id, secret_sha256, name, namespace_ids, scopes)"
            " VALUES (%s, %s, %s, %s, %s)",
            (key, hashlib.sha256(key.encode()).digest(), key, namespaces, scopes),
        )


async def test_create_get_and_the_sdk_reads_it(here: Context) -> None:
    # No namespace exists yet, and a header that names none is ignored here.
    async with caller(here, **{"X-Namespace": "not-there"}) as api:
        one = await made(api, "/v1/namespaces", {"namespace_name": "desk", "description": "d"})
        assert NamespaceModel.from_dict(one) is not None
        assert one["namespace_id"].startswith("ns_")
        assert (one["document_count"], one["collection_count"], one["namespace_ready"]) == (0, 0, True)
        for identifier in ("desk", one["namespace_id"]):
            assert (await api.get(f"/v1/namespaces/{identifier}")).json() == one
        renamed = (await api.put("/v1/namespaces/desk", json={"namespace_name": "desk2"})).json()
        assert (renamed["namespace_id"], renamed["namespace_name"]) == (one["namespace_id"], "desk2")
        page = (await api.post("/v1/namespaces/list")).json()
        assert ListNamespacesResponse.from_dict(page) is not None
        assert page["total_count"] == 1
        refused(await api.post("/v1/namespaces", json={"namespace_name": "desk2"}), 409, "AlreadyExistsError")
        for name in ("ab", "x" * 65, "a/b", "standalone"):
            refused(await api.post("/v1/namespaces", json={"namespace_name": name}), 422, "ValidationError")
        own = {"namespace_name": "mine", "namespace_id": "my-id"}
        assert (await made(api, "/v1/namespaces", own))["namespace_id"] == "my-id"
        refused(
            await api.post("/v1/namespaces", json={**own, "namespace_name": "mine2"}), 409, "AlreadyExistsError"
        )


async def test_ensure_namespace_makes_one_however_often_it_is_called(here: Context) -> None:
    ids = await asyncio.gather(*(ensure_namespace(here.database, "default") for _ in range(6)))
    assert len(set(ids)) == 1
    async with here.database.connection() as connection:
        assert [item.record.id for item in await list_definitions(connection, "namespace")] == [ids[0]]


async def test_one_namespace_does_not_see_another(api: httpx.AsyncClient, here: Context) -> None:
    await make.collection(api)
    one = await make.retriever(api)
    alert = await make.alert(api, "ebola")
    await make.cluster(api, "news")
    body = {
        "action_type": "cluster",
        "action_config": {"cluster_id": "topics"},
        "trigger_type": "interval",
        "schedule_config": {"interval_seconds": 60},
    }
    trigger = await made(api, "/v1/triggers", body)
    await made(api, "/v1/namespaces", {"namespace_name": "other"})
    async with caller(here, **{"X-Namespace": "other"}) as stranger:
        for path in (
            "/v1/collections/news",
            "/v1/collections/news/documents/d",
            "/v1/collections/news/documents/count",
            f"/v1/retrievers/{one['retriever_id']}",
            f"/v1/alerts/{alert['alert_id']}",
            "/v1/clusters/topics",
            f"/v1/triggers/{trigger['trigger_id']}",
        ):
            refused(await stranger.get(path), 404, "NotFoundError")
        refused(await stranger.delete(f"/v1/triggers/{trigger['trigger_id']}"), 404, "NotFoundError")
        refused(await stranger.post(f"/v1/triggers/{trigger['trigger_id']}/execute"), 404, "NotFoundError")
        refused(
            await stranger.post(
                "/v1/alerts",
                json={
                    "name": "A",
                    "retriever_id": one["retriever_id"],
                    "notification_config": make.UNCONFIGURED,
                },
            ),
            404,
            "NotFoundError",
        )
        assert (await stranger.get("/v1/alerts")).json()["total_count"] == 0
        assert (await stranger.post("/v1/triggers/list")).json()["total"] == 0
        # A name belongs to its namespace.
        await make.collection(stranger)


async def test_every_setting_that_the_official_client_sends_is_taken(api: httpx.AsyncClient) -> None:
    await made(api, "/v1/namespaces", {"namespace_name": "other", "description": "kept"})
    request = PatchNamespaceRequest.from_dict(
        {
            "auto_create_indexes": True,
            "adaptive_indexing": False,
            "repair_vectors": True,
            "infrastructure": {},
            "trusted_issuers": [],
            "spend_budget": {"daily_usd": 1.5},
            "pinned": {"enabled": True},
            "tiering": {"enabled": True},
            "expires_at": "2030-01-01T00:00:00Z",
            "ttl_seconds": 60,
            "cost_cap_override": {"daily_usd": 1.5, "reason": "the end of the year", "owner": "finance"},
        }
    )
    assert request is not None
    answer = await api.patch("/v1/namespaces/other", json=orjson.loads(orjson.dumps(request.to_dict())))
    assert answer.status_code == 200, answer.text
    assert answer.json()["description"] == "kept"
    refused(await api.patch("/v1/namespaces/other", json={"colour": 1}), 422, "ValidationError")


async def test_keys(api: httpx.AsyncClient, here: Context) -> None:
    other = await made(api, "/v1/namespaces", {"namespace_name": "other"})
    await made(api, "/v1/namespaces", {"namespace_name": "third"})
    await add_key(here, "sk_other", [other["namespace_id"]], ["read", "write"])
    await add_key(here, "sk_reader", None, ["read"])
    async with caller(here, "sk_other") as limited:
        refused(await limited.post("/v1/namespaces", json={"namespace_name": "mine"}), 403, "ForbiddenError")
        refused(await limited.delete("/v1/namespaces/other"), 403, "ForbiddenError")
        listed = (await limited.get("/v1/namespaces")).json()
        assert [item["namespace_name"] for item in listed["results"]] == ["other"]
        assert listed["total_count"] == 1
        refused(await limited.get("/v1/namespaces/third"), 404, "NotFoundError")
        refused(await limited.patch("/v1/namespaces/third", json={"description": "x"}), 404, "NotFoundError")
        refused(await limited.get("/v1/alerts"), 404, "NotFoundError")
        assert (await limited.get("/v1/alerts", headers={"X-Namespace": "other"})).status_code == 200
    async with caller(here, "sk_reader") as reader:
        assert (await reader.post("/v1/collections/list")).status_code == 200
        refused(
            await reader.post(
                "/v1/collections", json={"collection_name": "abc", "source": {"type": "direct_upsert"}}
            ),
            403,
            "ForbiddenError",
        )
    async with caller(here, "sk_unknown") as unknown:
        refused(await unknown.get("/v1/namespaces"), 401, "UnauthorizedError")
        refused(await unknown.get("/v1/tasks/t"), 401, "UnauthorizedError")


async def test_delete_cascades_and_is_a_task(api: httpx.AsyncClient, here: Context) -> None:
    other = await made(api, "/v1/namespaces", {"namespace_name": "other"})
    async with caller(here, **{"X-Namespace": "other"}) as inside:
        await make.collection(inside)
        await make.cluster(inside, "news")
        run = await make.made(inside, "/v1/clusters/topics/execute", {})
    refused(await api.delete("/v1/namespaces/other"), 409, "ConflictError")
    refused(await api.delete("/v1/namespaces/default"), 409, "ConflictError")
    task = (await api.delete("/v1/namespaces/other", params={"force": True})).json()
    assert TaskResponse.from_dict(task) is not None
    # What it held goes by an action of act (tests/act/test_document_actions.py).
    assert (await api.get(f"/v1/tasks/{task['task_id']}")).json()["status"] == "PENDING"
    assert (await api.get(f"/v1/tasks/{run['task_id']}")).json()["status"] == "CANCELED"
    refused(await api.get("/v1/namespaces/other"), 404, "NotFoundError")
    async with here.database.connection() as connection:
        for kind in ("collection", "cluster"):
            assert await list_definitions(connection, kind, other["namespace_id"]) == []
