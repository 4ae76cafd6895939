"""Scheduled alerts: swept one after the other at a fixed interval (contract 4.2, 4.3, 4.8).

An alert attached as ``scheduled`` is evaluated over the stored documents every ``alert_sweep_seconds``, the first
time at once. Alerts are spread over the interval by their ids. One with an active trigger of its own
(``alert_evaluation``) is left to that. The job's id derives from the alert and the nominal time, so each is queued
once however many stations run; one that was missed is not caught up, and none is queued while the last is at work.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.events.trigger import TriggerCommand
from schemas.times import format_instant
from streams.engines.rules import grid
from streams.engines.rules.commands import job_id
from streams.runtime import metrics
from streams.runtime.database import Connection, Database, columns
from streams.runtime.definitions import current_version
from streams.runtime.faults import fault
from streams.runtime.jobs import queue_jobs

ACTION: Final = "alert_evaluation"
LOOK_EVERY: Final = timedelta(seconds=1)
BATCH: Final = 500
"""Most sweeps queued in one transaction."""

# Collections with such attachments have an index of their own.
_SCHEDULED = """
SELECT DISTINCT a.namespace_id, a.id
FROM definitions c CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(c.body -> 'alert_applications') WHEN 'array' THEN c.body -> 'alert_applications'
    ELSE '[]'::jsonb END) AS application
JOIN definitions a ON a.kind = 'alert' AND a.namespace_id = c.namespace_id
 AND a.id = application ->> 'alert_id' AND a.deleted_at IS NULL
 AND a.body -> 'enabled' IS DISTINCT FROM 'false'::jsonb
WHERE c.kind = 'collection' AND c.deleted_at IS NULL
  AND c.body -> 'alert_applications' @> '[{"execution_mode": "scheduled"}]'
  AND c.body -> 'enabled' IS DISTINCT FROM 'false'::jsonb AND application ->> 'execution_mode' = 'scheduled'
ORDER BY 1, 2
"""

# Alerts whose last sweep is over and that no trigger of their own evaluates.
_FREE = """
SELECT s.namespace_id, s.alert_id
FROM unnest(%s::text[], %s::text[]) AS s (namespace_id, alert_id)
WHERE NOT EXISTS (
    SELECT 1 FROM jobs WHERE jobs.trigger_id = s.alert_id AND jobs.status IN ('pending', 'processing')
) AND NOT EXISTS (
    SELECT 1 FROM definitions d JOIN trigger_state t ON t.trigger_id = d.id AND t.status = 'active'
    WHERE d.kind = 'trigger' AND d.namespace_id = s.namespace_id AND d.deleted_at IS NULL
      AND d.body ->> 'action_type' = 'alert_evaluation' AND d.body -> 'action_config' ->> 'alert_id' = s.alert_id
)
"""


@dataclass(frozen=True, slots=True, order=True)
class ScheduledAlert:
    """An alert that is swept."""

    namespace_id: str
    alert_id: str

    def nominal(self, now: datetime, interval_seconds: int) -> datetime:
        """The last nominal time of its sweeps not after ``now``."""
        apart = timedelta(seconds=zlib.crc32(self.alert_id.encode()) % interval_seconds)
        return grid.at_or_before(now - apart, interval_seconds) + apart


class Sweeps:
    """Queues sweeps that are due. What it remembers only saves work: the jobs' ids are the truth."""

    def __init__(self, database: Database, interval_seconds: int) -> None:
        self._database = database
        self._interval_seconds = interval_seconds
        self._looked_at: datetime | None = None
        self._version: tuple[str, int] | None = None
        self._alerts: list[ScheduledAlert] = []
        self._queued: dict[ScheduledAlert, datetime] = {}
        """The nominal time that was last seen to."""

    async def tick(self, now: datetime) -> None:
        """Queue what is due at ``now``; looks once a second."""
        if self._looked_at is not None and timedelta() <= now - self._looked_at < LOOK_EVERY:
            return
        async with self._database.connection() as connection:
            await self._refresh(connection)
        self._looked_at = now
        due = [
            (alert, nominal)
            for alert in self._alerts
            if self._queued.get(alert) != (nominal := alert.nominal(now, self._interval_seconds))
        ]
        for first in range(0, len(due), BATCH):
            await self._queue(due[first : first + BATCH], now)

    async def _refresh(self, connection: Connection) -> None:
        version = await current_version(connection)
        if self._version == (version.epoch, version.number):
            return
        cursor = await connection.execute(_SCHEDULED)
        self._alerts = [ScheduledAlert(*row) for row in await cursor.fetchall()]
        self._queued = {alert: at for alert in self._alerts if (at := self._queued.get(alert)) is not None}
        self._version = (version.epoch, version.number)

    async def _queue(self, due: Sequence[tuple[ScheduledAlert, datetime]], now: datetime) -> None:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                _FREE, columns(((alert.namespace_id, alert.alert_id) for alert, _ in due), 2)
            )
            free = {ScheduledAlert(*row) for row in await cursor.fetchall()}
            fresh = await queue_jobs(
                connection, [_command(alert, nominal, now) for alert, nominal in due if alert in free]
            )
            await fault("trigger:before-commit")
        metrics.TRIGGER_FIRES.labels("sweep").inc(len(fresh))
        self._queued.update(due)


def _command(alert: ScheduledAlert, nominal: datetime, now: datetime) -> TriggerCommand:
    return TriggerCommand(
        job_id=job_id(alert.alert_id, nominal),
        trigger_id=alert.alert_id,
        namespace_id=alert.namespace_id,
        family="trigger",
        action_type=ACTION,
        action_config={"alert_id": alert.alert_id},
        nominal_at=nominal,
        triggered_at=now,
        reason=f"scheduled alert, due at {format_instant(nominal)}",
    )
