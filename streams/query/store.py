"""The view's writes: one batch of rows, inside the caller's transaction. Repeats change nothing."""

from collections.abc import Iterable, Mapping, Sequence

from streams.query.partitions import ensure_days
from streams.query.rows import Place, Result, Row, Rows
from streams.runtime.database import Connection

_DOCUMENT = (
    "day, base, appended_at, namespace_id, collection_id, document_id, source_topic, source_partition,"
    " source_offset, occurred_at, executed_at, duration_ms, definitions_version, asset_id, truncated, document"
)
_EXECUTION = (
    "day, base, appended_at, alert_number, namespace_id, alert_id, alert_version, retriever_id, score, reason,"
    " matched_features, match_count, matches, reference_position, triggered"
)

# The first record of an execution stays (its id is derived, a later one is a repeat). Counters follow the rows
# really inserted; in order, so that two workers cannot lock two counters crosswise.
_ADD_EXECUTIONS = f"""
WITH added AS (
    INSERT INTO alert_executions ({_EXECUTION}) SELECT {_EXECUTION} FROM incoming_executions
    ON CONFLICT DO NOTHING RETURNING namespace_id, alert_id
)
INSERT INTO alert_execution_counts AS c (namespace_id, alert_id, executions)
SELECT namespace_id, alert_id, count(*) FROM added GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (namespace_id, alert_id) DO UPDATE SET executions = c.executions + EXCLUDED.executions
"""

_ADD_PROGRESS = """
INSERT INTO match_progress AS p (partition, namespace_id, collection_id, next_offset, occurred_at, appended_at,
                                 definitions_version)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (partition, namespace_id, collection_id) DO UPDATE SET
    next_offset = greatest(p.next_offset, EXCLUDED.next_offset),
    occurred_at = greatest(p.occurred_at, EXCLUDED.occurred_at),
    appended_at = greatest(p.appended_at, EXCLUDED.appended_at),
    definitions_version = greatest(p.definitions_version, EXCLUDED.definitions_version)
"""

_ADD_TRIGGER = """
INSERT INTO trigger_executions AS t (job_id, trigger_id, namespace_id, family, action_type, status, revision,
    nominal_at, triggered_at, reason, finished_at, execution_time_ms, error, num_clusters, num_documents, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (job_id) DO UPDATE SET
    status = EXCLUDED.status, revision = EXCLUDED.revision, reason = EXCLUDED.reason,
    finished_at = EXCLUDED.finished_at, execution_time_ms = EXCLUDED.execution_time_ms, error = EXCLUDED.error,
    num_clusters = EXCLUDED.num_clusters, num_documents = EXCLUDED.num_documents, body = EXCLUDED.body
WHERE EXCLUDED.revision > t.revision
"""

_ADD_RETRIEVER = """
INSERT INTO retriever_executions (execution_id, namespace_id, retriever_id, status, created_at, completed_at,
                                  detail)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_ADD_DELIVERY = """
INSERT INTO delivery_status AS d (execution_id, channel_index, namespace_id, channel_type, status, attempt, error,
                                  at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (execution_id, channel_index) DO UPDATE SET
    status = EXCLUDED.status, attempt = EXCLUDED.attempt, error = EXCLUDED.error, at = EXCLUDED.at
WHERE (EXCLUDED.attempt, EXCLUDED.at) > (d.attempt, d.at)
"""


async def write(connection: Connection, rows: Rows) -> None:
    """Add a batch to the view."""
    if rows.results:
        await _write_results(connection, rows.results)
    for statement, values in (
        (_ADD_PROGRESS, rows.progress),
        (_ADD_TRIGGER, rows.triggers),
        (_ADD_RETRIEVER, rows.retrievers),
        (_ADD_DELIVERY, rows.deliveries),
    ):
        if values:
            # Ordered by key, so that two workers cannot lock two rows crosswise; stable, so that of equal keys
            # the first stays first.
            ordered: list[Row] = sorted(values, key=_key)
            async with connection.cursor() as cursor:
                await cursor.executemany(statement.encode(), ordered)


def _key(row: Row) -> str:
    return str(row[:3])


async def _write_results(connection: Connection, results: Sequence[Result]) -> None:
    places = await _claim(connection, [result for result in results if result.keyed])
    placed = [(result, places.get(result.base, result.place)) for result in results]
    await ensure_days(connection, (place.day for _, place in placed))
    await _copy(
        connection,
        "incoming_results",
        "result_documents",
        _DOCUMENT,
        (result.document_row(place) for result, place in placed),
    )
    await connection.execute(
        f"INSERT INTO result_documents ({_DOCUMENT}) SELECT {_DOCUMENT} FROM incoming_results"
        " ON CONFLICT DO NOTHING".encode()
    )
    await _copy(
        connection,
        "incoming_executions",
        "alert_executions",
        _EXECUTION,
        (row for result, place in placed for row in result.execution_rows(place)),
    )
    await connection.execute(_ADD_EXECUTIONS.encode())


async def _claim(connection: Connection, keyed: Sequence[Result]) -> Mapping[bytes, Place]:
    """Where document parts with a producer's event id belong: where their first record was put, also when
    another worker is putting it there now (the key makes this one wait for its commit)."""
    if not keyed:
        return {}
    first: dict[bytes, Place] = {}
    for result in keyed:
        first.setdefault(result.base, result.place)
    bases = sorted(first)
    parameters = (bases, [first[base].day for base in bases], [first[base].appended_at for base in bases])
    await connection.execute(
        "INSERT INTO result_bases (base, day, appended_at)"
        " SELECT * FROM unnest(%s::bytea[], %s::date[], %s::timestamptz[]) ON CONFLICT DO NOTHING",
        parameters,
    )
    cursor = await connection.execute(
        "SELECT base, day, appended_at FROM result_bases WHERE base = ANY(%s)", (bases,)
    )
    return {row[0]: Place(row[1], row[2]) for row in await cursor.fetchall()}


async def _copy(connection: Connection, temporary: str, like: str, columns: str, rows: Iterable[Row]) -> None:
    """Put rows into a temporary table of this connection, made at its first use and emptied by every commit."""
    await connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {temporary} (LIKE {like}) ON COMMIT DELETE ROWS".encode()
    )
    async with connection.cursor().copy(f"COPY {temporary} ({columns}) FROM STDIN".encode()) as copy:
        for row in rows:
            await copy.write_row(row)
