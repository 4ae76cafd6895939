"""Documents against alerts that need other documents (design section 4): those that look the document up in
reference collections, and those that go on with a matching document in stages of their own.

A document is never found by its own look-up: where the collection it arrives in is looked in as well, it is left
out, however soon it gets there. A look-up that fails (an input is missing, a budget is used up) fires nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import ExecutionHasher, execution_id
from streams.engines.retrieval.errors import InputError, PlanError, StageError
from streams.engines.retrieval.percolate.percolator import Hit
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.stages.look_up import LookUp
from streams.engines.retrieval.tail import tail_rows
from streams.engines.retrieval.verdict import decide
from streams.match.alerts import Standing, StandingAlert
from streams.match.arrivals import Arrival
from streams.match.found import found_rows, run_record
from streams.match.references import References
from streams.match.results import Checked, compose
from streams.runtime import metrics
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock
from streams.runtime.named import NamedDefinitions

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Answers:
    """What a chunk of documents set off."""

    records: list[AlertResultRecord] = field(default_factory=list)
    runs: list[RetrieverExecutionRecord] = field(default_factory=list)


class LookUps:
    """Runs the alerts of collections that need more than the arriving document."""

    def __init__(self, references: References, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self._references = references
        self._catalog = catalog
        self._clock = clock

    async def answer(
        self,
        standing: Standing,
        arrivals: Sequence[Arrival],
        records: Sequence[AlertResultRecord],
        hasher: ExecutionHasher,
    ) -> Answers:
        """The results of documents of one collection, on which ``standing`` is in force. ``records`` are those of
        its percolated alerts: what follows a percolation is run on them here, and what look-ups found is added,
        each record in the order its alerts are checked."""
        pending = {(record.source_partition, record.source_offset): record for record in records}
        answers = Answers()
        for arrival in arrivals:
            record = pending.get((arrival.partition, arrival.offset))
            record = await self._one(arrival, record, standing, hasher, answers.runs)
            if record is not None:
                answers.records.append(record)
        return answers

    async def _one(
        self,
        arrival: Arrival,
        record: AlertResultRecord | None,
        standing: Standing,
        hasher: ExecutionHasher,
        runs: list[RetrieverExecutionRecord],
    ) -> AlertResultRecord | None:
        started, executed_at = time.monotonic(), self._clock()
        event = arrival.event
        base = hasher.base(event.namespace_id, event.event_id, arrival.topic, arrival.partition, arrival.offset)
        hits = {} if record is None else {hit.alert_id: hit for hit in record.hits}
        for alert in standing.more:
            if alert.alert_id in arrival.causes:
                continue
            identifier = execution_id(base, alert.number)
            if alert.look_up is not None:
                hit = await self._look_up(arrival, alert, alert.look_up, identifier, runs)
            elif alert.alert_id in hits and alert.plan is not None:
                hit = await self._go_on(arrival, alert, alert.plan, hits.pop(alert.alert_id), identifier)
            else:
                continue
            if hit is not None:
                hits[alert.alert_id] = hit
        if not hits:
            return None
        ordered = sorted(hits.values(), key=lambda hit: _order(standing, hit))
        duration_ms = int((time.monotonic() - started) * 1_000)
        if record is not None:
            return replace(record, hits=ordered, duration_ms=record.duration_ms + duration_ms)
        checked = Checked(executed_at, duration_ms, self._catalog().version)
        made = compose(arrival, [Hit(alert, 1.0, None, "") for alert in standing.more], checked, hasher)
        assert made is not None, "an alert fired that is no cause of the document"
        return replace(made, hits=ordered)

    async def _look_up(
        self,
        arrival: Arrival,
        alert: StandingAlert,
        look_up: LookUp,
        identifier: str,
        runs: list[RetrieverExecutionRecord],
    ) -> AlertHit | None:
        event, created_at = arrival.event, self._clock()
        try:
            execution = await look_up.ask(
                event,
                self._references.corpus(event.namespace_id),
                now=arrival.appended_at,
                clock=time.monotonic,
                definitions=NamedDefinitions(self._catalog(), event.namespace_id),
                seed=identifier,
            )
        except (InputError, PlanError) as error:
            _failed(alert, arrival, str(error))
            return None
        if execution.error is not None:
            _failed(alert, arrival, execution.error)
            return None
        fired = decide(alert.rule, execution.rows)
        metrics.LOOK_UPS.labels("quiet" if fired is None else "fired").inc()
        if fired is None:
            return None
        position = self._references.position()
        found = found_rows(execution.rows, position)
        runs.append(
            run_record(
                execution,
                execution_id=identifier,
                namespace_id=event.namespace_id,
                retriever_id=alert.retriever_id,
                alert_id=alert.alert_id,
                reason=fired.reason,
                created_at=created_at,
                completed_at=self._clock(),
                position=position,
            )
        )
        first = execution.rows[0] if execution.rows else None
        return AlertHit(
            alert_number=alert.number,
            alert_id=alert.alert_id,
            alert_version=alert.version,
            retriever_id=alert.retriever_id,
            score=fired.score,
            reason=fired.reason,
            matched_features=dict(first.matched) if first is not None and first.matched else None,
            found=found,
        )

    async def _go_on(
        self, arrival: Arrival, alert: StandingAlert, plan: Plan, hit: AlertHit, identifier: str
    ) -> AlertHit | None:
        """A hit after the stages that follow its percolation: with the rows they made of the document."""
        try:
            rows = await tail_rows(
                plan,
                arrival.event,
                hit.score,
                hit.matched_features,
                self._references.corpus(arrival.event.namespace_id),
                now=arrival.appended_at,
                clock=time.monotonic,
                definitions=NamedDefinitions(self._catalog(), arrival.event.namespace_id),
                seed=identifier,
            )
        except StageError as error:
            _failed(alert, arrival, str(error))
            return None
        if decide(alert.rule, rows) is None:
            return None
        return replace(hit, found=found_rows(rows, self._references.position()))


def _failed(alert: StandingAlert, arrival: Arrival, reason: str) -> None:
    metrics.LOOK_UPS.labels("failed").inc()
    log.warning(
        "look_up_failed",
        alert=alert.alert_id,
        collection=arrival.event.collection_id,
        partition=arrival.partition,
        offset=arrival.offset,
        reason=reason,
    )


def _order(standing: Standing, hit: AlertHit) -> tuple[int, int, int]:
    entry = standing.entries.get(hit.alert_id)
    assert entry is not None
    assert entry.standing is not None, "only standing alerts fire"
    return entry.standing.order
