"""Alerts over a window of time: when "5 in 10 minutes" or "none for an hour" begins to hold (contract 4.2). Pure.

The window slides: at every instant of a fine grid, the steps, it is what came in the ``window_seconds`` before. So
five matches within ten minutes are five wherever the grid's edges fall. The alert fires when its condition begins
to hold, once per episode; while it goes on to hold, the cooldown and the renotify interval say when it is told
again (``sweep.py``). "At least 3 in 60 s", a match at 10, 50, 65, 68 and 130 s, steps of one second:

=======  =================  ==============================================
at       in the window      what happens
=======  =================  ==============================================
51 s     10, 50             2 matches: nothing
66 s     10, 50, 65         3 matches: fires
69 s     10, 50, 65, 68     goes on to hold: told once
71 s     50, 65, 68         the same episode
111 s    65, 68             the episode is over
131 s    130                nothing
=======  =================  ==============================================

Where nothing can make the condition hold ("none for an hour", "less than 10"), the window must lie wholly after
the first document that was checked: nobody looked at what came before.

Only instants where something enters or leaves the window are looked at, so the work is that of the buckets, not of
the time between them. Instants are whole seconds since 1970-01-01T00:00Z. Sums are decimal: they do not depend on
the order in which partitions are added up.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any, Final, Literal

from schemas.times import TimeDomain, from_seconds, to_seconds
from streams.engines.rules import sweep
from streams.engines.rules.sliding import Sliding
from streams.engines.rules.sweep import SweepState
from streams.engines.rules.totals import EXACT, Totals

Function = Literal["count", "sum", "avg", "min", "max"]
FUNCTIONS: Final[tuple[Function, ...]] = ("count", "sum", "avg", "min", "max")
STEPS: Final = 600
"""A window has about so many steps, none under a second: what is at its edges counts or not to 1/600 of it."""
HOUR: Final = 3_600
MAX_SECONDS: Final = 30 * 86_400
REMINDERS: Final = 1_000
_LONGEST: Final = 100 * 366 * 86_400
_WORDS: Final = Context(prec=12)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What is computed over a window, and what it is compared with."""

    function: Function
    field: str | None
    """``None`` where documents are counted."""
    operator: str
    value: Decimal

    @property
    def words(self) -> str:
        """The figure for people: ``avg(score)``."""
        return f"{self.function}({self.field})" if self.field is not None else self.function

    def of(self, totals: Totals) -> Decimal | None:
        """The figure, an average rounded for people; ``None`` where there is nothing to compute it from."""
        if self.function == "count":
            return Decimal(totals.documents)
        if self.function == "sum":
            return totals.total
        if totals.values == 0:
            return None
        if self.function == "avg":
            return _WORDS.divide(totals.total, Decimal(totals.values))
        return totals.least if self.function == "min" else totals.greatest

    def holds(self, totals: Totals) -> bool:
        """Whether the comparison holds; never where there is nothing to compare."""
        compare = _COMPARISONS[self.operator]
        if self.function == "avg":
            # Without the rounding of a division.
            whole = EXACT.multiply(self.value, Decimal(totals.values))
            return totals.values > 0 and compare(totals.total, whole)
        figure = self.of(totals)
        return figure is not None and compare(figure, self.value)


