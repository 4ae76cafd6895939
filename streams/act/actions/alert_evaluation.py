"""Action ``alert_evaluation``: ask an alert's question over the documents that are there (contract 4.8).

A sweep. Its execution is recorded whether the condition held or not, as a result of the alert and as an execution
of its retriever, under one id, which derives from the job. While the condition goes on to hold, that is one event:
it is told once, then by the renotify interval (``streams.engines.rules.sweep``), on the clock of nominal times.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.events.alert_result import AlertHit, AlertResultRecord, Found, encode_alert_result
from schemas.headers import CauseDepthError, with_cause
from schemas.ids import decided_base, document_key, execution_id
from schemas.topics import ALERT_RESULTS
from streams.act.actions.action import Finish, finished
from streams.act.actions.resources import needed
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.outcome import Outcome
from streams.act.work import Work
from streams.engines.retrieval.errors import InputError, PlanError
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.found import found_rows, run_record
from streams.engines.retrieval.execution.prepare import prepare
from streams.engines.retrieval.execution.verdict import Weighed, unit_score, weigh
from streams.engines.retrieval.execution.windowed import has_window
from streams.engines.rules.decision import Decision
from streams.engines.rules.sweep import SweepState, decide
from streams.retrieval.running import Asked, record_execution, run_stored
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, current_version
from streams.runtime.outbox import enqueue

_NOTHING: Final = Found(0, [], {})


@dataclass(frozen=True, slots=True)
class _Swept:
    """What a sweep found."""

    alert: StoredDefinition
    retriever: StoredDefinition
    execution: Execution
    weighed: Weighed
    created_at: datetime
    completed_at: datetime


async def run(work: Work) -> Finish:
    """Sweep the alert. A failure of its retriever is the job's; a disabled alert is left alone."""
    command, config = work.job.command, work.job.command.action_config
    created_at = work.context.clock()
    async with work.read() as connection:
        alert = await needed(connection, "alert", command.namespace_id, config.get("alert_id"))
        if (reason := _left_alone(alert)) is not None:
            return finished(Outcome(facts={"alert_id": alert.record.id, "evaluated": False, "reason": reason}))
        retriever = await needed(connection, "retriever", command.namespace_id, alert.body.get("retriever_id"))
        try:
            asked = Asked(
                command.namespace_id, prepare(retriever.body), retriever.body, alert.body.get("inputs") or {}, None
            )
            execution, _ = await run_stored(connection, asked, now=command.nominal_at, seed=command.job_id)
        except (InputError, PlanError) as refused:
            raise ActionError(f"alert {alert.record.id}: {refused}") from refused
    if execution.error is not None:
        raise ActionError(f"alert {alert.record.id}: its retriever failed: {execution.error}")
    weighed = weigh(alert.body, execution.rows)
    swept = _Swept(alert, retriever, execution, weighed, created_at, work.context.clock())

    async def finish(connection: Connection, now: datetime) -> Outcome:
        return await _record(connection, work.job, swept, now)

    return finish


def _left_alone(alert: StoredDefinition) -> str | None:
    if alert.body.get("enabled") is False:
        return "the alert is disabled"
    if alert.body.get("source") == "system":
        raise ActionError(f"alert {alert.record.id} watches the system; there is nothing to sweep")
    if has_window(alert.body):
        raise ActionError(
            f"alert {alert.record.id} has window_seconds: it is decided as documents arrive, and not by a sweep"
        )
    return None


