"""A retriever's executions page by page: recorded runs and executions of alerts in one order, each once."""

import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas.events.alert_result import encode_alert_result
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.times import parse_instant
from schemas.topics import ALERT_RESULTS, RETRIEVER_EXECUTIONS
from streams.query.reads.retrievers import ADHOC
from streams.query.routes import retrievers
from streams.runtime.agent import Context
from tests.query.support import (
    NAMESPACE,
    NOON,
    apply,
    client,
    define_alert,
    define_namespace,
    define_retriever,
    hit,
    result,
)

LIST = "/v1/retrievers/ret_a/executions/list"
ADHOC_LIST = "/v1/retrievers/executions/list"


def run(name: str, second: int, status: str = "completed", retriever_id: str = "ret_a") -> bytes:
    at = NOON + timedelta(seconds=second)
    return RetrieverExecutionRecord(
        execution_id=f"exec_{name}",
        namespace_id=NAMESPACE,
        retriever_id=retriever_id,
        status=status,
        created_at=at,
        completed_at=at,
        detail={"documents": []},
    ).encode()


@pytest.fixture
async def filled(context: Context) -> AsyncIterator[tuple[Context, httpx.AsyncClient]]:
    """25 runs, and 20 documents on which two alerts fired, of few different instants; and look-ups' own runs."""
    await define_namespace(context)
    await define_retriever(context)
    alerts = [await define_alert(context, name) for name in ("a", "b")]
    chance = random.Random(7)
    runs = [run(f"r{n}", chance.randrange(6), chance.choice(["completed", "failed"])) for n in range(25)]
    look_ups = [run("0" * 24 + f"{n:x}", n) for n in range(5)]
    documents = [result(n, *map(hit, alerts), at=NOON + timedelta(seconds=chance.randrange(6))) for n in range(20)]
    await apply(context, RETRIEVER_EXECUTIONS, *runs, *look_ups)
    await apply(context, ALERT_RESULTS, *(encode_alert_result(one) for one in documents))
    async with client(context) as http:
        yield context, http


