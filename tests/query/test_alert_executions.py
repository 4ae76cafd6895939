"""Executions of alerts, listed and one by one."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from mixpeek.models.alert_execution_list_response import AlertExecutionListResponse

from schemas.ids import execution_id
from schemas.topics import MATCH_PROGRESS
from streams.runtime.agent import Context
from tests.query.asking import body, missing, parsed, put
from tests.query.support import (
    NOON,
    apply,
    client,
    define_alert,
    define_collection,
    define_namespace,
    define_retriever,
    delete,
    hit,
    progress,
    result,
)


async def test_a_cursor_walks_everything_once_while_new_rows_arrive(context: Context) -> None:
    await define_namespace(context)
    alerts = [await define_alert(context, name) for name in ("a", "b", "c")]
    await define_alert(context, "never")
    attached = await define_collection(context, "alt_never")
    await apply(context, MATCH_PROGRESS, progress(attached.record.version.number).encode())
    # Several days, many documents of one instant, several alerts on one document.
    records = [
        result(n, *(hit(alert) for alert in alerts[: n % 3 + 1]), at=NOON - timedelta(days=n % 5, seconds=n % 2))
        for n in range(40)
    ]
    await put(context, *records)
    expected = [
        execution_id(record.base, item.alert_number)
        for record in sorted(records, key=lambda item: (item.appended_at, item.base), reverse=True)
        for item in sorted(record.hits, key=lambda item: item.alert_number, reverse=True)
    ]
    async with client(context) as http:
        walked: list[dict[str, Any]] = []
        cursor: str | None = None
        for number in range(100):
            query = {"limit": 7, **({} if cursor is None else {"cursor": cursor})}
            page = await body(http, "/v1/alerts/executions", **query)
            parsed(AlertExecutionListResponse, page)
            assert page["total_count"] == len(expected) + number + 1
            walked += page["results"]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
            await put(context, result(1000 + number, hit(alerts[0]), at=NOON + timedelta(seconds=number + 1)))
        assert [item["execution_id"] for item in walked[:-1]] == expected
        assert walked[-1]["alert_id"] == "alt_never"

        total = len(expected) + number + 1
        by_offset = [
            item["execution_id"]
            for offset in range(0, total, 25)
            for item in (await body(http, "/v1/alerts/executions", offset=offset, limit=25))["results"]
        ]
        assert by_offset[number:-1] == expected
        assert len(set(by_offset)) == total
        of_b = await body(http, "/v1/alerts/alt_b/executions", limit=1000, include_total=True)
        assert {item["alert_id"] for item in of_b["results"]} == {"alt_b"}
        assert of_b["total_count"] == len(of_b["results"]) == of_b["pagination"]["total"]
        assert of_b["pagination"]["next_cursor"] is None


async def test_a_body_on_the_list_counts_where_the_query_is_silent(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await put(context, *(result(n, hit(alert), at=NOON + timedelta(seconds=n)) for n in range(6)))
    async with client(context) as http:

        async def ask(content: bytes, query: str = "") -> httpx.Response:
            return await http.request("GET", f"/v1/alerts/executions{query}", content=content)

        page = (await ask(b'{"limit": 2, "offset": 3, "include_total": true}')).json()
        assert [item["source_documents"] for item in page["results"]] == [["doc_2"], ["doc_1"]]
        assert page["pagination"]["total"] == 6
        assert len((await ask(b'{"limit": 2}', "?limit=4")).json()["results"]) == 4
        second = (await ask(b'{"limit": 2}', "?page=2")).json()
        assert [item["source_documents"] for item in second["results"]] == [["doc_3"], ["doc_2"]]
        first = (await ask(b'{"limit": 4}', "?base_url=https://view.example/")).json()["pagination"]
        assert first["next_page"].startswith("https://view.example/v1/alerts/executions?limit=4&cursor=")
        rest = (await ask(f'{{"cursor": "{first["next_cursor"]}"}}'.encode())).json()
        assert [item["source_documents"] for item in rest["results"]] == [["doc_1"], ["doc_0"]]
        assert (await ask(b"")).json()["pagination"]["page_size"] == 50
        assert (await ask(b'{"limit": null, "cursor": null}')).status_code == 200
        for bad in (b'{"limit": 0}', b'{"include_total": 0}', b'{"size": 3}', b"[]", b"{"):
            refused = await ask(bad)
            assert refused.status_code == 422
            assert refused.json()["error"]["details"]["validation_errors"][0]["location"][0] == "body"
        assert (await ask(b"", "?cursor=abc")).status_code == 400
        assert (await ask(b"", "?limit=1001")).status_code == 422


async def test_others_see_nothing(context: Context) -> None:
    await define_namespace(context)
    await define_namespace(context, "ns_b", "other")
    await define_retriever(context)
    alert = await define_alert(context, "a")
    record = result(1, hit(alert))
    await put(context, record)
    identifier = execution_id(record.base, alert.record.number)
    other = {"X-Namespace": "other"}
    paths = [
        "/v1/alerts/alt_a/results",
        "/v1/alerts/alt_a/executions",
        f"/v1/alerts/executions/{identifier}",
        f"/v1/retrievers/ret_a/executions/{identifier}",
    ]
    async with client(context) as http:
        for path in paths:
            assert (await http.get(path)).status_code == 200
            assert await missing(http, path, other), path
            assert (await http.get(path, headers={"Authorization": "Bearer sk_wrong"})).status_code == 401
        assert (await http.get("/v1/alerts/executions", headers=other)).json()["total_count"] == 0


async def test_a_deleted_alert_is_gone(context: Context) -> None:
    await define_namespace(context)
    alert, stays = await define_alert(context, "a"), await define_alert(context, "b")
    record = result(1, hit(alert), hit(stays))
    await put(context, record)
    await delete(context, "alt_a")
    # An execution that was on its way when the alert was deleted.
    await put(context, result(2, hit(alert)))
    async with client(context) as http:
        assert await missing(http, "/v1/alerts/alt_a/results")
        assert await missing(http, "/v1/alerts/alt_a/executions")
        assert await missing(http, f"/v1/alerts/executions/{execution_id(record.base, alert.record.number)}")
        listed = await body(http, "/v1/alerts/executions")
        assert [item["alert_id"] for item in listed["results"]] == ["alt_b"]
        assert listed["total_count"] == 1


@pytest.mark.parametrize("identifier", ["exec_1", "nothing", "exec_" + "0" * 24 + "f" * 17, "a%00b"])
async def test_an_unknown_execution_is_not_found(context: Context, identifier: str) -> None:
    await define_namespace(context)
    await define_retriever(context)
    async with client(context) as http:
        assert await missing(http, f"/v1/alerts/executions/{identifier}")
        assert await missing(http, f"/v1/retrievers/ret_a/executions/{identifier}")
        assert await missing(http, f"/v1/alerts/{identifier}/results")
