"""Runs the stages of a retriever in order (contract 4.5 and 4.6, design section 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from streams.engines.retrieval.errors import BudgetError, PlanError, StageError
from streams.engines.retrieval.execution.budget import Budget
from streams.engines.retrieval.execution.corpus import Corpus, Scope
from streams.engines.retrieval.execution.filter_check import WrittenFilter
from streams.engines.retrieval.execution.inputs import bind
from streams.engines.retrieval.execution.prepare import Prepared, PreparedStage, prepare
from streams.engines.retrieval.execution.run import Definitions, Notes, Run
from streams.engines.retrieval.execution.statistics import Stat
from streams.engines.retrieval.filters.nodes import And
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.stages.stage import Row

MAX_NESTED: Final = 3
"""Retrievers inside retrievers."""
SCAN_LIMIT: Final = 1_000
"""Documents per collection that a scan gives a first stage (contract section 6)."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What an execution came to."""

    rows: list[Row]
    """The final rows; of one that ran out of budget those of its last finished stage, of another failure none."""
    stages: Mapping[str, Stat]
    budget: Mapping[str, Any]
    notes: Notes
    total_stages: int
    error: str | None = None
    position: Mapping[str, Any] | None = None
    """How far the corpus had been read."""
    failed_stage: str | None = None

    @property
    def status(self) -> str:
        """``completed`` or ``failed``."""
        return "completed" if self.error is None else "failed"

    @property
    def stages_completed(self) -> int:
        """Stages that ran to their end, skipped ones included."""
        return len(self.stages) - (self.failed_stage is not None)

    def statistics(self) -> dict[str, Any]:
        """The ``stage_statistics`` of the contract."""
        return {
            "stages": {name: stat.wire() for name, stat in self.stages.items()},
            "total_time_ms": self.budget["time_used_ms"],
            "credits_used": self.budget["credits_used"],
        }


class Watch(Protocol):
    """Somebody who is told of an execution's stages as they run, but not of those of retrievers inside it."""

    def started(self, index: int, stage: PreparedStage) -> None:
        """A stage begins; ``index`` counts from 0."""
        ...

    def finished(
        self, index: int, stage: PreparedStage, stat: Stat, rows: Sequence[Row], budget: Mapping[str, Any]
    ) -> None:
        """A stage has ended, with an error where ``stat`` has one; ``rows`` are those it left."""
        ...


@dataclass(frozen=True, slots=True)
class NoDefinitions:
    """Nothing else is defined."""

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """None."""
        return None

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """None."""
        return None

    def collection_id(self, identifier: str) -> str | None:
        """Every identifier is an id."""
        return identifier


async def execute(
    retriever: Mapping[str, Any] | Prepared,
    inputs: Mapping[str, Any],
    corpus: Corpus,
    *,
    now: datetime,
    clock: Callable[[], float],
    filters: Any = None,
    collections: Sequence[str] | None = None,
    definitions: Definitions | None = None,
    seed: str = "",
    watch: Watch | None = None,
) -> Execution:
    """Run a retriever's stages over a corpus.

    ``filters``, as written or read already, is AND-ed with those of the first stage; ``collections`` (ids) stands
    in for the retriever's own; ``clock`` gives seconds of a monotonic clock; random choices follow from ``seed``.
    What a stage cannot do is the execution's error, as is a budget used up. Raises :class:`InputError` for inputs
    that do not fit the schema and :class:`PlanError` for a retriever or a filter that cannot run.
    """
    prepared = retriever if isinstance(retriever, Prepared) else prepare(retriever)
    run = Run(
        corpus=corpus,
        inputs=bind(prepared.input_schema, inputs),
        now=now,
        budget=Budget(clock, prepared.max_time_ms, prepared.max_credits),
        definitions=definitions or NoDefinitions(),
        collections=prepared.collections if collections is None else tuple(collections),
        seed=seed,
        nesting=_nested,
    )
    try:
        if filters is not None:
            run.where = filters if isinstance(filters, Filter) else replace(run, place="filters").filter(filters)
    except StageError as error:
        raise PlanError(str(error)) from error
    return await _stages(run, prepared.stages, None, watch)


async def execute_tail(
    tail: Sequence[PreparedStage],
    row: Row,
    corpus: Corpus,
    inputs: Mapping[str, Any],
    *,
    now: datetime,
    clock: Callable[[], float],
    definitions: Definitions | None = None,
    seed: str = "",
    watch: Watch | None = None,
    warnings: list[str] | None = None,
    max_time_ms: float | None = None,
    max_credits: float | None = None,
) -> list[Row]:
    """The rows that the last stages of a standing alert make of one matching document (``Plan.tail``); ``inputs``
    are the plan's constants. What is to be said of it goes to ``warnings``. Raises :class:`StageError`, of a
    budget used up too."""
    budget = Budget(clock, max_time_ms, max_credits)
    run = run_on_rows(corpus, inputs, now=now, budget=budget, definitions=definitions, seed=seed)
    execution = await _stages(run, tail, [row], watch)
    if warnings is not None:
        warnings += run.notes.warnings
    if execution.error is not None:
        raise StageError(execution.error)
    return execution.rows


