"""Event triggers on ``alert_triggered`` (contract 4.8): executions of alerts are counted where ``alert-results``
is read, in one transaction with the position.

Match may tell an execution twice after a crash, so those that were counted are remembered for as long as the log
that could repeat them. A trigger does not count what is its own effect (design section 3, Loops).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.headers import CauseDepthError, with_cause
from schemas.topics import ALERT_RESULTS
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.event_trigger import ALERT_TRIGGERED, EventTrigger, Moment, decide
from streams.engines.rules.events import EventState
from streams.runtime import metrics
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, select_definitions
from streams.runtime.event_counters import lock_counters, save_counter
from streams.runtime.jobs import queue_jobs, tell_triggers

log = structlog.get_logger(__name__)

_FORGET_EVERY: Final = timedelta(minutes=10)
_KEPT: Final = ALERT_RESULTS.retention or timedelta(days=30)
_WATCHING: Final = (
    "d.kind IN ('trigger', 'cluster_trigger') AND d.namespace_id = ANY(%(namespaces)s)"
    f" AND d.body->'schedule_config'->>'event_type' = '{ALERT_TRIGGERED}' ORDER BY d.id"
)


class AlertEvents:
    """Counts executions of alerts for the triggers that watch them."""

    def __init__(self) -> None:
        self._forgot_at: datetime | None = None

    async def count(self, connection: Connection, results: Sequence[AlertResultRecord], now: datetime) -> None:
        """Count a batch, in the transaction that moves its position, and queue what fires."""
        namespaces = {result.namespace_id for result in results if result.hits}
        if not namespaces:
            return
        watching = await select_definitions(connection, _WATCHING, {"namespaces": sorted(namespaces)})
        if not watching:
            return
        found = _counted(watching, results)
        if not found:
            return
        fresh = await _remember(
            connection, {execution for moments in found.values() for execution in moments}, now
        )
        await self._fire(connection, watching, found, fresh, now)
        if self._forgot_at is None or now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            await connection.execute("DELETE FROM alert_events WHERE counted_at < %s", (now - _KEPT,))

    async def _fire(
        self,
        connection: Connection,
        watching: Iterable[StoredDefinition],
        found: dict[str, dict[str, Moment]],
        fresh: set[str],
        now: datetime,
    ) -> None:
        triggers = {stored.record.id: stored.record for stored in watching}
        for trigger_id, counter in (await lock_counters(connection, found)).items():
            moments = [moment for execution, moment in found[trigger_id].items() if execution in fresh]
            state, commands = decide(EventTrigger.of(triggers[trigger_id]), EventState(*counter), moments, now)
            await save_counter(connection, trigger_id, (state.counter, state.fire_sequence, state.fired_at))
            queued = await queue_jobs(connection, commands)
            await tell_triggers(connection, queued)
            metrics.TRIGGER_FIRES.labels("event").inc(len(queued))


def _counted(
    watching: Iterable[StoredDefinition], results: Iterable[AlertResultRecord]
) -> dict[str, dict[str, Moment]]:
    """For every trigger the executions it counts, in record order, each with its moment."""
    by_namespace: dict[str, list[tuple[EventTrigger, frozenset[str]]]] = defaultdict(list)
    for stored in watching:
        try:
            trigger = EventTrigger.of(stored.record)
        except ScheduleError as error:
            log.warning("trigger_not_watched", trigger_id=stored.record.id, error=str(error))
            continue
        watched = frozenset(stored.body.get("watched_collection_ids") or ())
        by_namespace[trigger.namespace_id].append((trigger, watched))
    found: dict[str, dict[str, Moment]] = defaultdict(dict)
    for result in results:
        for execution, hit in result.executions():
            for trigger, watched in by_namespace[result.namespace_id]:
                if hit.triggered and _counts(trigger, watched, result, hit):
                    moment = Moment(result.appended_at, _causes(result, hit))
                    found[trigger.trigger_id].setdefault(execution, moment)
    return found


def _counts(trigger: EventTrigger, watched: frozenset[str], result: AlertResultRecord, hit: AlertHit) -> bool:
    if trigger.trigger_id in result.caused_by:
        return False
    if trigger.alert_id is not None and hit.alert_id != trigger.alert_id:
        return False
    # What a sweep found has no collection of its own: it counts for those that name the alert.
    return result.collection_id in watched or (not result.collection_id and trigger.alert_id is not None)


def _causes(result: AlertResultRecord, hit: AlertHit) -> tuple[str, ...]:
    try:
        return with_cause(result.caused_by, hit.alert_id)
    except CauseDepthError:
        # The action itself refuses to write on such a chain, with an error in the trigger's history.
        return result.caused_by


async def _remember(connection: Connection, executions: set[str], now: datetime) -> set[str]:
    """Those of these that were not counted before; from now on all were."""
    cursor = await connection.execute(
        "INSERT INTO alert_events (execution_id, counted_at) SELECT unnest(%s::text[]), %s"
        " ON CONFLICT DO NOTHING RETURNING execution_id",
        (sorted(executions), now),
    )
    return {row[0] for row in await cursor.fetchall()}
