"""The functions of ``aggregate``: figures over the values of a field (contract section 6).

A list counts as its elements, except where values are handed out (``first``, ``last``, ``collect``). Nulls and
missing fields count for nothing. A figure of nothing is null, a count or sum of nothing is 0.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from streams.engines.retrieval.filters.values import scalars
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import by_score, identity, number, order, plain, values


class Asked(Protocol):
    """What a function is asked."""

    @property
    def field(self) -> str | None:
        """The field."""
        ...

    @property
    def field_b(self) -> str | None:
        """The second field of two."""
        ...

    @property
    def percentile_value(self) -> float:
        """In [0, 100]."""
        ...

    @property
    def top_k(self) -> int:
        """How many of the most frequent."""
        ...


def _found(row: Row, path: str | None) -> list[Any]:
    return [] if path is None else [item for item in values(row, path) if item is not None]


def _elements(row: Row, path: str | None) -> list[Any]:
    return [item for item in scalars(_found(row, path)) if item is not None]


def _all(rows: Iterable[Row], path: str | None) -> list[Any]:
    return [item for row in rows for item in _elements(row, path)]


def _numbers(rows: Iterable[Row], path: str | None) -> list[float]:
    return [found for item in _all(rows, path) if (found := number(item)) is not None]


def count(rows: Sequence[Row], asked: Asked) -> int:
    """Documents; with a field those that have it."""
    return len(rows) if asked.field is None else sum(1 for row in rows if _found(row, asked.field))


def count_distinct(rows: Sequence[Row], asked: Asked) -> int:
    """Different values."""
    return len({identity(item) for item in _all(rows, asked.field)})


def total(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """Sum; of whole numbers a whole number."""
    found = [item for item in _all(rows, asked.field) if number(item) is not None]
    if all(type(item) is int for item in found):
        return plain(sum(found))
    return _finite(lambda: math.fsum(found))


def average(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """Arithmetic mean."""
    found = _numbers(rows, asked.field)
    return _finite(lambda: math.fsum(found) / len(found)) if found else None


def least(rows: Sequence[Row], asked: Asked) -> Any:
    """The least number; without numbers the first of the values in the order of ``sort_attribute``."""
    return _end(rows, asked, min)


def greatest(rows: Sequence[Row], asked: Asked) -> Any:
    """The greatest number; without numbers the last of the values in the order of ``sort_attribute``."""
    return _end(rows, asked, max)


def _end(rows: Sequence[Row], asked: Asked, choose: Callable[..., Any]) -> Any:
    found = _all(rows, asked.field)
    numbers = [item for item in found if number(item) is not None]
    if numbers:
        return plain(choose(numbers))
    ordered = [item for item in found if (key := order(item)) is not None and key[0] != 4]
    return choose(ordered, key=order) if ordered else None


def first(rows: Sequence[Row], asked: Asked) -> Any:
    """The value of the document with the best score that has one (of equal scores the first)."""
    return next((item for row in by_score(rows) for item in _found(row, asked.field)), None)


def last(rows: Sequence[Row], asked: Asked) -> Any:
    """The value of the document with the least score, or without, that has one (of equal scores the last)."""
    return next((found[-1] for row in reversed(by_score(rows)) if (found := _found(row, asked.field))), None)


def collect(rows: Sequence[Row], asked: Asked) -> list[Any]:
    """Every value, in the order of the documents."""
    return [item for row in rows for item in _found(row, asked.field)]


def collect_distinct(rows: Sequence[Row], asked: Asked) -> list[Any]:
    """Different values, in the order they first appear."""
    return _distinct(_all(rows, asked.field))


def percentile(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """The value below which that many percent lie, interpolated linearly between the two nearest (Hyndman and
    Fan 1996, "Sample quantiles", type 7)."""
    found = sorted(_numbers(rows, asked.field))
    if not found:
        return None
    at = (len(found) - 1) * asked.percentile_value / 100
    low = math.floor(at)
    high = min(low + 1, len(found) - 1)
    return _finite(lambda: found[low] * (1 - (at - low)) + found[high] * (at - low))


def variance(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """Sample variance (n - 1); 0 of a single value."""
    return _finite(lambda: _variance(_numbers(rows, asked.field)))


def stddev(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """Sample standard deviation (n - 1); 0 of a single value."""
    found = variance(rows, asked)
    return None if found is None else math.sqrt(found)


def _variance(found: Sequence[float]) -> float | None:
    if len(found) < 2:
        return 0.0 if found else None
    mean = math.fsum(found) / len(found)
    return math.fsum((item - mean) ** 2 for item in found) / (len(found) - 1)


def frequency(rows: Sequence[Row], asked: Asked) -> list[dict[str, Any]]:
    """The most frequent values, ``{value, count}``, equally frequent ones as they first appear."""
    return [{"value": item, "count": n} for item, n in _top(_all(rows, asked.field), asked.top_k)]


def co_occurrence(rows: Sequence[Row], asked: Asked) -> list[dict[str, Any]]:
    """The most frequent pairs of a value of each field in one document, ``{value_a, value_b, count}``; a pair
    counts once per document."""
    pairs: list[Any] = []
    for row in rows:
        right = _distinct(_elements(row, asked.field_b))
        pairs += [[a, b] for a in _distinct(_elements(row, asked.field)) for b in right]
    return [{"value_a": a, "value_b": b, "count": n} for (a, b), n in _top(pairs, asked.top_k)]


def _distinct(found: Iterable[Any]) -> list[Any]:
    firsts: dict[Hashable, Any] = {}
    for item in found:
        firsts.setdefault(identity(item), item)
    return list(firsts.values())


def _top(found: Sequence[Any], most: int) -> list[tuple[Any, int]]:
    counts: dict[Hashable, list[Any]] = {}
    for item in found:
        counts.setdefault(identity(item), [item, 0])[1] += 1
    ranked = sorted(counts.values(), key=lambda entry: -entry[1])
    return [(item, n) for item, n in ranked[:most]]


def correlation(rows: Sequence[Row], asked: Asked) -> float | int | None:
    """Pearson's, over the documents with a number in both fields (the first of each); null of fewer than two, or
    when one of the fields never changes."""
    pairs: list[tuple[float, float]] = []
    for row in rows:
        left, right = _numbers([row], asked.field), _numbers([row], asked.field_b)
        if left and right:
            pairs.append((left[0], right[0]))
    return _finite(lambda: _pearson(pairs))


def _pearson(pairs: Sequence[tuple[float, float]]) -> float | None:
    if len(pairs) < 2:
        return None
    mean_x = math.fsum(x for x, _ in pairs) / len(pairs)
    mean_y = math.fsum(y for _, y in pairs) / len(pairs)
    xx = math.fsum((x - mean_x) ** 2 for x, _ in pairs)
    yy = math.fsum((y - mean_y) ** 2 for _, y in pairs)
    xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs)
    bottom = math.sqrt(xx) * math.sqrt(yy)
    return max(-1.0, min(1.0, xy / bottom)) if bottom else None


def _finite(compute: Callable[[], float | int | None]) -> float | int | None:
    """A figure, or null where it leaves the range of numbers."""
    try:
        return plain(compute())
    except OverflowError:
        return None


FUNCTIONS: Final[Mapping[str, Callable[[Sequence[Row], Asked], Any]]] = {
    "count": count,
    "count_distinct": count_distinct,
    "sum": total,
    "avg": average,
    "min": least,
    "max": greatest,
    "first": first,
    "last": last,
    "collect": collect,
    "collect_distinct": collect_distinct,
    "percentile": percentile,
    "stddev": stddev,
    "variance": variance,
    "frequency": frequency,
    "co_occurrence": co_occurrence,
    "correlation": correlation,
}