def run_on_rows(
    corpus: Corpus,
    inputs: Mapping[str, Any],
    *,
    now: datetime,
    budget: Budget,
    definitions: Definitions | None = None,
    seed: str = "",
) -> Run:
    """What stages may use that are given their rows instead of finding them."""
    return Run(
        corpus=corpus,
        inputs=inputs,
        now=now,
        budget=budget,
        definitions=definitions or NoDefinitions(),
        collections=None,
        seed=seed,
        nesting=_nested,
        first=False,
    )


async def _nested(outer: Run, retriever: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Row]:
    if outer.depth >= MAX_NESTED:
        raise StageError(f"{outer.place}: retrievers are nested more than {MAX_NESTED} deep, or in a circle")
    try:
        prepared = _prepared(outer, retriever)
        bound = bind(prepared.input_schema, inputs)
    except ValueError as error:
        raise StageError(f"{outer.place}: its retriever: {error}") from error
    run = Run(
        corpus=outer.corpus,
        inputs=bound,
        now=outer.now,
        budget=outer.budget,
        definitions=outer.definitions,
        collections=prepared.collections,
        seed=f"{outer.seed}/{outer.stage_name}",
        nesting=_nested,
        depth=outer.depth + 1,
        preparations=outer.preparations,
    )
    execution = await _stages(run, prepared.stages, None)
    for warning in run.notes.warnings:
        outer.warn(warning)
    outer.budget.check()
    if execution.error is not None:
        raise StageError(f"{outer.place}: its retriever: {execution.error}")
    return execution.rows


def _prepared(run: Run, retriever: Mapping[str, Any]) -> Prepared:
    """Another retriever; its stages are read once per execution, however many rows ask it."""
    stages = retriever.get("stages")
    known = run.preparations.get(id(stages))
    if known is None:
        known = run.preparations[id(stages)] = (stages, prepare(retriever))
    return replace(known[1], collections=tuple(retriever.get("collection_identifiers") or ()) or None)


async def _stages(
    run: Run, stages: Sequence[PreparedStage], rows: list[Row] | None, watch: Watch | None = None
) -> Execution:
    """Run stages on rows; ``None`` means that the first is to find them."""
    statistics: dict[str, Stat] = {}
    error: str | None = None
    failed: str | None = None
    current = [] if rows is None else rows
    for index, stage in enumerate(stages):
        if watch is not None:
            watch.started(index, stage)
        run.stage_name, run.place, run.first = stage.name, stage.place, rows is None and not statistics
        started = run.budget.elapsed_ms
        counted = len(current)
        problem: str | None = None
        try:
            if run.first:
                counted = await run.corpus.count(Scope(run.collections))
            left = await _stage(run, stage, current)
            run.budget.check()
        except BudgetError as reason:
            error = problem = str(reason)
            left = current
        except StageError as reason:
            problem = str(reason)
            left = current
            if stage.on_error == "error":
                error, left = problem, []
        current = left
        elapsed = run.budget.elapsed_ms - started
        statistics[stage.name] = stat = Stat(counted, len(current), elapsed, problem)
        if watch is not None:
            watch.finished(index, stage, stat, current, run.budget.wire())
        if error is not None:
            failed = stage.name
            break
        run.stages[stage.name] = {"input_count": counted, "output_count": len(current)}
        if stage.output_alias:
            run.context[stage.output_alias] = [row.root() for row in current]
    budget = run.budget.wire()
    return Execution(current, statistics, budget, run.notes, len(stages), error, run.corpus.position(), failed)


async def _stage(run: Run, stage: PreparedStage, rows: list[Row]) -> list[Row]:
    if run.first:
        if stage.pre_filters is not None:
            ours = run.written(stage.pre_filters)
            run.where = ours if run.where.trivial else Filter(And((run.where.root, ours.root)))
        if not stage.stage.source:
            rows = await run.scan(SCAN_LIMIT)
    else:
        rows = _fitting(run, rows, stage.pre_filters)
    run.budget.charge(len(rows))
    parameters = stage.parameters(run.render)
    return _fitting(run, await stage.stage.run(rows, parameters, run), stage.post_filters)


def _fitting(run: Run, rows: list[Row], written: WrittenFilter | None) -> list[Row]:
    """The rows that fit a filter."""
    if written is None:
        return rows
    if written.by_row:
        return [row for row in rows if matches(run.written(written, row), row.root())]
    parsed = run.written(written)
    return [row for row in rows if matches(parsed, row.root())]
