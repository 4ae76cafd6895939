"""Windows against a plain recomputation of every instant over the whole list of events."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import from_seconds, to_seconds
from streams.engines.rules import sweep
from streams.engines.rules.sweep import SweepState
from streams.engines.rules.totals import Reference, Totals, totals_of
from streams.engines.rules.window import (
    FUNCTIONS,
    STEPS,
    Cell,
    Figure,
    Fire,
    WindowRule,
    WindowState,
    decide,
)

START = 1_400_000_000
OPERATORS = {name: getattr(operator, "ge" if name == "gte" else "le" if name == "lte" else name) for name in (
    "gt", "gte", "lt", "lte", "eq", "ne")}  # fmt: skip


@dataclass(frozen=True)
class Event:
    at: int
    number: float | int | None = None


def cells_of(rule: WindowRule, events: Sequence[Event]) -> list[Cell]:
    found: dict[int, Totals] = {}
    for event in events:
        start = event.at // rule.step_seconds * rule.step_seconds
        numbers = () if event.number is None else (event.number,)
        one = totals_of(Reference(event.at, f"d{event.at}", 1.0), 1, numbers, ())
        found[start] = found.get(start, Totals()).plus(one)
    return [Cell(start, totals) for start, totals in sorted(found.items())]


def plain(rule: WindowRule, events: Sequence[Event], until: int, since: int | None) -> list[tuple[int, bool]]:
    """When the rule fires and whether it is told, by looking at every instant of the grid."""
    step = rule.step_seconds
    state, held = SweepState(), False
    fires: list[tuple[int, bool]] = []
    for at in range((START // step - 60) * step, until + 1, step):
        inside = [event for event in events if at - rule.window_seconds <= event.at // step * step < at]
        holds = _holds(rule, inside)
        little = rule.figure is not None and rule.figure.operator in ("lt", "lte", "eq", "ne")
        if rule.trigger_on == "no_results" or little or _holds(replace(rule, min_count=1), ()):
            holds = holds and since is not None and since <= at - rule.window_seconds
        told = sweep.decide(state, holds, from_seconds(at), rule.cooldown_seconds, rule.renotify_seconds)
        if told.fire or (holds and not held):
            fires.append((at, told.fire))
        state, held = told.new_state, holds
    return fires


def _holds(rule: WindowRule, inside: Sequence[Event]) -> bool:
    if rule.trigger_on == "no_results":
        return not inside
    figure = rule.figure
    if figure is None:
        return len(inside) >= rule.min_count
    if rule.min_count > 1 and len(inside) < rule.min_count:
        return False
    numbers = [Fraction(str(event.number)) for event in inside if event.number is not None]
    seen: Fraction | None
    if figure.function == "count":
        seen = Fraction(len(inside))
    elif figure.function == "sum":
        seen = sum(numbers, Fraction(0))
    elif not numbers:
        return False
    else:
        seen = Fraction(
            sum(numbers, Fraction(0)) / len(numbers)
            if figure.function == "avg"
            else {"min": min, "max": max}[figure.function](numbers)
        )
    return bool(OPERATORS[figure.operator](seen, Fraction(figure.value)))


figures = st.builds(
    Figure,
    function=st.sampled_from(FUNCTIONS),
    field=st.just("amount"),
    operator=st.sampled_from(sorted(OPERATORS)),
    value=st.sampled_from([Decimal(text) for text in ("-1", "0", "0.3", "0.5", "1", "2", "3")]),
)
rules = st.builds(
    WindowRule,
    window_seconds=st.sampled_from([1, 7, 30, 1_200, 1_201]),
    trigger_on=st.just("results"),
    min_count=st.integers(1, 4),
    figure=st.none() | figures,
    cooldown_seconds=st.sampled_from([0, 5, 100]),
    renotify_seconds=st.none() | st.sampled_from([3, 60]),
) | st.builds(
    WindowRule,
    window_seconds=st.sampled_from([1, 7, 30, 1_200]),
    trigger_on=st.just("no_results"),
    cooldown_seconds=st.sampled_from([0, 50]),
    renotify_seconds=st.none() | st.sampled_from([3, 60]),
)
events_lists = st.lists(
    st.builds(
        Event,
        at=st.integers(START, START + 200),
        number=st.none() | st.sampled_from([0.1, 0.2, 1, -2, 2.5]),
    ),
    max_size=12,
)


@given(
    rules,
    events_lists,
    st.none() | st.integers(START - 10, START + 60),
    st.lists(st.integers(0, 1_700), max_size=4),
)
def test_any_cut_gives_what_looking_at_every_instant_gives(
    rule: WindowRule, events: list[Event], since: int | None, cuts: list[int]
) -> None:
    until = START + 1_700
    cells = cells_of(rule, events)
    state = WindowState()
    fires: list[Fire] = []
    for cut in [*sorted(cuts), 1_700]:
        # Of what came, only what can matter is given, as the station does it.
        first = None if state.through is None else state.through - rule.window_seconds
        wanted = [cell for cell in cells if first is None or cell.start >= first]
        state, more = decide(rule, state, wanted, START + cut, since)
        fires += more
    assert [(fire.at, fire.held is None) for fire in fires] == plain(rule, events, until, since)
    assert state.through == until // rule.step_seconds * rule.step_seconds
    for fire in fires:
        inside = [
            e
            for e in events
            if fire.at - rule.window_seconds <= e.at // rule.step_seconds * rule.step_seconds < fire.at
        ]
        assert fire.totals.documents == len(inside)


@given(rules, events_lists, st.integers(1, 3))
def test_a_limit_of_fires_only_cuts(rule: WindowRule, events: list[Event], limit: int) -> None:
    until = START + 400
    cells = cells_of(rule, events)
    _, whole = decide(rule, WindowState(), cells, until, START)
    state, parts = WindowState(), list[Fire]()
    while state.through is None or state.through < until // rule.step_seconds * rule.step_seconds:
        state, more = decide(rule, state, cells, until, START, limit=limit)
        assert len(more) <= limit
        parts += more
    assert parts == whole


@given(events_lists, st.integers(1, 5))
def test_totals_do_not_depend_on_the_partitions(events: list[Event], partitions: int) -> None:
    parts = [Totals()] * partitions
    whole = Totals()
    for index, event in enumerate(events):
        numbers = () if event.number is None else (event.number,)
        one = totals_of(Reference(event.at, f"d{index}", 0.5), 1, numbers, ("a",) * (index % 3))
        whole = whole.plus(one)
        parts[index % partitions] = parts[index % partitions].plus(one)
    merged = Totals()
    for part in reversed(parts):
        merged = merged.plus(part)
    assert merged == whole


def test_five_in_ten_minutes_wherever_they_fall() -> None:
    """Five matches within ten minutes less a second, across the edge of any tumbling window, fire once."""
    rule = WindowRule(window_seconds=600, min_count=5)
    for shift in range(0, 601, 37):
        events = [Event(START + shift + offset) for offset in (0, 100, 200, 300, 598)]
        _, fires = decide(rule, WindowState(), cells_of(rule, events), START + 5_000)
        assert [fire.at for fire in fires] == [START + shift + 599]
        assert fires[0].reason.startswith("5 matches in 600 s, at least 5 wanted; the condition began to hold")
        assert [one.document_id for one in fires[0].totals.newest][:1] == [f"d{START + shift + 598}"]


def test_none_for_an_hour_fires_once_and_again_after_a_match() -> None:
    rule = WindowRule(window_seconds=3_600, trigger_on="no_results")
    events = [Event(START), Event(START + 20_000)]
    state, fires = decide(rule, WindowState(), cells_of(rule, events), START + 40_000, START)
    assert len(fires) == 2
    for fire, event in zip(fires, events, strict=True):
        assert event.at + 3_600 < fire.at <= event.at + 3_600 + 2 * rule.step_seconds
        assert fire.reason.startswith("no matches in 3600 s")
    assert state.holds


@pytest.mark.parametrize(("function", "value"), [("count", "0"), ("count", "-1"), ("sum", "-3"), ("sum", "0")])
def test_what_holds_of_nothing_waits_for_a_whole_window(function: Any, value: str) -> None:
    """Else it would fire wherever the clock happened to stand before the first document."""
    rule = WindowRule(5, figure=Figure(function, "amount", "gte", Decimal(value)))
    cells = cells_of(rule, [Event(START + 20, 1)])
    for first in (START, START + 3, START + 18, START + 30):
        state, fires = decide(rule, WindowState(), cells, first, START + 20)
        _, more = decide(rule, state, cells, START + 60, START + 20)
        assert [fire.at for fire in (*fires, *more)] == [START + 25]


def test_the_reminders_of_half_a_century_are_few() -> None:
    rule = WindowRule(window_seconds=60, trigger_on="no_results", renotify_seconds=60)
    state, told = WindowState(), list[Fire]()
    while state.through is None or state.through < START - rule.step_seconds:
        state, more = decide(rule, state, (), START, 0, limit=500)
        told += more
    assert 10_000 < len(told) < 20_000
    assert {later.at - earlier.at for earlier, later in pairwise(told[:1_000])} == {60}
    # After a match it is as at the beginning.
    _, again = decide(rule, state, cells_of(rule, [Event(START + 5)]), START + 200, 0)
    assert [fire.at for fire in again][-3:] == [START + 66, START + 126, START + 186]


def test_the_table_of_the_module() -> None:
    rule = WindowRule(window_seconds=60, min_count=3)
    events = [Event(at) for at in (10, 50, 65, 68, 130)]
    _, fires = decide(rule, WindowState(), cells_of(rule, events), 1_000)
    assert [fire.at for fire in fires] == [66]


@pytest.mark.parametrize(
    ("window", "step"), [(1, 1), (60, 1), (600, 1), (601, 1), (3_600, 6), (86_400, 144), (2_592_000, 4_320)]
)
def test_steps_divide_the_window(window: int, step: int) -> None:
    assert WindowRule(window).step_seconds == step
    assert window % step == 0
    assert step == 1 or window // step >= STEPS


def test_sums_are_of_the_numbers_as_they_were_written() -> None:
    rule = WindowRule(60, figure=Figure("sum", "x", "eq", Decimal("0.3")))
    events = [Event(START, 0.1), Event(START + 1, 0.2)]
    _, fires = decide(rule, WindowState(), cells_of(rule, events), START + 200, START - 60)
    assert [fire.reason.split("; ")[1] for fire in fires] == ["sum(x) 0.3, eq 0.3 wanted"]


def test_instants_round_down() -> None:
    assert to_seconds(from_seconds(START)) == START
    assert to_seconds(from_seconds(-5)) == -5
