"""Documents against alerts that need other documents (design section 4): those that look the document up in
reference collections, and those that go on with a matching document in stages of their own.

A document is never found by its own look-up: where the collection it arrives in is looked in as well, it is left
out, however soon it gets there. A look-up that fails (an input is missing, a budget is used up) fires nothing.

Look-ups run in a thread of their own, so that the event loop lives (heartbeats, the worker's other agents), and
only for some time: a batch that takes longer than the group waits for its member would come again for ever.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.ids import ExecutionHasher, execution_id
from streams.engines.retrieval.errors import InputError, PlanError, StageError
from streams.engines.retrieval.execution.found import found_rows, run_record
from streams.engines.retrieval.execution.look_up import LookUp
from streams.engines.retrieval.execution.seed import seed_of
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.tail import tail_rows
from streams.engines.retrieval.execution.verdict import decide
from streams.engines.retrieval.percolate.plan import Plan
from streams.match.alerts import Standing, StandingAlert
from streams.match.arrivals import Arrival
from streams.match.matching import Undecided
from streams.match.references import References
from streams.match.results import Checked, record_of
from streams.runtime import metrics
from streams.runtime.catalog import Catalog
from streams.runtime.clock import Clock
from streams.runtime.named import NamedDefinitions
from streams.runtime.rarely import Rarely

log = structlog.get_logger(__name__)


DOCUMENT_SECONDS: Final = 10.0
"""What all look-ups of one document may take together; those for which nothing is left fail."""


@dataclass(slots=True)
class Answers:
    """What a chunk of documents set off."""

    records: list[AlertResultRecord] = field(default_factory=list)
    runs: list[RetrieverExecutionRecord] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)
    """Partition → offset of its first document for which there was no time."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A document and what stands for it."""

    standing: Standing
    arrival: Arrival
    record: AlertResultRecord | None
    """What its percolated alerts say."""


class LookUps:
    """Runs the alerts of collections that need more than the arriving document. Close it when it is done with."""

    def __init__(
        self,
        references: References,
        catalog: Callable[[], Catalog],
        clock: Clock,
        *,
        document_seconds: float = DOCUMENT_SECONDS,
    ) -> None:
        self._references = references
        self._catalog = catalog
        self._clock = clock
        self._document_seconds = document_seconds
        self._thread = ThreadPoolExecutor(1, "look-ups")
        self._runner = asyncio.Runner()
        """The thread's own, as is what follows."""
        self._failures = Rarely()
        self._closing = threading.Event()

    def close(self) -> None:
        """End the thread, after the document in hand."""
        self._closing.set()
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    async def answer(self, undecided: Sequence[Undecided], hasher: ExecutionHasher, until: float) -> Answers:
        """The results of the documents of a chunk: what follows a percolation is run on them here, and what
        look-ups found is added. Documents are taken in the order of the log until the monotonic clock shows
        ``until``, but at least one. References must not change meanwhile; definitions may."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._answer, _questions(undecided), hasher, until
        )

    def _answer(self, questions: Sequence[_Question], hasher: ExecutionHasher, until: float) -> Answers:
        """In the thread."""
        answers = Answers()
        for at, question in enumerate(questions):
            if at and (time.monotonic() >= until or self._closing.is_set()):
                for later in questions[at:]:
                    answers.left.setdefault(later.arrival.partition, later.arrival.offset)
                break
            # Documents in memory never make a stage wait.
            record = self._runner.run(self._one(question, hasher, answers.runs))
            if record is not None:
                answers.records.append(record)
        return answers

    async def _one(
        self,
        question: _Question,
        hasher: ExecutionHasher,
        runs: list[RetrieverExecutionRecord],
    ) -> AlertResultRecord | None:
        """The result of a document, what fired in the order in which alerts are checked."""
        standing, arrival, record = question.standing, question.arrival, question.record
        started, executed_at = time.monotonic(), self._clock()
        deadline = started + self._document_seconds
        base = arrival.base(hasher)
        hits = {} if record is None else {hit.alert_id: hit for hit in record.hits}
        for alert in standing.more:
            if alert.alert_id in arrival.causes:
                continue
            if alert.look_up is not None:
                identifier = execution_id(base, alert.number)
                hit = await self._look_up(arrival, alert, alert.look_up, identifier, deadline, runs)
            elif alert.alert_id in hits and alert.plan is not None:
                hit = await self._go_on(arrival, alert, alert.plan, hits.pop(alert.alert_id), deadline)
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
        return record_of(arrival, ordered, checked, hasher)

    async def _look_up(
        self,
        arrival: Arrival,
        alert: StandingAlert,
        look_up: LookUp,
        identifier: str,
        deadline: float,
        runs: list[RetrieverExecutionRecord],
    ) -> AlertHit | None:
        event, created_at = arrival.event, self._clock()
        try:
            execution = await look_up.ask(
                event,
                self._surroundings(arrival),
                seed=seed_of(event, alert.rule),
                ceiling_ms=_left_ms(deadline),
            )
        except (InputError, PlanError) as error:
            self._failed(alert, arrival, str(error))
            return None
        if execution.error is not None:
            self._failed(alert, arrival, execution.error)
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
        self, arrival: Arrival, alert: StandingAlert, plan: Plan, hit: AlertHit, deadline: float
    ) -> AlertHit | None:
        """A hit after the stages that follow its percolation: with the rows they made of the document."""
        try:
            rows = await tail_rows(
                plan,
                arrival.event,
                hit.score,
                hit.matched_features,
                self._surroundings(arrival),
                seed=seed_of(arrival.event, alert.rule),
                ceiling_ms=_left_ms(deadline),
            )
        except StageError as error:
            self._failed(alert, arrival, str(error))
            return None
        if decide(alert.rule, rows) is None:
            return None
        return replace(hit, found=found_rows(rows, self._references.position()))

    def _surroundings(self, arrival: Arrival) -> Surroundings:
        namespace_id = arrival.event.namespace_id
        return Surroundings(
            self._references.corpus(namespace_id),
            arrival.appended_at,
            time.monotonic,
            NamedDefinitions(self._catalog(), namespace_id),
        )

    def _failed(self, alert: StandingAlert, arrival: Arrival, reason: str) -> None:
        metrics.LOOK_UPS.labels("failed").inc()
        kept_back = self._failures.due(alert.alert_id, reason, self._clock())
        if kept_back is not None:
            log.warning(
                "look_up_failed",
                alert=alert.alert_id,
                collection=arrival.event.collection_id,
                partition=arrival.partition,
                offset=arrival.offset,
                reason=reason,
                not_logged_before=kept_back,
            )


def _questions(undecided: Sequence[Undecided]) -> list[_Question]:
    """The documents of several collections in the order of the log."""
    found: list[_Question] = []
    for part in undecided:
        records = {(record.source_partition, record.source_offset): record for record in part.records}
        found += [
            _Question(part.standing, arrival, records.get((arrival.partition, arrival.offset)))
            for arrival in part.arrivals
        ]
    return sorted(found, key=lambda question: (question.arrival.partition, question.arrival.offset))


def _left_ms(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic()) * 1_000


def _order(standing: Standing, hit: AlertHit) -> tuple[int, int, int]:
    entry = standing.entries.get(hit.alert_id)
    assert entry is not None
    assert entry.standing is not None, "only standing alerts fire"
    return entry.standing.order
