"""Alerts with a window, read: what is asked of each document, and when the window fires (contract 4.2). Pure.

Each document is checked alone, as any percolated alert checks it; those that match are counted, or a figure of
theirs is aggregated, and the window's rule (``streams.engines.rules.window``) decides. The figure is named by the
threshold: ``avg(score)``, ``sum(amount)``, or the alias of an ``aggregate`` that ends the retriever. A threshold
on a plain field is asked of each document.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, cast

from schemas.events.document import DocumentEvent
from schemas.ids import derived_id
from schemas.times import TimeDomain
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.prepare import prepare_stage
from streams.engines.retrieval.filters.paths import resolve
from streams.engines.retrieval.filters.values import scalars
from streams.engines.retrieval.percolate.plan import COMPARISONS
from streams.engines.retrieval.stages import aggregate
from streams.engines.retrieval.stages.values import number, path_of, plain
from streams.engines.rules.window import FUNCTIONS, HOUR, MAX_SECONDS, Figure, WindowRule

_CALL: Final = re.compile(r"\s*([a-z_]+)\s*\(\s*([^()]*?)\s*\)\s*")
_SERIES: Final = ("retriever_id", "inputs", "threshold", "window_seconds", "time_domain")


@dataclass(frozen=True, slots=True)
class Window:
    """A window of an alert."""

    rule: WindowRule
    series: str
    """What is counted together: another question, another series."""

    def values(self, event: DocumentEvent, score: float) -> list[int | float]:
        """The numbers that a matching document adds to the figure: of a list its elements, none of a missing
        field, a text or a boolean. A bare name that the document has not is looked for in its ``metadata``."""
        figure = self.rule.figure
        if figure is None or figure.field is None:
            return []
        if figure.field == "score":
            return [score]
        root = event.root()
        found = resolve(root, path_of(figure.field))
        if not found and "." not in figure.field:
            found = resolve(root, path_of(f"metadata.{figure.field}"))
        numbers = (plain(item) for item in scalars(found) if number(item) is not None)
        return [item for item in numbers if item is not None]


def has_window(alert: Mapping[str, Any]) -> bool:
    """Whether an alert is decided over a window."""
    return alert.get("window_seconds") is not None


def asked_of_each(
    retriever: Mapping[str, Any], alert: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Of an alert with a window, the retriever and the alert by which each document is checked; of any other, the
    two as they are. Raises :class:`PlanError`."""
    if not has_window(alert):
        return retriever, alert
    stages = _stages(retriever)
    if _aggregate(stages) is not None:
        retriever = {**retriever, "stages": stages[:-1]}
    alone = {**alert, "trigger_on": "results", "min_count": 1}
    if _figure(retriever, alert) is not None or _aggregate(stages) is not None:
        alone["threshold"] = None
    return retriever, alone


def read_window(
    retriever: Mapping[str, Any],
    alert: Mapping[str, Any],
    application: Mapping[str, Any] | None,
    retriever_version: int,
) -> Window:
    """The window of an alert that has one, as it is attached. Raises :class:`PlanError` with words for the
    user."""
    window = alert["window_seconds"]
    if type(window) is not int or not 1 <= window <= MAX_SECONDS:
        raise PlanError(f"window_seconds must be a whole number from 1 to {MAX_SECONDS}")
    if window > HOUR and window % 60:
        raise PlanError(
            f"window_seconds over an hour must be whole minutes: {window // 60 * 60}, say, not {window}"
        )
    figure = _figure(retriever, alert)
    trigger_on: Literal["results", "no_results"] = (
        "no_results" if alert.get("trigger_on") == "no_results" else "results"
    )
    if trigger_on == "no_results" and figure is not None:
        raise PlanError("trigger_on no_results goes without a threshold on what there is")
    if trigger_on == "no_results" and (alert.get("min_count") or 1) > 1:
        raise PlanError("trigger_on no_results goes without min_count; for fewer than n, threshold count() lt n")
    if figure is None and _aggregate(_stages(retriever)) is not None:
        raise PlanError(
            "an aggregate has a row even of no documents: give the alert a threshold on one of its aliases"
        )
    mappings = (application or {}).get("input_mappings")
    asked = [alert.get(name) for name in _SERIES]
    return Window(
        WindowRule(
            window_seconds=window,
            time_domain=cast(TimeDomain, alert.get("time_domain") or "processing_time"),
            trigger_on=trigger_on,
            min_count=alert.get("min_count") or 1,
            figure=figure,
            cooldown_seconds=alert.get("cooldown_seconds") or 0,
            renotify_seconds=alert.get("renotify_interval_seconds"),
        ),
        derived_id("", retriever_version, _stable(asked), _stable(mappings))[:12],
    )