async def page(http: httpx.AsyncClient, path: str, asked: dict[str, Any], **query: Any) -> Any:
    answer = await http.post(path, json=asked, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [one["execution_id"] for one in answer["results"]]


async def walked(http: httpx.AsyncClient, path: str, asked: dict[str, Any], limit: int) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await page(http, path, asked, limit=limit, **cursor)
        found += ids(answer)
        following = answer["pagination"]["next_cursor"]
        assert answer["pagination"]["has_next"] is (following is not None)
        if following is None:
            return found
        assert len(answer["results"]) == limit
        cursor = {"cursor": following}


async def test_a_walk_by_cursor_finds_each_once_in_the_order_of_offsets(
    filled: tuple[Context, httpx.AsyncClient],
) -> None:
    _, http = filled
    whole = await page(http, LIST, {}, limit=100)
    assert whole["pagination"]["total"] == len(whole["results"]) == len(set(ids(whole))) == 65
    moments = [one["created_at"] for one in whole["results"]]
    assert len(set(moments)) < 20
    for limit in (1, 4, 65):
        assert await walked(http, LIST, {}, limit) == ids(whole)
    pieces = [ids(await page(http, LIST, {}, limit=9, offset=offset)) for offset in range(0, 65, 9)]
    assert [one for piece in pieces for one in piece] == ids(whole)
    failed = await page(http, LIST, {"status": "failed"}, limit=100)
    assert 0 < failed["pagination"]["total"] == len(failed["results"]) < 25
    assert await walked(http, LIST, {"status": "failed"}, 3) == ids(failed)


async def test_a_walk_misses_nothing_while_new_ones_come(filled: tuple[Context, httpx.AsyncClient]) -> None:
    context, http = filled
    before = ids(await page(http, LIST, {}, limit=100))
    first = await page(http, LIST, {}, limit=10)
    await apply(context, RETRIEVER_EXECUTIONS, run("late", 60), run("later", 61))
    rest: list[str] = []
    cursor = first["pagination"]["next_cursor"]
    while cursor is not None:
        answer = await page(http, LIST, {}, limit=10, cursor=cursor)
        rest += ids(answer)
        cursor = answer["pagination"]["next_cursor"]
        assert answer["pagination"]["total"] == 67
    assert ids(first) + rest == before


@pytest.mark.parametrize(
    ("asked", "fits", "order"),
    [
        ({"sorts": [{"field": "created_at", "direction": "asc"}]}, lambda _: True, lambda one: one["created_at"]),
        ({"filters": {"field": "status", "value": "failed"}}, lambda one: one["status"] == "failed", None),
        ({"filters": {"total_processed": {"gte": 1}}}, lambda one: one["total_processed"] >= 1, None),
        ({"search": "exec_R1*"}, lambda one: one["execution_id"].startswith("exec_r1"), None),
        (
            {"filters": {"field": "created_at", "operator": "gt", "value": "2024-05-01T12:00:02Z"}},
            lambda one: parse_instant(one["created_at"]) > NOON + timedelta(seconds=2),
            None,
        ),
    ],
)
async def test_a_list_by_any_field_is_the_whole_list_sifted(
    filled: tuple[Context, httpx.AsyncClient],
    asked: dict[str, Any],
    fits: Callable[[dict[str, Any]], bool],
    order: Callable[[dict[str, Any]], Any] | None,
) -> None:
    _, http = filled
    whole = (await page(http, LIST, {}, limit=100))["results"]
    expected = [one for one in whole if fits(one)]
    found = await page(http, LIST, asked, limit=100)
    assert 0 < len(expected) == found["pagination"]["total"]
    assert sorted(ids(found)) == sorted(one["execution_id"] for one in expected)
    if order is not None:
        assert [order(one) for one in found["results"]] == sorted(map(order, expected))
    assert await walked(http, LIST, asked, 4) == ids(found)


async def test_a_field_that_executions_do_not_have_is_named(filled: tuple[Context, httpx.AsyncClient]) -> None:
    _, http = filled
    answer = await http.post(LIST, json={"sort": {"field": "colour"}})
    assert answer.status_code == 422
    assert "duration_ms" in answer.text


async def test_more_than_are_looked_through_are_refused(
    filled: tuple[Context, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, http = filled
    monkeypatch.setattr(retrievers, "MOST_SIFTED", 64)
    answer = await http.post(LIST, json={"search": "x"})
    assert answer.status_code == 409
    assert (await http.post(LIST, json={"search": "x", "status": "failed"})).status_code == 200


async def test_runs_of_retrievers_that_were_never_stored(context: Context) -> None:
    await define_namespace(context)
    await apply(context, RETRIEVER_EXECUTIONS, *(run(f"x{n}", n // 3, retriever_id=ADHOC) for n in range(10)))
    async with client(context) as http:
        whole = await page(http, ADHOC_LIST, {})
        assert whole["total"] == len(whole["results"]) == 10
        for limit in (1, 3, 10):
            assert await walked(http, ADHOC_LIST, {}, limit) == ids(whole)
        between = {"start_time": "2024-05-01T12:00:01Z", "end_time": "2024-05-01T12:00:03Z"}
        some = await page(http, ADHOC_LIST, between)
        assert some["total"] == len(some["results"]) == 6
        assert await walked(http, ADHOC_LIST, between, 4) == ids(some)
        assert (await page(http, ADHOC_LIST, {"count_only": True, "status": "failed"}))["total"] == 0


@pytest.mark.parametrize("values", ["WzFd", "W10", "WyJ4IiwgInkiXQ", "WyIyMDI0LTA1LTAxIiwgMSwgMl0", "!"])
async def test_a_cursor_of_another_list_is_refused(context: Context, values: str) -> None:
    await define_namespace(context)
    await define_retriever(context)
    async with client(context) as http:
        for path in (LIST, ADHOC_LIST):
            answer = await http.post(path, params={"cursor": values})
            assert answer.status_code == 400, answer.text
