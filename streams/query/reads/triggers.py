"""The history of one trigger."""

from psycopg.rows import class_row

from schemas.events.trigger import TriggerFamily
from streams.query.compose.rows import TriggerRun
from streams.runtime.database import Connection
from streams.runtime.list_counts import listed

_WHERE = (
    "namespace_id = %(namespace)s AND trigger_id = %(trigger)s AND family = %(family)s"
    " AND (%(status)s::text IS NULL OR status = lower(%(status)s))"
)


async def history(
    connection: Connection,
    namespace_id: str,
    trigger_id: str,
    family: TriggerFamily,
    *,
    status: str | None,
    offset: int,
    limit: int,
) -> tuple[list[TriggerRun], int]:
    """Executions of a trigger, newest first, and how many there are of that status (in any case of letters)."""
    parameters = {
        "namespace": namespace_id,
        "trigger": trigger_id,
        "family": family,
        "status": status,
        "offset": offset,
        "limit": limit,
    }
    total = await listed(
        connection, "trigger_execution", namespace_id, trigger_id, family=family, status=status and status.lower()
    )
    async with connection.cursor(row_factory=class_row(TriggerRun)) as cursor:
        await cursor.execute(
            "SELECT job_id, nominal_at, triggered_at, status, execution_time_ms, error, num_clusters,"
            " num_documents, reason, body->>'fired_by' AS fired_by"
            f" FROM trigger_executions WHERE {_WHERE} ORDER BY triggered_at DESC, nominal_at DESC, job_id DESC"
            " OFFSET %(offset)s LIMIT %(limit)s".encode(),
            parameters,
        )
        return await cursor.fetchall(), total
