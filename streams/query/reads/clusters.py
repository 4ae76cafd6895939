"""Runs of one cluster. act writes them where they are read: they are work of its own, not a view."""

from datetime import datetime

from psycopg.rows import class_row

from streams.query.compose.rows import ClusterRun
from streams.runtime.database import Connection, fetch_value
from streams.runtime.list_counts import listed

_SELECT = (
    "SELECT r.run_id, r.cluster_id, coalesce(j.status, r.status) AS status, r.num_clusters, r.num_points,"
    " r.metrics, r.centroids, r.created_at, coalesce(r.completed_at, j.finished_at) AS completed_at, j.error,"
    " r.mode, r.detail, r.job_id, coalesce(j.progress, 1) AS progress,"
    " coalesce(j.progress_message, '') AS progress_message"
    " FROM cluster_runs r LEFT JOIN jobs j ON j.job_id = r.job_id"
    " WHERE r.namespace_id = %(namespace)s AND r.cluster_id = %(cluster)s"
)


async def newest(
    connection: Connection,
    namespace_id: str,
    cluster_id: str,
    *,
    limit: int,
    offset: int = 0,
    before: tuple[datetime, str] | None = None,
) -> list[ClusterRun]:
    """Runs, newest first, from an offset or behind a run."""
    moment, run_id = before or (None, None)
    async with connection.cursor(row_factory=class_row(ClusterRun)) as cursor:
        await cursor.execute(
            f"{_SELECT} AND (%(moment)s::timestamptz IS NULL OR"
            " (r.created_at, r.run_id) < (%(moment)s::timestamptz, %(run)s::text))"
            " ORDER BY r.created_at DESC, r.run_id DESC OFFSET %(offset)s LIMIT %(limit)s".encode(),
            {
                "namespace": namespace_id,
                "cluster": cluster_id,
                "moment": moment,
                "run": run_id,
                "offset": offset,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def run(connection: Connection, namespace_id: str, cluster_id: str, run_id: str) -> ClusterRun | None:
    """One run."""
    async with connection.cursor(row_factory=class_row(ClusterRun)) as cursor:
        await cursor.execute(
            f"{_SELECT} AND r.run_id = %(run)s".encode(),
            {"namespace": namespace_id, "cluster": cluster_id, "run": run_id},
        )
        return await cursor.fetchone()


async def count(connection: Connection, namespace_id: str, cluster_id: str) -> int:
    """How many runs there are."""
    return await listed(connection, "cluster_run", namespace_id, cluster_id)


async def has_runs(connection: Connection, namespace_id: str, cluster_id: str) -> bool:
    """Whether there are runs under an id: those of a trigger with a configuration of its own have one that is no
    cluster's."""
    return bool(
        await fetch_value(
            connection,
            "SELECT EXISTS (SELECT FROM cluster_runs WHERE namespace_id = %s AND cluster_id = %s)",
            (namespace_id, cluster_id),
        )
    )


async def newest_completed(connection: Connection, namespace_id: str, cluster_id: str) -> ClusterRun | None:
    """The newest run that completed."""
    async with connection.cursor(row_factory=class_row(ClusterRun)) as cursor:
        await cursor.execute(
            f"{_SELECT} AND r.status = 'completed' ORDER BY r.created_at DESC, r.run_id DESC LIMIT 1".encode(),
            {"namespace": namespace_id, "cluster": cluster_id},
        )
        return await cursor.fetchone()
