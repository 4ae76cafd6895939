"""Intervals by width: those a value can lie in begin near it.

All lower bounds below a value and all upper bounds above it would each be half of everything; an interval of
width w around a value begins at most w before it. Intervals are kept by the magnitude of their width, sorted by
where they begin, so a look-up reads little more than it finds.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streams.engines.retrieval.filters.values import OrderKind, ordered
from streams.engines.retrieval.percolate.normal import Interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FEW: Final = 1_024
_EXACT: Final = 2**53
_SLACK: Final = 1e-12
_SHARE: Final = 8


class _Group:
    """Intervals with widths of about one magnitude."""

    __slots__ = ("highs", "lows", "numbers", "width")

    def __init__(self, lows: Floats, highs: Floats, numbers: Integers) -> None:
        order = np.argsort(lows)
        self.lows, self.highs, self.numbers = lows[order], highs[order], numbers[order]
        self.width = float(_widths(lows, highs).max())

    def find(self, least: float, greatest: float) -> list[int]:
        # A little further down than needed, for what rounding may hide.
        reach = self.width * (1 + _SLACK) + abs(least) * _SLACK
        start = int(self.lows.searchsorted(least - reach)) if reach < np.inf else 0
        stop = int(self.lows.searchsorted(greatest, "right"))
        found: list[int] = self.numbers[start:stop][self.highs[start:stop] >= least].tolist()
        return found


class IntervalIndex:
    """Intervals on a field → the requirements that hold for its values."""

    __slots__ = ("_grouped", "_groups", "_intervals", "_kind")

    def __init__(self, kind: OrderKind) -> None:
        self._kind: OrderKind = kind
        self._intervals: list[tuple[float, float, int]] = []
        self._groups: list[_Group] = []
        self._grouped = 0
        """How many of the intervals the groups hold; those added since are looked at one by one."""

    def add(self, interval: Interval, number: int) -> None:
        """Let the requirement ``number`` hold for values in an interval."""
        self._intervals.append((interval.low, interval.high, number))

    def find(self, values: Iterable[Any], found: list[int]) -> None:
        """Append the requirements that hold: some scalar is at least ``low`` and some is at most ``high``."""
        comparable = [value for item in values if (value := ordered(item, self._kind, False)) is not None]
        if not comparable:
            return
        least: Any = min(comparable)
        greatest: Any = max(comparable)
        if not (_exact(least) and _exact(greatest)):
            # Beyond what a float can tell apart: compare as Python does.
            found += _stabbed(self._intervals, least, greatest)
            return
        if len(self._intervals) - self._grouped > max(_FEW, self._grouped) // _SHARE:
            self._groups, self._grouped = _groups(self._intervals), len(self._intervals)
        for group in self._groups:
            found += group.find(float(least), float(greatest))
        found += _stabbed(self._intervals[self._grouped :], least, greatest)


def _stabbed(intervals: list[tuple[float, float, int]], least: Any, greatest: Any) -> list[int]:
    return [number for low, high, number in intervals if greatest >= low and least <= high]


def _exact(value: Any) -> bool:
    return isinstance(value, float) or abs(value) <= _EXACT


def _groups(intervals: list[tuple[float, float, int]]) -> list[_Group]:
    lows, highs = (np.array([interval[side] for interval in intervals]) for side in (0, 1))
    numbers = np.array([interval[2] for interval in intervals], dtype=np.int64)
    if len(intervals) <= _FEW:
        return [_Group(lows, highs, numbers)]
    magnitudes = np.frexp(_widths(lows, highs))[1] // 2
    chosen = [magnitudes == magnitude for magnitude in np.unique(magnitudes)]
    return [_Group(lows[mask], highs[mask], numbers[mask]) for mask in chosen]


def _widths(lows: Floats, highs: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return highs - lows
