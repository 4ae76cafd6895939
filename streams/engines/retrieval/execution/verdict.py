"""Whether the rows of an execution fire an alert, and why (contract 4.1 and 4.2)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import matches, parse_filter
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import path_of


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert whose condition holds."""

    count: int
    """Results, before any list of them is cut."""
    score: float
    """Of the first result, in [0, 1]; 1 where there is none, or none with a score."""
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A threshold against the first result."""

    field: str
    """The field it was looked for in."""
    operator: Any
    value: Any
    seen: tuple[Any, ...]
    """What the first result has there."""
    holds: bool
    words: str


@dataclass(frozen=True, slots=True)
class Weighed:
    """The condition of an alert on an execution's rows: whether it holds, and why or why not."""

    fired: Fired | None
    reason: str
    trigger_on: str
    count: int
    min_count: int | None
    """``None`` for an alert on no results."""
    threshold: Compared | None
    """``None`` where there is none, or no result to compare."""


def decide(alert: Mapping[str, Any], rows: Sequence[Row], total: int | None = None) -> Fired | None:
    """Whether an alert fires: ``results`` with at least ``min_count`` rows whose first passes ``threshold``,
    ``no_results`` without any. ``total`` is the number of results where ``rows`` are only some of them."""
    return weigh(alert, rows, total).fired


def weigh(alert: Mapping[str, Any], rows: Sequence[Row], total: int | None = None) -> Weighed:
    """The same, with the reason also of an alert that does not fire."""
    count = len(rows) if total is None else total
    found = f"{count or 'no'} result{'' if count == 1 else 's'}"
    if alert.get("trigger_on") == "no_results":
        if count == 0:
            return Weighed(Fired(0, 1.0, found), found, "no_results", 0, None, None)
        return Weighed(None, f"{found}, none wanted", "no_results", count, None, None)
    least = alert.get("min_count") or 1
    if least > 1 or count < least:
        found += f", at least {least} wanted"
    if count < least or not rows:
        return Weighed(None, found, "results", count, least, None)
    compared = None
    if (threshold := alert.get("threshold")) is not None:
        compared = _compared(threshold, rows[0])
        found = f"{found}; {compared.words}"
        if not compared.holds:
            return Weighed(None, found, "results", count, least, compared)
    fired = Fired(count, unit_score(rows[0].score), found)
    return Weighed(fired, found, "results", count, least, compared)


def unit_score(score: float | None) -> float:
    """A score as results carry it: in [0, 1], 1 where no stage gave one."""
    if score is None or math.isnan(score):
        return 1.0
    return min(1.0, max(0.0, score))


def _compared(threshold: Mapping[str, Any], row: Row) -> Compared:
    """A threshold on a row. A bare name that the row has not is looked for in its ``metadata``."""
    field, name, value = threshold.get("field"), threshold.get("operator"), threshold.get("value")
    if not isinstance(field, str):
        return Compared("", name, value, (), False, "the threshold names no field")
    root = row.root()
    for path in (field,) if "." in field else (field, f"metadata.{field}"):
        try:
            present = parse_filter({"field": path, "operator": "exists", "value": True})
            test = parse_filter({"field": path, "operator": name, "value": value})
        except FilterError as error:
            # A threshold that cannot be read never fires; it is refused when the alert is written.
            return Compared(path, name, value, (), False, f"the threshold cannot be read: {error.problem}")
        if matches(present, root):
            holds = matches(test, root)
            seen = tuple(resolve(root, path_of(path)))
            words = f"{path} {name} {orjson.dumps(value).decode()}"
            return Compared(path, name, value, seen, holds, words if holds else f"not {words} in the first")
    return Compared(field, name, value, (), False, f"the first has no {field}")
