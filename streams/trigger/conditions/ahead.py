"""What a check has to ask, and to ask it ahead: with the claim, for the trigger as it was listed.

A check asks three times: for its trigger, for facts of the series, and for rows of sketches; what it asks depends
on the answers before. But between the listing and the claim a trigger hardly ever changes, so all three questions
are sent at once. When the trigger turns out to be another than was listed, they are asked anew: what was asked
ahead only saves round trips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from streams.engines.rules import grid
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.rollup import Span, cover, union
from streams.runtime.database import Connection
from streams.trigger.conditions.checks import Memory, reads
from streams.trigger.conditions.reading import RowsAsked, RowsWanted
from streams.trigger.conditions.series import FactsAsked, FactsWanted, Series
from streams.trigger.conditions.store import Conditional
from streams.trigger.conditions.unpacked import Unpacked
from streams.trigger.conditions.windows import Held, window_start

CHECKS: Final = 100
"""Most checks in one transaction: bounds how long a trigger's row stays locked."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was asked with the claim."""

    facts: FactsAsked | None = None
    rows: RowsAsked | None = None


async def ask_ahead(connection: Connection, listed: Conditional, until: datetime, unpacked: Unpacked) -> Ahead:
    """Send what a check of ``listed`` at ``until`` has to know, as far as that can be told."""
    try:
        condition = Condition.parse(listed.trigger.schedule_config)
    except ScheduleError:
        # The check says so, if the definition is still this one.
        return Ahead()
    series = Series.of(listed.trigger.collections, condition)
    wanted = facts_wanted(listed, condition, series)
    facts = await wanted.ask(connection)
    if wanted.first:
        return Ahead(facts)
    memory = Memory(listed.state, listed.baseline, still_growing(listed, condition), None)
    _, moments = nominal_times(listed, condition, memory, until)
    if not moments:
        return Ahead(facts)
    rows = rows_wanted(listed, condition, series, memory, moments)
    return Ahead(facts, await rows.ask(connection, unpacked))


def still_growing(trigger: Conditional, condition: Condition) -> Held | None:
    """The window that grows, if it begins where it does now."""
    held = trigger.held
    if held is None or condition.window_seconds is not None:
        return None
    return held if held.window.since == window_start(condition, trigger.state.baseline_at, held.until) else None


def facts_wanted(trigger: Conditional, condition: Condition, series: Series) -> FactsWanted:
    """What is to be known before it can be told which rows are read."""
    held = still_growing(trigger, condition)
    spans = [] if held is None else cover(held.window.since, held.until, condition.bucket_seconds)
    return FactsWanted(series, spans, trigger.last_check_at is None or trigger.baseline is None)


def rows_wanted(
    trigger: Conditional, condition: Condition, series: Series, memory: Memory, moments: Sequence[datetime]
) -> RowsWanted:
    """The rows that the checks at ``moments`` look at."""
    spans: list[Span] = union(reads(condition, memory, seen_until(trigger, condition), moments))
    sliding = condition.window_seconds is not None
    drift = condition.condition_type == "drift"
    return RowsWanted(series, spans, drift, trigger.trigger.trigger_id if sliding else None)


def seen_until(trigger: Conditional, condition: Condition) -> datetime | None:
    """Since when it matters whether anything came. On processing time every check is recorded: there is one at a
    time."""
    return trigger.last_check_at if condition.time_domain == "event_time" else None


def nominal_times(
    trigger: Conditional, condition: Condition, memory: Memory, until: datetime
) -> tuple[datetime | None, list[datetime]]:
    """The nominal time up to which nothing is left to check, and those to check at ``until``."""
    if condition.time_domain == "event_time":
        return _event_times(trigger, condition, memory, until)
    return trigger.last_check_at, _processing_times(trigger, condition, memory, until)


def _processing_times(
    trigger: Conditional, condition: Condition, memory: Memory, until: datetime
) -> list[datetime]:
    latest = grid.at_or_before(until, condition.check_interval_seconds)
    due = trigger.trigger.next_scheduled_at
    if due is None or due > latest:
        return []
    if trigger.last_check_at is not None and trigger.last_check_at >= latest:
        return []
    waits = _waits_until(condition, memory)
    return [] if waits is not None and latest < waits else [latest]


def _event_times(
    trigger: Conditional, condition: Condition, memory: Memory, until: datetime
) -> tuple[datetime | None, list[datetime]]:
    interval = condition.check_interval_seconds
    last = trigger.last_check_at
    begin = memory.first if last is None else last
    if begin is None or begin >= until:
        return last, []
    waits = _waits_until(condition, memory)
    if waits is not None and waits > begin:
        last = begin = min(grid.before(waits, interval), grid.at_or_before(until, interval))
    return last, list(islice(grid.due(begin, until, interval), CHECKS))


def _waits_until(condition: Condition, memory: Memory) -> datetime | None:
    """Before this instant there is nothing to check: the period of the baseline has not ended."""
    if memory.baseline is not None or condition.condition_type == "volume":
        return None
    return condition.baseline.end(memory.first)
