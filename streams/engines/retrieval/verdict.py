"""Whether the rows of an execution fire an alert, and why (contract 4.1 and 4.2)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import matches, parse_filter
from streams.engines.retrieval.stages.stage import Row


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert whose condition holds."""

    count: int
    """Results, before any list of them is cut."""
    score: float
    """Of the first result, in [0, 1]; 1 where there is none, or none with a score."""
    reason: str


def decide(alert: Mapping[str, Any], rows: Sequence[Row], total: int | None = None) -> Fired | None:
    """Whether an alert fires: ``results`` with at least ``min_count`` rows whose first passes ``threshold``,
    ``no_results`` without any. ``total`` is the number of results where ``rows`` are only some of them."""
    count = len(rows) if total is None else total
    if alert.get("trigger_on") == "no_results":
        return Fired(0, 1.0, "no results") if count == 0 else None
    least = alert.get("min_count") or 1
    if count < least or not rows:
        return None
    reason = f"{count} result{'' if count == 1 else 's'}"
    if least > 1:
        reason += f", at least {least} wanted"
    threshold = alert.get("threshold")
    if threshold is not None:
        passed = _passes(threshold, rows[0])
        if passed is None:
            return None
        reason = f"{reason}; {passed}"
    return Fired(count, unit_score(rows[0].score), reason)


def unit_score(score: float | None) -> float:
    """A score as results carry it: in [0, 1], 1 where no stage gave one."""
    if score is None or math.isnan(score):
        return 1.0
    return min(1.0, max(0.0, score))


def _passes(threshold: Mapping[str, Any], row: Row) -> str | None:
    """In words, that a row passes a threshold; ``None`` when it does not. A bare name that the row has not is
    looked for in its ``metadata``."""
    field, name, value = threshold.get("field"), threshold.get("operator"), threshold.get("value")
    if not isinstance(field, str):
        return None
    root = row.root()
    for path in (field,) if "." in field else (field, f"metadata.{field}"):
        try:
            present = parse_filter({"field": path, "operator": "exists", "value": True})
            test = parse_filter({"field": path, "operator": name, "value": value})
        except FilterError:
            # A threshold that cannot be read never fires; it is refused when the alert is written.
            return None
        if matches(present, root):
            return f"{path} {name} {orjson.dumps(value).decode()}" if matches(test, root) else None
    return None
