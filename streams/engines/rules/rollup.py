"""Roll-ups: which rows of sketches make up a span of time. Pure.

Every series is kept at its base width and at each wider one, so a span of any length is a few rows of the widest
kind and, at its edges, a few of the narrower ones: at most some 200 for a year that is cut at minutes.

For example the year before 2 March 2024 00:02, cut at minutes:

========  ====  ==========================================
width     rows  from, to
========  ====  ==========================================
minute    58    2 March 2023 00:02, 01:00
hour      23    01:00, 3 March
day       21    3 March, 24 March
30 days   11    24 March 2023, 17 February 2024
day       14    17 February, 2 March
minute     2    2 March 2024 00:00, 00:02
========  ====  ==========================================

Times are whole seconds since 1970, so that no sum leaves the calendar.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.times import to_seconds

WIDTHS: Final = (1, 60, 3_600, 86_400, 2_592_000)
"""Second, minute, hour, day, 30 days: each divides the next."""


class Span(NamedTuple):
    """Buckets of one width with ``start <= bucket start < end``; ``None``: from the beginning of everything."""

    width: int
    start: int | None
    end: int


def widths(base: int) -> tuple[int, ...]:
    """The widths a series of this base is kept at, the narrowest first."""
    return tuple(width for width in WIDTHS if width >= base)


def cover(since: datetime | None, until: datetime, base: int) -> list[Span]:
    """The fewest buckets that make up ``since`` to ``until``, in order of time. Both are cut down to the grid of
    ``base``; empty when nothing is between."""
    low = None if since is None else to_seconds(since) // base * base
    high = to_seconds(until) // base * base
    if low is not None and low >= high:
        return []
    before: list[Span] = []
    after: list[Span] = []
    kinds = widths(base)
    for width, wider in pairwise(kinds):
        inner_low = None if low is None else -(-low // wider) * wider
        inner_high = high // wider * wider
        if inner_low is not None and inner_low >= inner_high:
            return [*before, Span(width, low, high), *reversed(after)]
        if low is not None and inner_low is not None and low < inner_low:
            before.append(Span(width, low, inner_low))
        if inner_high < high:
            after.append(Span(width, inner_high, high))
        low, high = inner_low, inner_high
    return [*before, Span(kinds[-1], low, high), *reversed(after)]


def union(spans: Iterable[Span]) -> list[Span]:
    """The same buckets, each once: spans of a width that touch or overlap become one."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.width, span.start is not None, span.start or 0)):
        last = merged[-1] if merged else None
        if last is not None and last.width == span.width and (span.start is None or span.start <= last.end):
            merged[-1] = last._replace(end=max(last.end, span.end))
        else:
            merged.append(span)
    return merged
