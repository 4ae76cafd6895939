"""Lists of documents (contract 1.7, 2.9): order, filters, cursors, groups, across collections."""

import itertools
from typing import Any

import httpx
import orjson
import pytest
from mixpeek.models.list_documents_response import ListDocumentsResponse

from streams.api import document_lists
from streams.runtime.agent import Context
from tests.api import make
from tests.api.make import refused

PATH = "/v1/collections/news/documents"


async def put(api: httpx.AsyncClient, document_id: str, path: str = PATH, **fields: Any) -> None:
    answer = await api.post(path, json={"document_id": document_id, **fields})
    assert answer.status_code == 200, answer.text


async def listed(api: httpx.AsyncClient, path: str = f"{PATH}/list", **body: Any) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert ListDocumentsResponse.from_dict(shown) is not None
    return shown


def ids(shown: dict[str, Any]) -> list[str]:
    return [document["document_id"] for document in shown["results"]]


async def walked(api: httpx.AsyncClient, path: str = f"{PATH}/list", **body: Any) -> list[str]:
    """Everything, cursor by cursor."""
    found: list[str] = []
    cursor = None
    for _ in range(100):
        shown = await listed(api, path, **body, **({} if cursor is None else {"cursor": cursor}))
        found += ids(shown)
        cursor = shown["pagination"]["next_cursor"]
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


