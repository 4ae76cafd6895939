"""How many alerts never fired: remembered, and never another number than that of those that are found."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from schemas.events.alert_result import encode_alert_result
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS
from streams.query.reads import executions
from streams.query.reads.progress import Silent, unfired
from streams.query.rebuilding import empty_view
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from streams.runtime.definitions import current_version
from tests.query.support import (
    NAMESPACE,
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


async def test_the_number_follows_whatever_decides_it(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alerts = [await define_alert(context, str(number)) for number in range(5)]
    silent = Silent()
    offsets = iter(range(1_000))

    async def told() -> int:
        async with context.database.transaction(snapshot=True) as connection:
            number = await silent.count(connection, NAMESPACE)
            assert number == len(await unfired(connection, NAMESPACE))
            assert await silent.count(connection, "ns_other") == 0
        return number

    async def attach(*numbers: int) -> None:
        await define_collection(context, *(f"alt_{number}" for number in numbers))

    async def check() -> None:
        async with context.database.connection() as connection:
            version = (await current_version(connection)).number
        await apply(context, MATCH_PROGRESS, progress(version, next_offset=next(offsets)).encode())

    async def fire(number: int) -> None:
        offset = next(offsets)
        record = result(offset, hit(alerts[number]), at=NOON + timedelta(seconds=offset))
        await apply(context, ALERT_RESULTS, encode_alert_result(record))

    steps: list[tuple[Callable[[], Awaitable[object]], int]] = [
        (lambda: attach(0, 1, 2), 0),
        (check, 3),
        (check, 3),
        (lambda: fire(1), 2),
        (lambda: fire(1), 2),
        (lambda: attach(0, 1, 2, 3), 0),
        (check, 3),
        (lambda: define_alert(context, "0"), 2),
        (check, 3),
        (lambda: delete(context, "alt_2"), 2),
        (lambda: empty_view(context.database), 0),
        (check, 3),
        (lambda: fire(3), 2),
    ]
    for number, (step, expected) in enumerate(steps):
        await step()
        assert await told() == expected, number


async def test_a_full_page_has_the_total_that_the_whole_list_has(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alerts = [await define_alert(context, str(number)) for number in range(6)]
    await define_collection(context, *(f"alt_{number}" for number in range(6)))
    async with context.database.connection() as connection:
        version = (await current_version(connection)).number
    await apply(context, MATCH_PROGRESS, progress(version).encode())
    fired = [result(n, hit(alerts[n % 2]), at=NOON + timedelta(seconds=n)) for n in range(7)]
    await apply(context, ALERT_RESULTS, *map(encode_alert_result, fired))
    async with client(context) as http:
        whole = (await http.get("/v1/alerts/executions")).json()
        assert whole["total_count"] == len(whole["results"]) == 7 + 4
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
            page = (await http.get("/v1/alerts/executions", params=query)).json()
            assert page["total_count"] == 11
            found += [one["execution_id"] for one in page["results"]]
            cursor = page["pagination"]["next_cursor"]
        assert found == [one["execution_id"] for one in whole["results"]]


async def test_a_page_read_before_does_not_decide_how_they_are_found(context: Context) -> None:
    async with context.database.transaction(snapshot=True) as connection:
        await executions.newest(connection, NAMESPACE, None, 10)
        assert await fetch_value(connection, "SHOW enable_hashjoin") == "off"
        assert await Silent().count(connection, NAMESPACE) == 0
        # Else each alert is held against each counter.
        assert await fetch_value(connection, "SHOW enable_hashjoin") == "on"
