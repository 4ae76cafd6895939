"""Executions as they come: in the log's order, from any place in it, once each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.alert_result import AlertResultRecord
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS
from streams.http_app import HttpServer, build_http
from streams.query.following import Brought, Stand, Stands, parse_event_id
from streams.query.reads.brought import following
from streams.query.routes import stream as streaming
from streams.runtime.agent import Context
from streams.runtime.database import Connection, fetch_value
from streams.runtime.definitions import delete_definition
from tests.query.support import (
    KEY,
    NAMESPACE,
    NOON,
    client,
    define_alert,
    define_namespace,
    delete,
    drained,
    hit,
    keyed,
    publish,
    result,
    running,
)
from tests.support import eventually

PLACES = st.builds(Brought, st.integers(0, 2), st.integers(0, 2_500), st.integers(0, 3))


@given(st.sets(PLACES, max_size=40), st.integers(1, 5), st.lists(st.integers(0, 2_500), max_size=3))
def test_a_walk_finds_everything_once_whatever_a_page_holds_and_however_the_view_grows(
    places: set[Brought], size: int, growth: list[int]
) -> None:
    found: list[Brought] = []
    stands = Stands()
    for end in [*sorted(growth), 2_501]:
        held = dict.fromkeys(range(3), end)
        while ahead := stands.ahead(held):
            page = sorted(
                item
                for item in places
                if item.partition in ahead
                and ahead[item.partition][0] < Stand(item.offset, item.number)
                and item.offset < ahead[item.partition][1]
            )[:size]
            for item in page:
                # A client that goes away here comes again with this id.
                stands = parse_event_id(stands.behind(item).event_id())
            found += page
            stands = parse_event_id(stands.after(ahead, page[-1] if len(page) == size else None).event_id())
    assert sorted(found) == sorted(places)
    for partition in range(3):
        mine = [item for item in found if item.partition == partition]
        assert mine == sorted(mine)


@pytest.mark.parametrize(
    "text", ["x", "1", "1:", "1:2:3:4", "-1:2", "1:٣", "1:2,", ",1:2", f"{1 << 31}:0", "1:" + "9" * 30]
)
def test_an_id_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"partition"):
        parse_event_id(text)


def test_of_two_places_in_a_partition_the_one_further_back_counts() -> None:
    assert parse_event_id("1:5:2,0:1,1:5").partitions == {0: Stand(1), 1: Stand(5)}


async def test_executions_come_in_the_order_of_the_log_and_repeats_bring_only_what_is_new(
    context: Context,
) -> None:
    await define_namespace(context)
    alerts = [await define_alert(context, name) for name in "abc"]
    first, second, third = alerts
    said = result(3, hit(first), event_id="e", at=NOON - timedelta(days=1))
    records = [
        result(1, hit(second), hit(first)),
        # An older document that comes later, on another day.
        result(2, hit(third), at=NOON - timedelta(days=2)),
        said,
        result(1, hit(second), hit(first)),
        replace(said, source_offset=9, appended_at=NOON, hits=[hit(first), hit(second)]),
        result(1, hit(third), hit(second)),
    ]
    async with running(context):
        await publish(context, ALERT_RESULTS, keyed(*records[:3]))
        await drained(context)
        await publish(context, ALERT_RESULTS, keyed(*records[3:]))
        await drained(context)
    everything = await walk(context, 100)
    assert sorted(everything) == sorted(expected(records))
    assert await walk(context, 1) == everything
    assert [pair for pair in everything if pair[1] == "alt_b"] == await walk(context, 2, [second.record.number])
    await delete(context, "alt_b")
    assert await walk(context, 2) == [pair for pair in everything if pair[1] != "alt_b"]


def expected(records: Sequence[AlertResultRecord]) -> set[tuple[str, str]]:
    return {(execution_id(one.base, hit.alert_number), hit.alert_id) for one in records for hit in one.hits}


async def walk(context: Context, size: int, alerts: list[int] | None = None) -> list[tuple[str, str]]:
    stands = Stands()
    found: list[tuple[str, str]] = []
    async with context.database.transaction(snapshot=True) as connection:
        behind = True
        while behind:
            topic = context.broker.topic(ALERT_RESULTS)
            page, stands, behind = await following(connection, topic, NAMESPACE, alerts, stands, size)
            found += [(execution_id(one.base, one.number), one.alert_id) for _, one, _ in page]
    return found


@asynccontextmanager
async def service(context: Context) -> AsyncIterator[str]:
    """The whole service on a port of its own."""
    server = HttpServer(context, build_http(context))
    task = asyncio.create_task(server.run())
    try:
        yield f"http://127.0.0.1:{await eventually(lambda: _port(server), what='the server')}"
    finally:
        server.stop()
        await asyncio.wait_for(task, 10)


async def _port(server: HttpServer) -> int | None:
    return server.port


@asynccontextmanager
async def listening(
    url: str, last: str | None = None, **query: str
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    headers = {"Authorization": f"Bearer {KEY}", "X-Namespace": NAMESPACE, "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as http,
        http.stream("GET", "/v1/alerts/executions/stream", params=query) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def events(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        else:
            yield event
            event = {}


async def test_a_stream_goes_on_in_another_process_behind_the_last_event(context: Context) -> None:
    await define_namespace(context)
    alerts = [await define_alert(context, name) for name in "abc"]
    async with client(context), running(context), service(context) as one, service(context) as other:
        await publish(context, ALERT_RESULTS, keyed(result(0, hit(alerts[0]))))
        await drained(context)
        async with listening(one) as stream, listening(one, alert_id="b") as only:
            begun = await anext(stream)
            assert set(begun) == {"retry", "id"}
            await anext(only)
            await publish(context, ALERT_RESULTS, keyed(*(result(n, *map(hit, alerts)) for n in range(1, 4))))
            seen = [await anext(stream) for _ in range(4)]
            assert {orjson.loads((await anext(only))["data"])["alert_id"] for _ in range(3)} == {"alt_b"}
        # It broke off inside a record.
        async with listening(other, seen[-1]["id"]) as stream:
            await anext(stream)
            seen += [await anext(stream) for _ in range(5)]
        async with listening(other, begun["id"]) as stream:
            await anext(stream)
            assert [event["data"] for event in seen] == [(await anext(stream))["data"] for _ in range(9)]
        async with listening(other, begun["id"], timeout_seconds="0") as stream:
            await anext(stream)
            assert [event["data"] for event in seen] == [event["data"] async for event in stream]
        ids = [orjson.loads(event["data"])["execution_id"] for event in seen]
        assert len(set(ids)) == 9
        assert {event["event"] for event in seen} == {"execution"}


async def test_streams_end_with_the_server_and_bad_requests_are_refused(context: Context) -> None:
    await define_namespace(context)
    headers = {"Authorization": f"Bearer {KEY}", "X-Namespace": NAMESPACE}
    path = "/v1/alerts/executions/stream"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client(context))
        async with service(context) as url, httpx.AsyncClient(base_url=url, headers=headers) as http:
            assert (await http.get(path, headers={"Last-Event-ID": "1:x"})).status_code == 400
            assert (await http.get(path, params={"alert_id": "no"})).status_code == 404
            assert (await http.get(path, params={"timeout_seconds": "-1"})).status_code == 422
            async with listening(url, timeout_seconds="0") as polled:
                assert [list(event) for event in [event async for event in polled]] == [["retry", "id"]]
            stream = await stack.enter_async_context(listening(url))
            await anext(stream)
        # The server has stopped: what it was sending ended as a whole answer does.
        assert [event async for event in stream] == []


async def test_a_page_costs_its_rows_also_where_the_first_was_read_from_an_empty_view(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    async with running(context):
        await publish(context, ALERT_RESULTS, keyed(result(0, hit(alert))))
        await drained(context)
        async with context.database.connection() as connection:
            # Often enough for a plan that is kept.
            for _ in range(12):
                assert await touched(context, connection, 10) < 100
            await publish(context, ALERT_RESULTS, keyed(*(result(n, hit(alert)) for n in range(1, 2_000))))
            await drained(context)
            assert await touched(context, connection, 10) < 10_000


async def touched(context: Context, connection: Connection, size: int) -> int:
    """How many rows of the view one page from the beginning takes to be read."""
    async with connection.transaction():
        topic = context.broker.topic(ALERT_RESULTS)
        assert (await following(connection, topic, NAMESPACE, None, Stands(), size)).page
        rows = await fetch_value(
            connection,
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables"
            " WHERE relname LIKE 'result_documents%' OR relname LIKE 'alert_executions%'",
        )
        assert isinstance(rows, int)
        return rows


async def test_a_stream_ends_with_its_namespace(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.1)
    await define_namespace(context)
    async with client(context), service(context) as url, listening(url) as found:
        await anext(found)
        async with context.database.transaction() as connection:
            await delete_definition(connection, "namespace", "", NAMESPACE)
        async with asyncio.timeout(20):
            assert all("data" not in event for event in [event async for event in found])
