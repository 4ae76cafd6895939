"""Figures over the documents of a collection: aggregates per group, the values of a field (contract 2.9)."""

import bisect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.api.base import JsonObject
from schemas.api.document_figures import (
    AggregateGroup,
    AggregateOperation,
    AggregateRequest,
    AggregateResponse,
    AggregateResult,
    DistinctRequest,
    DistinctResponse,
    DistinctValue,
    Having,
    RangeBuckets,
)
from schemas.times import EPOCH, format_instant
from streams.api.document_lists import Source
from streams.api.document_query import wanted
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.filters.values import instant
from streams.engines.retrieval.stages.aggregation import FUNCTIONS
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.unwind import Parameters, unwound
from streams.engines.retrieval.stages.values import identity, number, order, value, values
from streams.runtime.http.errors import conflict, invalid

_NAMES: Final[Mapping[str, str]] = {"push": "collect", "add_to_set": "collect_distinct"}
_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda ours, theirs: ours > theirs,
    "gte": lambda ours, theirs: ours >= theirs,
    "lt": lambda ours, theirs: ours < theirs,
    "lte": lambda ours, theirs: ours <= theirs,
}


@dataclass(frozen=True, slots=True)
class _Figure:
    """An operation as the functions of the ``aggregate`` stage are asked."""

    field: str | None
    field_b: str | None = None
    percentile_value: float = 50.0
    top_k: int = 10


async def aggregated(source: Source, asked: AggregateRequest) -> AggregateResponse:
    """Figures per group. Raises 409 for names that clash or name nothing, and for too many documents."""
    _check(asked)
    which = wanted(asked.filters)
    groups: dict[Hashable, tuple[JsonObject, list[Row]]] = {} if _keys(asked) else {(): ({}, [])}
    async for documents in source.fitting(which, "aggregate"):
        for document in documents:
            for row in _unwound(row_of(document.event), asked.unwind):
                found = {name: make(row) for name, make in _keys(asked).items()}
                key = tuple(identity(item) for item in found.values())
                groups.setdefault(key, (found, []))[1].append(row)
    results = [
        AggregateResult(group=group, metrics={each.alias: _figure(each, rows) for each in asked.aggregations})
        for group, rows in groups.values()
    ]
    results = [one for one in results if all(_holds(one.metrics, condition) for condition in asked.having or ())]
    if asked.sort_by is not None:
        results = _sorted(results, asked.sort_by, asked.sort_direction == "desc")
    results = results[: asked.limit]
    return AggregateResponse(results=results, total_groups=len(results))


def _check(asked: AggregateRequest) -> None:
    names = list(_keys(asked))
    aliases = [each.alias for each in asked.aggregations]
    if len(set(aliases)) < len(aliases):
        raise conflict("each aggregation has an alias of its own", "body", "aggregations")
    if not names and any(each.function != "count" for each in asked.aggregations):
        raise conflict("without group_by only count can be asked", "body", "group_by")
    if len(set(names)) < len(asked.group_by or ()) + len(asked.range_buckets or ()):
        raise conflict("each field to group by has an alias of its own", "body", "group_by")
    if asked.sort_by is not None and asked.sort_by not in (*names, *aliases):
        raise conflict(f"sort_by names none of {', '.join((*names, *aliases))}", "body", "sort_by")
    for index, condition in enumerate(asked.having or ()):
        if condition.field not in aliases:
            raise conflict(f"having names none of {', '.join(aliases)}", "body", "having", index, "field")
    for index, buckets in enumerate(asked.range_buckets or ()):
        if sorted(set(buckets.boundaries)) != buckets.boundaries:
            raise conflict("boundaries must rise", "body", "range_buckets", index, "boundaries")
    for index, group in enumerate(asked.group_by or ()):
        if group.date_trunc is not None and group.date_part is not None:
            raise invalid("give date_trunc or date_part, not both", "body", "group_by", index)


def _keys(asked: AggregateRequest) -> dict[str, Callable[[Row], Any]]:
    made: dict[str, Callable[[Row], Any]] = {}
    for group in asked.group_by or ():
        made[group.name] = _key(group)
    for buckets in asked.range_buckets or ():
        made[f"{buckets.field}_range" if buckets.field in made else buckets.field] = _bucket(buckets)
    return made


