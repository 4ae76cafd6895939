"""Days are dropped for good, counters stay exact, cursors end cleanly; a view made again is the same."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta

from schemas.topics import ALERT_RESULTS
from streams.query.partitions import stored_days
from streams.query.rebuilding import VIEW, empty_view
from streams.query.retention import drop_days
from streams.runtime.agent import Context
from tests.query.support import (
    NOON,
    VIEW_TABLES,
    apply,
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
    table,
    view,
)

DAY = timedelta(days=1)


async def test_dropped_days_stay_dropped_and_a_view_made_again_is_the_same(context: Context) -> None:
    first, second, gone = [await define_alert(context, name) for name in "abc"]
    records = [result(n, hit(first), hit(gone), at=NOON + n * DAY) for n in range(4)]
    said = result(11, hit(first), at=NOON + DAY, event_id="e")
    records += [result(10, hit(second), at=NOON), said]
    # The producer says it again on a day that is kept: it belongs to the first, which is dropped.
    again = replace(said, source_offset=12, appended_at=NOON + 3 * DAY)
    async with running(context):
        await publish(context, ALERT_RESULTS, keyed(*records))
        await drained(context)
        await delete(context, "alt_c")
        assert await drop_days(context.database, (NOON + 2 * DAY).date()) == [NOON.date(), (NOON + DAY).date()]
        assert await counts(context) == {"alt_a": 2, "alt_b": 0, "alt_c": 2}
        await publish(context, ALERT_RESULTS, keyed(again, records[0], records[3]))
        await drained(context)
        assert await counts(context) == {"alt_a": 2, "alt_b": 0, "alt_c": 2}
        before = await view(context)
        assert {row[0] for row in before["alert_executions"]} == {"2024-05-03", "2024-05-04"}

        await empty_view(context.database)
        # The station that runs notices by itself, though no record comes.
        await drained(context)
        after = await view(context)
        for name in before:
            assert after[name] == before[name], name
    assert set(VIEW) == set(VIEW_TABLES)


async def counts(context: Context) -> dict[str, int]:
    return {row[1]: int(row[2]) for row in await table(context, "alert_execution_counts")}


async def test_lists_go_on_over_days_that_are_dropped_meanwhile(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    values = [value for _, value in keyed(*(result(n, hit(alert), at=NOON + (n // 2) * DAY) for n in range(8)))]
    await apply(context, ALERT_RESULTS, *values)
    async with client(context) as http:
        page = (await http.get("/v1/alerts/executions?limit=3&include_total=true")).json()
        assert page["total_count"] == page["pagination"]["total"] == 8
        await drop_days(context.database, (NOON + 2 * DAY).date())
        page = (await http.get(f"/v1/alerts/executions?cursor={page['pagination']['next_cursor']}")).json()
        assert len(page["results"]) == 1
        assert page["total_count"] == 4
        assert page["pagination"]["next_cursor"] is None
        await drop_days(context.database, (NOON + 9 * DAY).date())
        assert (await http.get("/v1/alerts/executions")).json()["results"] == []
        # It has fired: nothing says that nothing matched.
        assert (await http.get("/v1/alerts/alt_a/results")).status_code == 404


async def test_dropping_and_writing_at_once_lose_no_count(context: Context) -> None:
    alert = await define_alert(context, "a")

    async def write(number: int) -> None:
        at = NOON + (number % 4) * DAY
        values = [value for _, value in keyed(*(result(100 * number + n, hit(alert), at=at) for n in range(5)))]
        await apply(context, ALERT_RESULTS, *values)

    async def drop(day: date) -> None:
        await drop_days(context.database, day)

    await asyncio.gather(
        *(write(number) for number in range(12)),
        drop((NOON + DAY).date()),
        drop((NOON + 2 * DAY).date()),
        *(write(number) for number in range(12, 20)),
    )
    assert await counts(context) == {"alt_a": len(await table(context, "alert_executions"))} == {"alt_a": 50}
    async with context.database.connection() as connection:
        assert min(await stored_days(connection)) == (NOON + 2 * DAY).date()