@dataclass(frozen=True, slots=True)
class WindowRule:
    """When an alert with a window fires."""

    window_seconds: int
    time_domain: TimeDomain = "processing_time"
    trigger_on: Literal["results", "no_results"] = "results"
    min_count: int = 1
    figure: Figure | None = None
    cooldown_seconds: int = 0
    renotify_seconds: int | None = None

    @property
    def step_seconds(self) -> int:
        """Between two instants of the grid, and the width of a bucket: the widest that the window is a multiple
        of at least :data:`STEPS` times, or one second."""
        widest = max(1, self.window_seconds // STEPS)
        return next(step for step in range(widest, 0, -1) if self.window_seconds % step == 0)

    @property
    def silent(self) -> bool:
        """Whether the condition can hold because little came: then the whole window must have been looked at."""
        figure = self.figure
        if figure is None:
            return self.trigger_on == "no_results"
        return figure.operator in ("lt", "lte", "eq", "ne") or figure.holds(Totals())

    def weigh(self, totals: Totals) -> tuple[bool, str]:
        """Whether the condition holds of what is in a whole window, and the reason in words."""
        count = totals.documents
        words = f"{count or 'no'} match{'' if count == 1 else 'es'} in {self.window_seconds} s"
        if self.trigger_on == "no_results":
            return count == 0, words
        if self.min_count > 1 or count < self.min_count:
            words += f", at least {self.min_count} wanted"
        # With a figure there is always a result: an aggregate has a row even of no documents (contract section 6).
        holds = count >= self.min_count or (self.figure is not None and self.min_count == 1)
        if (figure := self.figure) is not None:
            seen = figure.of(totals)
            told = "nothing" if seen is None else f"{_WORDS.plus(seen).normalize(_WORDS):f}"
            words += f"; {figure.words} {told}, {figure.operator} {figure.value.normalize(_WORDS):f} wanted"
            holds = holds and figure.holds(totals)
        return holds, words


@dataclass(frozen=True, slots=True)
class Cell:
    """One bucket: what came in ``start <= t < start + step_seconds``, all partitions together."""

    start: int
    totals: Totals


@dataclass(frozen=True, slots=True)
class WindowState:
    """What is remembered of an alert between decisions."""

    through: int | None = None
    """The last instant that was decided."""
    holds: bool = False
    """The condition held there."""
    told: bool = False
    last_fired: int | None = None
    reminders: int = 0
    """Told again since the condition began to hold."""


@dataclass(frozen=True, slots=True)
class Fire:
    """An instant at which an alert fired."""

    at: int
    totals: Totals
    """What was in the window."""
    reason: str
    held: str | None
    """Why nobody is told; ``None`` when it is to be told."""


def decide(
    rule: WindowRule,
    state: WindowState,
    cells: Sequence[Cell],
    until: int,
    since: int | None = None,
    *,
    limit: int = 1_000,
) -> tuple[WindowState, list[Fire]]:
    """Decide every instant after ``state.through`` and not after ``until``.

    ``cells`` are in order of time and hold at least what can be in a window of these instants (from
    ``window_seconds`` before the first of them). ``since`` is the first document that was checked. How the
    instants are cut into calls changes nothing. After ``limit`` fires it stops there; ``through`` says how far it
    got.
    """
    step = rule.step_seconds
    last = until // step * step
    if state.through is not None and last <= state.through:
        return state, []
    fires: list[Fire] = []
    for moment, following, totals in _windows(rule, state.through, cells, last, since):
        holds, words = rule.weigh(totals)
        if rule.silent:
            holds = holds and since is not None and moment - rule.window_seconds >= since
        at: int | None = moment
        while at is not None:
            state, fire = _at(rule, state, at, holds, words, totals)
            if fire is not None:
                fires.append(fire)
                if len(fires) == limit:
                    return state, fires
            at = _again(rule, state, following) if holds else None
    return replace(state, through=last), fires


def next_moment(rule: WindowRule, state: WindowState, cells: Sequence[Cell], since: int | None) -> int | None:
    """When something changes after ``state.through`` if nothing more comes; ``None``: never."""
    step, window = rule.step_seconds, rule.window_seconds
    found = [cell.start + span + step for cell in cells for span in (0, window)]
    if rule.silent and since is not None:
        found.append(whole_window(rule, since))
    if state.holds and (due := sweep.next_due(_sweep(state), rule.cooldown_seconds, _renotify(rule, state))):
        found.append(-(-to_seconds(due) // step) * step)
    through = state.through
    return min((moment for moment in found if through is None or moment > through), default=None)


def whole_window(rule: WindowRule, since: int) -> int:
    """The first instant whose whole window is after ``since``."""
    return -(-(since + rule.window_seconds) // rule.step_seconds) * rule.step_seconds


def _windows(
    rule: WindowRule, through: int | None, cells: Sequence[Cell], last: int, since: int | None
) -> Iterator[tuple[int, int, Totals]]:
    """What is in the window from one instant at which that may change until the next."""
    step, window = rule.step_seconds, rule.window_seconds
    sliding = Sliding(Totals.plus, Totals())
    entered = left = 0
    for moment, following in pairwise((*_moments(rule, through, cells, last, since), last + step)):
        while entered < len(cells) and cells[entered].start + step <= moment:
            sliding.push(cells[entered].totals)
            entered += 1
        while left < entered and cells[left].start < moment - window:
            sliding.pop()
            left += 1
        yield moment, following, sliding.total()


def _moments(
    rule: WindowRule, through: int | None, cells: Sequence[Cell], last: int, since: int | None
) -> list[int]:
    """The instants at which the condition may change, in order: a bucket enters, a bucket leaves, the whole window
    has been looked at; and the first of all that are to be decided."""
    step, window = rule.step_seconds, rule.window_seconds
    found = {cell.start + step for cell in cells}
    found.update(cell.start + window + step for cell in cells)
    if rule.silent and since is not None:
        found.add(whole_window(rule, since))
    if through is not None:
        found.add(through + step)
    return sorted(moment for moment in found if moment <= last and (through is None or moment > through))


def _at(
    rule: WindowRule, state: WindowState, at: int, holds: bool, words: str, totals: Totals
) -> tuple[WindowState, Fire | None]:
    """Decide one instant."""
    told = sweep.decide(_sweep(state), holds, from_seconds(at), rule.cooldown_seconds, _renotify(rule, state))
    after = told.new_state
    fired_at = None if after.last_fired_at is None else to_seconds(after.last_fired_at)
    reminders = state.reminders + told.fire if holds and state.holds else 0
    now = WindowState(at, holds, after.told, fired_at, reminders)
    if not told.fire and (state.holds or not holds):
        return now, None
    return now, Fire(at, totals, f"{words}; {told.reason}", None if told.fire else told.reason)


def _again(rule: WindowRule, state: WindowState, following: int) -> int | None:
    """When a condition that goes on to hold is told next, if that is before ``following``."""
    due = sweep.next_due(_sweep(state), rule.cooldown_seconds, _renotify(rule, state))
    if due is None or state.through is None:
        return None
    step = rule.step_seconds
    at = max(-(-to_seconds(due) // step) * step, state.through + step)
    return at if at < following else None


def _renotify(rule: WindowRule, state: WindowState) -> int | None:
    """The interval of reminders: as it was asked for, twice as long after every :data:`REMINDERS` of an episode.
    One document of 1970 begins a silence of half a century, of which nobody wants to be told every minute."""
    if rule.renotify_seconds is None:
        return None
    return min(rule.renotify_seconds << min(state.reminders // REMINDERS, 40), _LONGEST)


def _sweep(state: WindowState) -> SweepState:
    return SweepState(None if state.last_fired is None else from_seconds(state.last_fired), state.told)
