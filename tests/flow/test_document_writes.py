"""Documents written over HTTP, on a real broker: checked by every alert attached before, and read back at once."""

from typing import Any

import httpx

from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.flow.system import created, fired, system, until_fired
from tests.support import eventually

PATH = "/v1/collections/news/documents"
CONSTANT = [{"input_key": "alert", "source": {"source_type": "constant", "value": "x"}}]


async def watched(http: httpx.AsyncClient, number: int) -> None:
    """An alert on documents that name a number."""
    condition = {"field": f"hit{number}", "operator": "exists", "value": True}
    stage = {
        "stage_name": "f",
        "config": {"stage_id": "attribute_filter", "parameters": {"conditions": condition}},
    }
    await created(http, "/v1/retrievers", {"retriever_name": f"r{number}", "stages": [stage]})
    body = {
        "name": f"a{number}",
        "retriever_id": f"r{number}",
        "notification_config": {"channels": [{"channel_type": "webhook"}]},
    }
    await created(http, "/v1/alerts", body)
    applications = [{"alert_id": f"a{one}", "input_mappings": CONSTANT} for one in range(number + 1)]
    answer = await http.patch("/v1/collections/news", json={"alert_applications": applications})
    assert answer.status_code == 200, answer.text


async def stored(context: Context) -> None:
    async def done() -> bool:
        async with context.database.connection() as connection:
            return bool(await fetch_value(connection, "SELECT count(*) = 0 FROM document_writes"))

    await eventually(done, timeout=30, what="every write is stored")


async def test_every_way_to_write_is_checked_by_what_was_attached_before(context: Context) -> None:
    async with system(context) as http:
        source = {"type": "direct_upsert"}
        await created(http, "/v1/collections", {"collection_name": "news", "source": source})
        # Each alert is attached immediately before the write it has to see.
        await watched(http, 0)
        await created(http, PATH, {"document_id": "d", "hit0": 1})
        await until_fired(context, "d")
        await watched(http, 1)
        assert (await http.patch(f"{PATH}/d", json={"hit1": 1, "metadata": {"k": 1}})).status_code == 200
        await watched(http, 2)
        assert (await http.put(f"{PATH}/d", json={"hit2": 1})).status_code == 200
        shown = (await http.get(f"{PATH}/d")).json()
        assert (shown["hit0"], shown["hit1"], shown["hit2"], shown["metadata"]) == (1, 1, 1, {"k": 1})
        await watched(http, 3)
        updates = [{"document_id": "d", "update_data": {"hit3": 1}}]
        assert (await http.post(f"{PATH}/batch", json={"updates": updates})).json()["updated_count"] == 1
        await watched(http, 4)
        bulk = {"filters": {"hit3": 1}, "update_data": {"hit4": 1}}
        assert (await http.patch(f"{PATH}/bulk", json=bulk)).json()["updated_count"] == 1
        await watched(http, 5)
        upsert: dict[str, Any] = {
            "collection_id": "news",
            "documents": [{"document_id": "byo", "vectors": {"v": [1, 0]}, "payload": {"hit5": 1}}],
        }
        await created(http, "/v1/namespaces/default/documents/upsert", upsert)
        results = await until_fired(context, "byo")
        assert [hit.alert_id for hit in results["byo"].hits] == [await alert_id(http, 5)]

        async def all_of_them() -> bool:
            last = (await fired(context))["d"]
            return {hit.alert_id for hit in last.hits} == {await alert_id(http, number) for number in range(5)}

        await eventually(all_of_them, timeout=30, what="the last version has set off all five")
        # What a deleted document set off is shown without it.
        assert (await http.delete(f"{PATH}/d")).status_code == 200
        assert (await http.get(f"{PATH}/d")).status_code == 404
        await stored(context)
        assert (await http.get(f"{PATH}/d")).status_code == 404
        assert (await http.get(f"{PATH}/count")).json()["count"] == 1

        async def blank() -> bool:
            listed = (await http.get("/v1/alerts/executions", params={"limit": 100})).json()["results"]
            of_it = [match for one in listed for match in one["matches"] if match["document_id"] == "d"]
            return bool(of_it) and all(not match["metadata"] for match in of_it)

        await eventually(blank, timeout=30, what="its results are blank")


async def alert_id(http: httpx.AsyncClient, number: int) -> str:
    return str((await http.get(f"/v1/alerts/a{number}")).json()["alert_id"])


async def test_writes_succeed_while_the_broker_is_away_until_too_many_wait(context: Context) -> None:
    # No relay and no stations: what the API does when nothing it writes can be published.
    async with system(context, stations=()) as http:
        source = {"type": "direct_upsert"}
        await created(http, "/v1/collections", {"collection_name": "news", "source": source})
        await created(http, PATH, {"document_id": "d", "n": 1})
        assert (await http.patch(f"{PATH}/d", json={"n": 2})).json()["n"] == 2
        listed = (await http.post(f"{PATH}/list", json={})).json()["results"]
        assert [(one["n"], one["searchable_at"]) for one in listed] == [(2, None)]
        async with context.database.connection() as connection:
            await connection.execute(
                "INSERT INTO outbox (id, topic) OVERRIDING SYSTEM VALUE VALUES (200000, 'documents')"
            )
        answer = await http.patch(f"{PATH}/d", json={"n": 3})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"]["details"]["retryable"] is True
        assert (await http.get(f"{PATH}/d")).json()["n"] == 2
