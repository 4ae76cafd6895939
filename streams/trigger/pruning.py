"""Forgets ended jobs and checks that are old, and what deleted triggers kept. Histories of triggers are read from
the view, not from here.
"""

from datetime import datetime, timedelta
from typing import Final

from streams.runtime.database import Database

EVERY: Final = timedelta(hours=1)
BATCH: Final = 5_000
"""Most rows deleted in one transaction."""

# An action goes on from where the last run of its trigger ended, and a sweep that is due is known by the id of its
# job: so the newest of each kind stays. A run of a cluster that is kept is told with its job.
_JOBS = """
DELETE FROM jobs WHERE job_id = ANY (ARRAY(
    SELECT j.job_id FROM jobs j
    WHERE j.finished_at < %(before)s AND j.status NOT IN ('pending', 'processing')
      AND EXISTS (
        SELECT 1 FROM jobs n
        WHERE n.trigger_id = j.trigger_id AND n.triggered_at > j.triggered_at
          AND n.status = j.status AND n.action_type = j.action_type
          AND coalesce(n.started_at, n.triggered_at) >= coalesce(j.started_at, j.triggered_at)
      )
      AND NOT EXISTS (SELECT 1 FROM cluster_runs r WHERE r.job_id = j.job_id)
    LIMIT %(most)s
))
"""
_CHECKS = """
DELETE FROM trigger_checks WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM trigger_checks WHERE checked_at < %(before)s LIMIT %(most)s
))
"""
# A deleted trigger checks no more.
_BUCKETS = """
DELETE FROM trigger_buckets WHERE ctid = ANY (ARRAY(
    SELECT b.ctid FROM trigger_buckets b
    JOIN trigger_state s ON s.trigger_id = b.trigger_id
    JOIN definitions d ON d.kind = s.family AND d.namespace_id = s.namespace_id AND d.id = s.trigger_id
    WHERE d.deleted_at < %(before)s
    LIMIT %(most)s
))
"""


class Pruning:
    """Deletes what is older than so many days, once an hour."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self._kept = timedelta(days=days)
        self._pruned_at: datetime | None = None

    async def tick(self, now: datetime) -> None:
        """Delete what is old at ``now``, if it is time to look."""
        if self._pruned_at is not None and timedelta() <= now - self._pruned_at < EVERY:
            return
        for query in (_JOBS, _CHECKS, _BUCKETS):
            while await self._prune(query, now - self._kept) == BATCH:
                pass
        self._pruned_at = now

    async def _prune(self, query: str, before: datetime) -> int:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(query.encode(), {"before": before, "most": BATCH})
        return cursor.rowcount
