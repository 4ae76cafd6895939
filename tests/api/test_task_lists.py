"""Tasks listed: by page, status, type and filter, and only those of namespaces the key reaches."""

from typing import Any

import httpx
import mixpeek as official

from streams.runtime.agent import Context
from streams.runtime.keys import create_key
from tests.api import make
from tests.api.conftest import caller
from tests.api.make import refused

mixpeek: Any = official


async def listed(api: httpx.AsyncClient, body: dict[str, Any], **query: Any) -> Any:
    answer = await api.post("/v1/tasks/list", json=body, params=query)
    assert answer.status_code == 200, answer.text
    return mixpeek.ListTasksResponse.from_dict(answer.json())


async def test_tasks_are_listed(api: httpx.AsyncClient, here: Context) -> None:
    news = await make.collection(api)
    await make.cluster(api, news["collection_id"])
    runs = [(await api.post("/v1/clusters/topics/execute")).json()["task_id"] for _ in range(3)]
    sent = (await api.post("/v1/collections/news/trigger")).json()["task_id"]
    await api.delete(f"/v1/tasks/{runs[0]}")
    every: list[str] = []
    cursor = None
    while True:
        page = await listed(api, {}, limit=2, include_total=True, **({"cursor": cursor} if cursor else {}))
        every += [task.task_id for task in page.results]
        assert page.pagination.total == 4
        if (cursor := page.pagination.next_cursor) is None:
            break
    assert sorted(every) == sorted([*runs, sent])

    async def ids(body: dict[str, Any]) -> set[str]:
        return {task.task_id for task in (await listed(api, body)).results}

    assert await ids({"status": "CANCELED"}) == {runs[0]}
    assert await ids({"status": "IN_PROGRESS"}) == set()
    assert await ids({"task_type": "API_COLLECTIONS_TRIGGER"}) == {sent}
    assert await ids({"search": "cluster_build"}) == set(runs)
    assert await ids({"filters": {"AND": [{"field": "task_id", "operator": "eq", "value": sent}]}}) == {sent}
    by_status = await listed(api, {"sort": {"field": "status"}, "task_type": "engine_cluster_build"})
    assert [task.status for task in by_status.results] == ["CANCELED", "PENDING", "PENDING"]
    for broken in ({"status": "canceled"}, {"sort": {"field": "colour"}}, {"colour": 1}):
        refused(await api.post("/v1/tasks/list", json=broken), 422, "ValidationError")
    refused(await api.post("/v1/tasks/list", json={"cursor": "WzFd"}), 400, "BadRequestError")
    async with here.database.connection() as connection:
        _, secret = await create_key(connection, "elsewhere", ["ns_elsewhere"], ["read"])
    async with caller(here, secret) as stranger:
        assert (await listed(stranger, {})).results == []