async def test_a_list_is_walked_by_cursor_in_every_order(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    ranks = [3, None, "b", 1, True, "2024-01-01", {"a": 1}, 2.5, "a"]
    for number, rank in enumerate(ranks):
        await put(api, f"d{number}", rank=rank, kind="even" if number % 2 == 0 else "odd")
    every = {f"d{number}" for number in range(len(ranks))}
    assert await walked(api, limit=2) == sorted(every, reverse=True)
    by_id = await walked(api, limit=2, sort={"field": "document_id"})
    assert by_id == sorted(every)
    by_rank = await walked(api, limit=2, sort={"field": "rank"})
    # Booleans, numbers, dates, texts, objects, and what has none last.
    assert by_rank == ["d4", "d3", "d7", "d0", "d5", "d8", "d2", "d6", "d1"]
    assert (await walked(api, limit=4, sort={"field": "rank", "direction": "desc"}))[-1] == "d1"
    sorts = [{"field": "kind"}, {"field": "document_id", "direction": "desc"}]
    assert await walked(api, limit=2, sorts=sorts) == [
        *sorted((one for one in every if int(one[1:]) % 2 == 0), reverse=True),
        *sorted((one for one in every if int(one[1:]) % 2), reverse=True),
    ]
    for sort in ({"field": "updated_at"}, {"field": "created_at", "direction": "desc"}):
        assert set(await walked(api, limit=2, sort=sort)) == every
    assert ids(await listed(api, limit=3, offset=1)) == ["d7", "d6", "d5"]
    assert ids(await listed(api, page_size=3, page=2)) == ["d5", "d4", "d3"]


async def test_a_walk_stays_right_while_documents_come_and_go(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for number in range(12):
        await put(api, f"a{number:02}", n=number)
    found: list[str] = []
    cursor: dict[str, Any] = {}
    for step in itertools.count():
        shown = await listed(api, limit=3, filters={"n": {"gte": 2}}, **cursor)
        found += ids(shown)
        if shown["pagination"]["next_cursor"] is None:
            break
        cursor = {"cursor": shown["pagination"]["next_cursor"]}
        await put(api, f"b{step}", n=99)
        await put(api, f"a{step:02}", n=0)
        await api.patch(f"{PATH}/a11", json={"n": 50 + step})
    before = [one for one in found if one.startswith("a")]
    assert before == sorted(set(before), reverse=True)
    assert {f"a{number:02}" for number in range(6, 12)} <= set(before)
    assert "a00" not in found


async def test_filters_and_search_in_query_and_body(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    await put(api, "one", text="Ebola in Guinea", metadata={"lang": "en"}, n=1)
    await put(api, "two", title="Guinea pigs", metadata={"lang": "de"}, n=2)
    await put(api, "three", n=3)
    by_filter = {"AND": [{"field": "metadata.lang", "operator": "eq", "value": "EN"}]}
    assert ids(await listed(api, filters=by_filter)) == ["one"]
    shown = await listed(api, search="guinea", include_total=True)
    assert (ids(shown), shown["total_documents"], shown["pagination"]["total"]) == (["two", "one"], 2, 2)
    assert ids(await listed(api, search="guinea", case_sensitive=True)) == []
    assert ids(await listed(api, search="t*")) == ["two", "three"]
    assert ids(await listed(api, search="e*gui*a")) == ["one"]
    query = {"filters": orjson.dumps({"n": {"gt": 1}}).decode(), "sort": "n:asc", "limit": "1"}
    answer = await api.get(PATH, params=query)
    assert ids(answer.json()) == ["two"]
    # The typed SDK sends its defaults in the body: what the query says wins, whatever it is.
    twin = {"limit": 10, "offset": 0, "filters": {"n": 3}, "sorts": [{"field": "n", "direction": "desc"}]}
    answer = await api.post(f"{PATH}/list", params=query, json=twin)
    assert ids(answer.json()) == ["two"]
    answer = await api.post(f"{PATH}/list", params={"search": "guinea"}, json={"search": "three"})
    assert ids(answer.json()) == ["two", "one"]
    assert (await api.post(f"{PATH}/list", params={"include_total": "true"})).json()["total_documents"] == 3
    assert (await api.get(PATH)).json()["pagination"]["page_size"] == 10
    everything = await listed(api, partition={"index": 0, "count": 3})
    rest = [await listed(api, partition={"index": index, "count": 3}) for index in (1, 2)]
    assert sorted(ids(everything) + ids(rest[0]) + ids(rest[1])) == ["one", "three", "two"]


_NO_LISTS: list[tuple[dict[str, str], dict[str, Any], int]] = [
    ({"limit": "0"}, {}, 422),
    ({"limit": "1001"}, {}, 422),
    ({"offset": "10001"}, {}, 422),
    ({"page": "0"}, {}, 422),
    ({"filters": "{"}, {}, 422),
    ({"filters": "[]"}, {}, 422),
    ({"filters": '{"AND":[null]}'}, {}, 422),
    ({"sort": '{"direction":"asc"}'}, {}, 422),
    ({"sort": "a:sideways"}, {}, 422),
    ({"cursor": "nonsense"}, {}, 400),
    ({}, {"limit": 0}, 422),
    ({}, {"filters": {"AND": [None]}}, 422),
    ({}, {"cursor": "W10"}, 400),
    ({}, {"cursor": "WyJhIiwiYiIsImMiLCJkIl0"}, 400),
    ({}, {"colour": 1}, 422),
    ({}, {"partition": {"index": 3, "count": 3}}, 409),
    ({}, {"sort": {"field": ""}}, 422),
]


async def test_what_is_no_list_is_refused(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for query, body, status in _NO_LISTS:
        kind = {400: "BadRequestError", 409: "ConflictError", 422: "ValidationError"}[status]
        refused(await api.post(f"{PATH}/list", params=query, json=body), status, kind)
        if query:
            refused(await api.get(PATH, params=query), status, kind)


async def test_what_is_shown(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    await put(api, "a", metadata={"x": 1, "y": 2}, title="t", vectors={"embedding": [1, 2]}, friend="b")
    await put(api, "b", title="u")
    uri = "mixpeek://passthrough_extractor@v1/embedding"
    (shown,) = (await listed(api, filters={"document_id": "a"}, return_vectors=True))["results"]
    assert shown["vectors"] == {uri: [1, 2]}
    (shown,) = (await listed(api, filters={"document_id": "a"}, return_vector_names=True))["results"]
    assert shown["_vectors"] == [uri]
    assert "vectors" not in shown
    (shown,) = (await listed(api, filters={"document_id": "a"}, return_vector_names=["embedding"]))["results"]
    assert shown["embedding"] == [1, 2]
    (shown,) = (await listed(api, filters={"document_id": "a"}, select=["metadata.x"]))["results"]
    assert shown["metadata"] == {"x": 1}
    assert "title" not in shown
    (shown,) = (await listed(api, filters={"document_id": "a"}, expand=["friend"]))["results"]
    assert shown["_expanded"]["friend"]["title"] == "u"


async def test_groups(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for number, kind in enumerate(["x", "y", "x", None, "x", "y"]):
        await put(api, f"d{number}", **({} if kind is None else {"kind": kind}))
    shown = await listed(api, group_by="kind", limit=2, include_total=True)
    assert shown["results"] is None
    assert shown["group_by_field"] == "kind"
    assert [(group["group_key"], group["count"]) for group in shown["groups"]] == [("x", 3), ("y", 2)]
    assert [one["document_id"] for one in shown["groups"][0]["documents"]] == ["d4", "d2", "d0"]
    assert (shown["stats"]["total_groups"], shown["total_documents"], shown["pagination"]["total"]) == (3, 6, 3)
    cursor = shown["pagination"]["next_cursor"]
    last = await listed(api, group_by={"field": "kind"}, limit=2, cursor=cursor)
    assert [(group["group_key"], group["count"]) for group in last["groups"]] == [(None, 1)]
    assert last["pagination"]["next_cursor"] is None
    refused(await api.post(f"{PATH}/list", json={"group_by": "n", "cursor": cursor}), 404, "NotFoundError")


async def test_work_is_bounded_and_nothing_is_left_out(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make.collection(api)
    for number in range(7):
        await put(api, f"d{number}", n=number)
    monkeypatch.setattr(document_lists, "PAGE", 2)
    monkeypatch.setattr(document_lists, "MAX_LOOKED_AT", 2)
    monkeypatch.setattr(document_lists, "MAX_AT_ONCE", 6)
    shown = await listed(api, filters={"n": {"lt": 2}}, limit=5)
    assert ids(shown) == []
    assert "2 documents were looked at" in shown["warnings"][0]
    assert await walked(api, filters={"n": {"lt": 2}}, limit=5) == ["d1", "d0"]
    for body in ({"sort": {"field": "n"}}, {"group_by": "n"}, {"filters": {"n": 1}, "include_total": True}):
        error = refused(await api.post(f"{PATH}/list", json=body), 409, "ConflictError")
        assert "more than 6 documents" in error["message"]
    refused(await api.post(f"{PATH}/list", json={"filters": {"n": 1}, "offset": 5}), 409, "ConflictError")


async def test_across_collections(api: httpx.AsyncClient, here: Context) -> None:
    await make.collection(api)
    other = await make.collection(api, "other")
    await put(api, "a")
    await put(api, "b", "/v1/collections/other/documents")
    await put(api, "a", "/v1/collections/other/documents", n=2)
    path = "/v1/documents/list"
    assert sorted(ids(await listed(api, path))) == ["a", "a", "b"]
    assert sorted(await walked(api, path, limit=1)) == ["a", "a", "b"]
    assert sorted(await walked(api, path, limit=1, sort={"field": "document_id"})) == ["a", "a", "b"]
    shown = await listed(api, path, collection_ids=["other", "nowhere"], include_total=True)
    assert (sorted(ids(shown)), shown["unknown_collection_ids"]) == (["a", "b"], ["nowhere"])
    assert shown["total_documents"] == 2
    refused(await api.post(path, json={"collection_ids": ["nowhere"]}), 404, "NotFoundError")
    queries = [
        {"key": "good", "request": {"collection_ids": ["other"]}},
        {"key": "bad", "request": {"collection_ids": ["nowhere"]}},
    ]
    answer = (await api.post(f"{path}/batch", json={"queries": queries})).json()
    assert [(one["key"], one["error"] is None) for one in answer["results"]] == [("good", True), ("bad", False)]
    found = (await api.post("/v1/documents/batch-get", json={"document_ids": ["a", "b", "c"]})).json()
    assert sorted(one["document_id"] for one in found["documents"]) == ["a", "a", "b"]
    assert found["not_found"] == ["c"]
    assert {one["collection_id"] for one in found["documents"]} >= {other["collection_id"]}
    bodies: list[dict[str, list[str]]] = [{"document_ids": []}, {"document_ids": ["x"] * 1001}, {}]
    for body in bodies:
        refused(await api.post("/v1/documents/batch-get", json=body), 422, "ValidationError")


async def test_figures(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for number, day in enumerate(["2024-01-01", "2024-01-31T10:00:00Z", "2024-02-01"]):
        await put(api, f"d{number}", n=number, day=day, tags=["a", f"t{number}"])
    shown = (await api.post(f"{PATH}/distinct", json={"field": "tags", "limit": 2})).json()
    assert shown["values"][0] == {"value": "a", "count": 3}
    assert (shown["total_distinct"], shown["query_info"]["distinct_values"]) == (2, 4)
    body = {
        "group_by": [{"field": "day", "alias": "month", "date_trunc": "month"}],
        "aggregations": [
            {"function": "count", "alias": "documents"},
            {"function": "sum", "field": "n", "alias": "sum"},
            {"function": "add_to_set", "field": "n", "alias": "all"},
        ],
        "having": [{"field": "documents", "operator": "gte", "value": 1}],
        "sort_by": "sum",
    }
    shown = (await api.post(f"{PATH}/aggregate", json=body)).json()
    assert shown == {
        "results": [
            {
                "group": {"month": "2024-02-01T00:00:00.000Z"},
                "metrics": {"documents": 1, "sum": 2, "all": [2]},
            },
            {
                "group": {"month": "2024-01-01T00:00:00.000Z"},
                "metrics": {"documents": 2, "sum": 1, "all": [1, 0]},
            },
        ],
        "total_groups": 2,
        "query_info": None,
    }
    counted = {"aggregations": [{"function": "count", "alias": "n"}], "filters": {"n": {"gt": 0}}}
    shown = (await api.post(f"{PATH}/aggregate", json=counted)).json()
    assert shown["results"] == [{"group": {}, "metrics": {"n": 2}}]
    ranges = {
        "aggregations": [{"function": "count", "alias": "c"}],
        "range_buckets": [{"field": "n", "boundaries": [1, 2]}],
        "sort_by": "n",
        "sort_direction": "asc",
    }
    shown = (await api.post(f"{PATH}/aggregate", json=ranges)).json()
    assert [one["group"]["n"] for one in shown["results"]] == ["1-2", "<1", ">=2"]
    unwound = {
        "unwind": "tags",
        "group_by": [{"field": "tags"}],
        "aggregations": [{"function": "count", "alias": "c"}],
        "sort_by": "c",
        "limit": 1,
    }
    shown = (await api.post(f"{PATH}/aggregate", json=unwound)).json()
    assert shown["results"] == [{"group": {"tags": "a"}, "metrics": {"c": 3}}]
    mistakes: list[dict[str, Any]] = [
        {"aggregations": []},
        {"aggregations": [{"function": "sum", "alias": "x"}]},
        {"aggregations": [{"function": "sum", "field": "n", "alias": "x"}]},
        {**body, "sort_by": "nothing"},
        {**body, "having": [{"field": "nothing", "operator": "eq", "value": 1}]},
        {**ranges, "range_buckets": [{"field": "n", "boundaries": [2, 1]}]},
    ]
    for wrong in mistakes[:2]:
        refused(await api.post(f"{PATH}/aggregate", json=wrong), 422, "ValidationError")
    for wrong in mistakes[2:]:
        refused(await api.post(f"{PATH}/aggregate", json=wrong), 409, "ConflictError")


async def test_a_page_of_the_query_is_one_of_the_size_asked_for(api: httpx.AsyncClient) -> None:
    await make.collection(api)
    for name in "abcd":
        await put(api, name)
    whole = (await api.get(PATH, params={"page": "2.0", "limit": 3})).json()
    assert ids(whole) == ["a"]
    sized = await api.post(f"{PATH}/list?page=2", json={"limit": 3})
    assert ids(sized.json()) == ["a"]
    refused(await api.post(f"{PATH}/list?page=200", json={"limit": 1_000}), 404, "NotFoundError")