async def _record(connection: Connection, job: Job, swept: _Swept, now: datetime) -> Outcome:
    """The writes of a sweep, in the transaction of its outcome."""
    alert, weighed = swept.alert, swept.weighed
    triggered = weighed.fired is not None
    told = await _told(connection, job, alert, triggered, now)
    version = await current_version(connection)
    base = decided_base(version.epoch, alert.record.namespace_id, alert.record.id, "sweep", job.job_id)
    record = AlertResultRecord(
        base=base,
        namespace_id=alert.record.namespace_id,
        collection_id=(swept.retriever.body.get("collection_identifiers") or [""])[0],
        document_id="",
        source_topic="",
        source_partition=0,
        source_offset=0,
        appended_at=now.replace(microsecond=now.microsecond // 1_000 * 1_000),
        occurred_at=job.command.nominal_at,
        executed_at=swept.completed_at,
        duration_ms=max(0, (swept.completed_at - swept.created_at) // timedelta(milliseconds=1)),
        definitions_version=version.number,
        hits=[_hit(swept, told)],
        caused_by=_causes(job),
    )
    key = document_key(record.namespace_id, record.collection_id, record.document_id)
    await enqueue(connection, ALERT_RESULTS, key, encode_alert_result(record))
    identifier = execution_id(base, alert.record.number)
    run = run_record(
        swept.execution,
        execution_id=identifier,
        namespace_id=record.namespace_id,
        retriever_id=swept.retriever.record.id,
        alert_id=alert.record.id,
        reason=weighed.reason,
        created_at=swept.created_at,
        completed_at=swept.completed_at,
        position={},
    )
    await record_execution(connection, run)
    facts = {
        "alert_id": alert.record.id,
        "evaluated": True,
        "execution_id": identifier,
        "triggered": triggered,
        "results": weighed.count,
        "reason": weighed.reason,
        "told": told.fire,
        "told_reason": told.reason,
    }
    return Outcome(num_documents=weighed.count, facts=facts)


def _hit(swept: _Swept, told: Decision[SweepState]) -> AlertHit:
    rows, fired = swept.execution.rows, swept.weighed.fired
    first = rows[0] if rows else None
    return AlertHit(
        alert_number=swept.alert.record.number,
        alert_id=swept.alert.record.id,
        alert_version=swept.alert.record.version.number,
        retriever_id=swept.retriever.record.id,
        score=unit_score(None if first is None else first.score),
        reason=swept.weighed.reason,
        matched_features=dict(first.matched) if first is not None and first.matched else None,
        found=found_rows(rows, {}) if rows else _NOTHING,
        triggered=fired is not None,
        held=None if told.fire or fired is None else told.reason,
    )


async def _told(
    connection: Connection, job: Job, alert: StoredDefinition, triggered: bool, now: datetime
) -> Decision[SweepState]:
    """Whether this sweep is told, by what the sweeps before it were. One that comes after a later one changes
    nothing; a sweep that a clock ahead of ``now`` has decided is no later one, and was told now at the latest."""
    key, at = (alert.record.namespace_id, alert.record.id), job.command.nominal_at
    await connection.execute(
        "INSERT INTO alert_sweeps (namespace_id, alert_id, told, swept_at) VALUES (%s, %s, false, '-infinity')"
        " ON CONFLICT DO NOTHING",
        key,
    )
    cursor = await connection.execute(
        "SELECT told, last_fired_at, swept_at > %(at)s AND swept_at <= %(latest)s, swept_at > %(latest)s"
        " FROM alert_sweeps WHERE (namespace_id, alert_id) = (%(namespace)s, %(alert)s) FOR UPDATE",
        {"at": at, "latest": max(at, now + CLOCKS_DIFFER), "namespace": key[0], "alert": key[1]},
    )
    row = await cursor.fetchone()
    assert row is not None
    told, last_fired_at, later, ahead = row
    state = SweepState(min(last_fired_at, at) if ahead and last_fired_at is not None else last_fired_at, told)
    if later:
        return Decision(False, "a later sweep has been decided before", state)
    body = alert.body
    decision = decide(
        state, triggered, at, body.get("cooldown_seconds") or 0, body.get("renotify_interval_seconds")
    )
    await connection.execute(
        "UPDATE alert_sweeps SET told = %s, last_fired_at = %s, swept_at = %s"
        " WHERE (namespace_id, alert_id) = (%s, %s)",
        (decision.new_state.told, decision.new_state.last_fired_at, at, *key),
    )
    return decision


def _causes(job: Job) -> tuple[str, ...]:
    """What the sweep is the effect of: its trigger, and what fired that."""
    try:
        return with_cause(job.command.caused_by, job.command.trigger_id)
    except CauseDepthError as error:
        raise ActionError(str(error)) from error