def _key(group: AggregateGroup) -> Callable[[Row], Any]:
    def made(row: Row) -> Any:
        found = value(row, group.field)
        if group.date_trunc is None and group.date_part is None:
            return found
        since = instant(found) if isinstance(found, str) else None
        if since is None:
            return None
        moment = EPOCH + timedelta(microseconds=since)
        return _part(moment, group) if group.date_trunc is None else _truncated(moment, group.date_trunc)

    return made


def _truncated(moment: datetime, unit: str) -> str:
    if unit == "week":
        moment -= timedelta(days=moment.weekday())
        unit = "day"
    units = ("year", "month", "day", "hour", "minute", "second")
    least = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}
    cut: dict[str, Any] = {name: least[name] for name in units[units.index(unit) + 1 :]}
    return format_instant(moment.replace(microsecond=0, **cut))


def _part(moment: datetime, group: AggregateGroup) -> int:
    calendar = moment.isocalendar()
    parts = {
        "year": moment.year,
        "month": moment.month,
        "week": calendar.week,
        "day": moment.day,
        "dayOfWeek": calendar.weekday,
        "dayOfYear": moment.timetuple().tm_yday,
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
    }
    return parts[group.date_part or "year"]


def _bucket(buckets: RangeBuckets) -> Callable[[Row], str]:
    bounds = buckets.boundaries

    def made(row: Row) -> str:
        found = number(value(row, buckets.field))
        if found is None:
            return buckets.default_bucket
        at = bisect.bisect_right(bounds, found)
        if at == 0:
            return f"<{bounds[0]:g}"
        return f">={bounds[-1]:g}" if at == len(bounds) else f"{bounds[at - 1]:g}-{bounds[at]:g}"

    return made


def _unwound(row: Row, field: str | None) -> Sequence[Row]:
    if field is None:
        return [row]
    return unwound(row, Parameters(field=field))


def _figure(asked: AggregateOperation, rows: Sequence[Row]) -> Any:
    field = asked.distinct_field if asked.function == "count_distinct" and asked.distinct_field else asked.field
    return FUNCTIONS[_NAMES.get(asked.function, asked.function)](rows, _Figure(field))


def _holds(metrics: JsonObject, condition: Having) -> bool:
    ours, theirs = metrics[condition.field], condition.value
    if condition.operator in ("eq", "ne"):
        return (identity(ours) == identity(theirs)) == (condition.operator == "eq")
    left, right = order(ours), order(theirs)
    if left is None or right is None or left[0] != right[0] or left[0] == 4:
        return False
    return _COMPARED[condition.operator](left[1], right[1])


def _sorted(results: list[AggregateResult], name: str, descending: bool) -> list[AggregateResult]:
    keys = [order(one.metrics.get(name, one.group.get(name))) for one in results]
    present = [at for at, key in enumerate(keys) if key is not None]
    present.sort(key=lambda at: keys[at] or (0, 0), reverse=descending)
    return [results[at] for at in present] + [results[at] for at, key in enumerate(keys) if key is None]


async def distinct(source: Source, asked: DistinctRequest) -> DistinctResponse:
    """The values of a field and how many documents have each; of a list each element."""
    counts: dict[Hashable, list[Any]] = {}
    async for documents in source.fitting(wanted(asked.filters), "look through"):
        for document in documents:
            found: dict[Hashable, Any] = {}
            for item in values(row_of(document.event), asked.field):
                for one in item if isinstance(item, list) else [item]:
                    if one is not None:
                        found.setdefault(identity(one), one)
            for key, one in found.items():
                counts.setdefault(key, [one, 0])[1] += 1
    ranked = sorted(counts.values(), key=lambda entry: -entry[1])
    shown = [DistinctValue(value=one, count=count) for one, count in ranked[: asked.limit]]
    info = {"distinct_values": len(ranked)}
    return DistinctResponse(field=asked.field, values=shown, total_distinct=len(shown), query_info=info)
