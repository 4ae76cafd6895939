"""Questions that are asked with the claim: each once while the trigger is as it was listed, and never believed
when it is not."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from streams.runtime.agent import Context
from streams.trigger.conditions.due import check_due
from streams.trigger.conditions.reading import RowsAsked, RowsWanted
from streams.trigger.conditions.series import FactsAsked, FactsWanted
from streams.trigger.conditions.store import Conditional, conditional_triggers
from streams.trigger.conditions.unpacked import Unpacked
from tests.trigger.support import add_documents, at, create_trigger, rows, set_body

START = at("2024-06-03")
HOUR = timedelta(hours=1)
GROWING: dict[str, Any] = {
    "condition_type": "drift",
    "threshold": 9.0,
    "feature_uri": "mixpeek://model@v1/embedding",
    "check_interval_seconds": 3_600,
    "min_sample": 2,
}
SLIDING = {**GROWING, "window_seconds": 7_200}
VOLUME = {"condition_type": "volume", "threshold": 1_000, "check_interval_seconds": 3_600}
ONE, OTHER = np.array([1.0, 0.1]), np.array([0.1, 1.0])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions of checks."""
    found: list[str] = []
    facts, read = FactsWanted.ask, RowsWanted.ask

    async def ask_facts(self: FactsWanted, *given: Any) -> FactsAsked:
        found.append("facts")
        return await facts(self, *given)

    async def ask_rows(self: RowsWanted, *given: Any) -> RowsAsked:
        found.append("rows")
        return await read(self, *given)

    monkeypatch.setattr(FactsWanted, "ask", ask_facts)
    monkeypatch.setattr(RowsWanted, "ask", ask_rows)
    return found


async def listing(context: Context, trigger_id: str, now: datetime) -> Conditional:
    async with context.database.connection() as connection:
        found = {one.trigger.trigger_id: one for one in await conditional_triggers(connection, now)}
    return found[trigger_id]


async def check(context: Context, trigger_id: str, now: datetime, listed: Conditional | None = None) -> None:
    assert not await check_due(context.database, trigger_id, now, now, Unpacked(), listed)


async def measured(context: Context, trigger_id: str) -> list[tuple[Any, ...]]:
    return await rows(
        context,
        "SELECT nominal_at, measurement, fired FROM trigger_checks WHERE trigger_id = %s ORDER BY nominal_at",
        trigger_id,
    )


async def remembered(context: Context, trigger_id: str) -> list[tuple[Any, ...]]:
    return await rows(
        context,
        "SELECT check_count, last_condition_check_at, next_scheduled_at, baseline_sketch, window_since,"
        " window_until, window_documents, window_sketch FROM trigger_state WHERE trigger_id = %s",
        trigger_id,
    )


@pytest.mark.parametrize("config", [GROWING, SLIDING, VOLUME], ids=["growing", "sliding", "volume"])
async def test_each_question_is_asked_once_and_a_stale_listing_changes_nothing(
    context: Context, asked: list[str], config: Mapping[str, Any]
) -> None:
    """One trigger is checked as it was listed, one as it was listed hours before, one without a listing."""
    names = ("trig_fresh", "trig_stale", "trig_plain")
    for name in names:
        await create_trigger(context, name, "conditional", dict(config), now=START, next_scheduled_at=START)
    late: Conditional | None = None
    for hour in range(1, 9):
        now = START + hour * HOUR
        for partition in range(2):
            vector = ONE if hour < 5 else OTHER
            await add_documents(context, config, partition, [(now - HOUR / 2, vector)] * 3)
        if hour == 6:
            # Into a bucket that a window that grows has passed.
            await add_documents(context, config, 1, [(START + 4.5 * HOUR, OTHER)] * 2)
        if hour == 3:
            late = await listing(context, "trig_stale", now)
        asked.clear()
        await check(context, "trig_fresh", now, await listing(context, "trig_fresh", now))
        if hour not in (1, 2, 6):
            assert asked == ["facts", "rows"], hour
        await check(context, "trig_stale", now, late)
        await check(context, "trig_plain", now)
    one, *others = [await measured(context, name) for name in names]
    assert len(one) == 8
    assert others == [one, one]
    state, *others = [await remembered(context, name) for name in names]
    assert others == [state, state]


async def test_what_was_checked_or_redefined_since_the_listing_is_not_checked_as_listed(
    context: Context, asked: list[str]
) -> None:
    await create_trigger(context, "trig", "conditional", SLIDING, now=START, next_scheduled_at=START)
    for hour in range(6):
        await add_documents(context, SLIDING, 0, [(START + hour * HOUR, ONE)] * 3)
    await check(context, "trig", START + 2 * HOUR)
    now = START + 3 * HOUR
    listed = await listing(context, "trig", now)
    # Another station was faster.
    await check(context, "trig", now)
    made = await measured(context, "trig")
    await check(context, "trig", now, listed)
    assert await measured(context, "trig") == made
    # The window is shorter than it was when listed.
    now += HOUR
    listed = await listing(context, "trig", now)
    await set_body(context, "trig", {**SLIDING, "window_seconds": 3_600})
    asked.clear()
    await check(context, "trig", now, listed)
    assert asked == ["facts", "rows", "rows"]
    assert [row[1]["current_count"] for row in await measured(context, "trig")][-2:] == [6, 3]
    # It can work no longer; whoever listed it did not know.
    now += HOUR
    listed = await listing(context, "trig", now)
    await set_body(context, "trig", {**SLIDING, "metric": "no such metric"})
    await check(context, "trig", now, listed)
    assert await rows(context, "SELECT status FROM trigger_state") == [("failed",)]