def _stages(retriever: Mapping[str, Any]) -> Sequence[Any]:
    stages = retriever.get("stages")
    return stages if isinstance(stages, Sequence) else ()


def _aggregate(stages: Sequence[Any]) -> aggregate.Parameters | None:
    """The ``aggregate`` that ends a retriever. Raises :class:`PlanError` for one that no window can keep."""
    last = stages[-1] if stages else None
    if not isinstance(last, Mapping):
        return None
    config = last.get("config", last)
    if not isinstance(config, Mapping) or config.get("stage_id") != aggregate.STAGE.stage_id:
        return None
    prepared = prepare_stage(last)
    if prepared.ready is None or prepared.pre_filters is not None or prepared.post_filters is not None:
        raise PlanError(
            f"{prepared.place}: over a window, aggregate goes without templates, pre_ and post_filters"
        )
    parameters = cast(aggregate.Parameters, prepared.ready)
    if parameters.group_by is not None or parameters.include_documents:
        raise PlanError(f"{prepared.place}: over a window, aggregate goes without group_by and include_documents")
    return parameters


def _figure(retriever: Mapping[str, Any], alert: Mapping[str, Any]) -> Figure | None:
    """What the threshold says of the whole window; ``None`` when it is asked of each document, or is not
    there."""
    threshold = alert.get("threshold")
    if not isinstance(threshold, Mapping):
        return None
    named, comparison, value = threshold.get("field"), threshold.get("operator"), threshold.get("value")
    if not isinstance(named, str) or comparison not in COMPARISONS:
        raise PlanError(f"threshold needs field, and an operator of {', '.join(COMPARISONS)}")
    parameters = _aggregate(_stages(retriever))
    if parameters is not None:
        found = {one.alias: (one.function, one.field) for one in parameters.aggregations}.get(named)
        if found is None:
            known = ", ".join(one.alias for one in parameters.aggregations)
            raise PlanError(f"threshold: {named!r} is no alias of the aggregate; there are {known}")
        function, field = found
    elif (call := _CALL.fullmatch(named)) is not None:
        function, field = cast(Any, call[1]), call[2] or None
    else:
        return None
    if function not in FUNCTIONS:
        raise PlanError(f"threshold: {function} cannot be kept over a window; {', '.join(FUNCTIONS)} can")
    if function == "count" and field is not None:
        raise PlanError(f"threshold: count counts documents; ask for {field} by a filter with exists")
    if function != "count":
        _check_path(function, field)
    if number(value) is None:
        raise PlanError(f"threshold: {function} is compared with a number, not {value!r}")
    return Figure(function, field, comparison, Decimal(repr(value)))


def _check_path(function: str, field: str | None) -> None:
    if field is None:
        raise PlanError(f"threshold: {function} needs a field: {function}(score), {function}(amount)")
    try:
        path_of(field)
    except ValueError as error:
        raise PlanError(f"threshold: {error}") from error


def _stable(value: Any) -> str:
    """Equal values as equal texts, whatever the order of their keys."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{_stable(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_stable, value)) + "]"
    if type(value) is int or type(value) is float:
        # PostgreSQL writes 1e5 as 100000.
        return str(Decimal(repr(value)).normalize())
    return repr(value)
