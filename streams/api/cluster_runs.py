"""Runs of clusters on request and by themselves (contract 2.5, 4.10)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from schemas.api.base import JsonObject
from schemas.api.schedule import read_schedule
from schemas.api.task import TaskResponse
from schemas.ids import new_id
from streams.api import requested, trigger_store
from streams.api.clusters import LastRun
from streams.api.tasks import task_response
from streams.api.triggers import new_body
from streams.runtime.cluster_runs import run_id_of
from streams.runtime.database import Connection
from streams.runtime.http.access import Access
from streams.runtime.jobs import queue_job


async def queue_run(
    connection: Connection, namespace_id: str, cluster_id: str, config: JsonObject, now: datetime
) -> TaskResponse:
    """Queue one run of a cluster in the caller's transaction."""
    command = requested.run_of(cluster_id, namespace_id, "cluster", config, now)
    await queue_job(connection, command)
    additional: dict[str, Any] = {"cluster_id": cluster_id, "run_id": run_id_of(command.job_id)}
    return task_response(command.job_id, "cluster", "pending", None, additional, None)


async def add_auto_trigger(
    connection: Connection,
    access: Access,
    cluster_id: str,
    min_documents: int | None,
    cooldown_seconds: int,
    collection_ids: Sequence[str],
    now: datetime,
) -> str:
    """The event trigger of a cluster that executes by itself: it runs after ``min_documents`` new documents (one,
    if not given) in any of these collections, at most once per cooldown. Gives its id."""
    schedule = read_schedule(
        "event",
        {
            "event_type": "documents_added",
            "event_threshold": min_documents or 1,
            "cooldown_seconds": cooldown_seconds,
        },
    )
    resolved, watched = await trigger_store.resolved(
        connection, access.namespace_id, "event", schedule, list(collection_ids)
    )
    fields: JsonObject = {
        "action_type": "cluster",
        "action_config": {"cluster_id": cluster_id, "mode": "full", "assignment_threshold": 0.5},
        "trigger_type": "event",
        "schedule_config": resolved,
        "name": None,
        "description": f"Runs cluster {cluster_id} by itself (auto_execute_on_batch)",
    }
    body = new_body(fields, new_id("trigger"), access.caller.key_id, watched)
    stored = await trigger_store.create(connection, "trigger", access.namespace_id, body, "active", now)
    return stored.record.id


_NEWEST = b"""
SELECT DISTINCT ON (r.cluster_id) r.cluster_id, r.run_id, r.job_id, coalesce(j.status, r.status) AS status,
       done.num_clusters, done.num_points, r.created_at
FROM cluster_runs r
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN LATERAL (
    SELECT d.num_clusters, d.num_points FROM cluster_runs d
    WHERE d.cluster_id = r.cluster_id AND d.status = 'completed' ORDER BY d.created_at DESC, d.run_id DESC LIMIT 1
) done ON true
WHERE r.cluster_id = ANY(%s)
ORDER BY r.cluster_id, r.created_at DESC, r.run_id DESC
"""


async def newest_runs(connection: Connection, cluster_ids: Sequence[str]) -> dict[str, LastRun]:
    """The newest run of each cluster that ever was to run, with what its newest completed run found."""
    async with connection.cursor(row_factory=class_row(_Newest)) as cursor:
        await cursor.execute(_NEWEST, (list(cluster_ids),))
        return {row.cluster_id: row.run for row in await cursor.fetchall()}


class _Newest:
    """A row of the query."""

    def __init__(self, cluster_id: str, **columns: Any) -> None:
        self.cluster_id = cluster_id
        self.run = LastRun(**columns)


async def run_of(connection: Connection, cluster_id: str, run_id: str) -> tuple[str, str] | None:
    """Job and status of a run of a cluster; ``None`` when there is none."""
    cursor = await connection.execute(
        "SELECT r.job_id, coalesce(j.status, r.status) FROM cluster_runs r LEFT JOIN jobs j USING (job_id)"
        " WHERE r.cluster_id = %s AND r.run_id = %s",
        (cluster_id, run_id),
    )
    return await cursor.fetchone()


async def open_jobs(connection: Connection, cluster_id: str) -> list[str]:
    """The jobs of a cluster that wait or go on, all of them locked: who cancels one takes its trigger's state, for
    which another of that trigger may wait."""
    cursor = await connection.execute(
        "SELECT job_id FROM cluster_runs JOIN jobs j USING (job_id)"
        " WHERE cluster_id = %s AND j.status IN ('pending', 'processing') ORDER BY job_id FOR UPDATE OF j",
        (cluster_id,),
    )
    return [row[0] for row in await cursor.fetchall()]
