"""The view's writes: one batch of rows, inside the caller's transaction. Repeats change nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.errors import UniqueViolation

from streams.query.partitions import ensure_days
from streams.query.results import (
    COUNT_COLUMNS,
    DOCUMENT_COLUMNS,
    EXECUTION_COLUMNS,
    Place,
    Result,
    count_row,
    counted,
)
from streams.query.rows import Row, Rows
from streams.query.waking import CHANNEL
from streams.runtime.binary_copy import copy_rows, parameters, staging
from streams.runtime.database import Connection, notify

# The first record of an execution stays (its id is derived, a later one is a repeat). Counters follow the rows
# really inserted; in order, so that two workers cannot lock two counters crosswise.
_NEWER: Final = "c.newest_at IS NULL OR (EXCLUDED.newest_at, EXCLUDED.newest_base) > (c.newest_at, c.newest_base)"


def adding_counts(counted: str) -> str:
    """SQL: add to the counters what a query gives, at most one row for each."""
    return f"""
INSERT INTO alert_execution_counts AS c ({COUNT_COLUMNS})
{counted} ORDER BY alert_number
ON CONFLICT (alert_number) DO UPDATE SET executions = c.executions + EXCLUDED.executions,
    newest_at = CASE WHEN {_NEWER} THEN EXCLUDED.newest_at ELSE c.newest_at END,
    newest_base = CASE WHEN {_NEWER} THEN EXCLUDED.newest_base ELSE c.newest_base END
"""


_COUNT_COPIED: Final = adding_counts(f"SELECT {COUNT_COLUMNS} FROM incoming_alert_execution_counts")
_COUNT_ADDED: Final = adding_counts(
    "SELECT alert_number, min(namespace_id), min(alert_id), count(*), max(appended_at),"
    " (array_agg(base ORDER BY appended_at DESC, base DESC))[1] FROM added GROUP BY alert_number"
)
_MERGE_DOCUMENTS = f"""
INSERT INTO result_documents ({DOCUMENT_COLUMNS}) SELECT {DOCUMENT_COLUMNS} FROM incoming_result_documents
ON CONFLICT DO NOTHING
"""
_MERGE_EXECUTIONS = f"""
WITH added AS (
    INSERT INTO alert_executions ({EXECUTION_COLUMNS}) SELECT {EXECUTION_COLUMNS} FROM incoming_alert_executions
    ON CONFLICT DO NOTHING
    RETURNING day, base, appended_at, result_partition, result_offset, alert_number, namespace_id, alert_id
), additions AS (
    INSERT INTO result_additions (day, base, result_partition, result_offset)
    SELECT DISTINCT a.day, a.base, a.result_partition, a.result_offset FROM added a
    JOIN result_documents d ON d.day = a.day AND d.base = a.base
     AND (d.result_partition, d.result_offset) <> (a.result_partition, a.result_offset)
    ON CONFLICT DO NOTHING
)
{_COUNT_ADDED}
"""


@dataclass(frozen=True, slots=True)
class Upsert:
    """How rows of one kind are added to the view."""

    table: str
    """And what it is called in ``conflict``."""
    columns: str
    types: str
    """Of the columns, by spaces."""
    key: int
    """How many of the columns, the first, are the key."""
    conflict: str
    """What becomes of a row that is there."""

    def one(self) -> str:
        """SQL: add the row that is the parameters."""
        return f"INSERT INTO {self.table} ({self.columns}) VALUES ({parameters(self.types)}) {self.conflict}"

    def several(self) -> str:
        """SQL: add rows with different keys, a parameter for each column."""
        values = parameters(self.types)
        return f"INSERT INTO {self.table} ({self.columns}) SELECT * FROM unnest({values}) {self.conflict}"


_PROGRESS: Final = Upsert(
    "match_progress AS p",
    "partition, namespace_id, collection_id, next_offset, occurred_at, appended_at, definitions_version",
    "int4 text text int8 timestamptz timestamptz int8",
    3,
    """ON CONFLICT (partition, namespace_id, collection_id) DO UPDATE SET
    next_offset = greatest(p.next_offset, EXCLUDED.next_offset),
    occurred_at = greatest(p.occurred_at, EXCLUDED.occurred_at),
    appended_at = greatest(p.appended_at, EXCLUDED.appended_at),
    definitions_version = greatest(p.definitions_version, EXCLUDED.definitions_version)""",
)
_TRIGGERS: Final = Upsert(
    "trigger_executions AS t",
    "job_id, trigger_id, namespace_id, family, action_type, status, revision, nominal_at, triggered_at, reason,"
    " finished_at, execution_time_ms, error, num_clusters, num_documents, body",
    "text text text text text text int4 timestamptz timestamptz text timestamptz int4 text int4 int4 json",
    1,
    """ON CONFLICT (job_id) DO UPDATE SET
    status = EXCLUDED.status, revision = EXCLUDED.revision, reason = EXCLUDED.reason,
    finished_at = EXCLUDED.finished_at, execution_time_ms = EXCLUDED.execution_time_ms, error = EXCLUDED.error,
    num_clusters = EXCLUDED.num_clusters, num_documents = EXCLUDED.num_documents, body = EXCLUDED.body
WHERE EXCLUDED.revision > t.revision""",
)
_RETRIEVERS: Final = Upsert(
    "retriever_executions",
    "execution_id, namespace_id, retriever_id, status, created_at, completed_at, detail",
    "text text text text timestamptz timestamptz json",
    1,
    "ON CONFLICT DO NOTHING",
)
_DELIVERIES: Final = Upsert(
    "delivery_status AS d",
    "execution_id, channel_index, namespace_id, channel_type, status, attempt, error, at",
    "text int4 text text text int4 text timestamptz",
    2,
    """ON CONFLICT (execution_id, channel_index) DO UPDATE SET
    status = EXCLUDED.status, attempt = EXCLUDED.attempt, error = EXCLUDED.error, at = EXCLUDED.at
WHERE (EXCLUDED.attempt, EXCLUDED.at) > (d.attempt, d.at)""",
)


def upserts(rows: Rows) -> list[tuple[Upsert, list[Row]]]:
    """What of a batch is not of results, by kind. Ordered by key, so that two workers cannot lock two rows
    crosswise; of equal keys the first stays first."""
    found: list[tuple[Upsert, list[Row]]] = [
        (_PROGRESS, [(*key, *told) for key, told in rows.progress.items()]),
        (_TRIGGERS, rows.triggers),
        (_RETRIEVERS, rows.retrievers),
        (_DELIVERIES, rows.deliveries),
    ]
    return [
        (upsert, sorted(values, key=lambda row, width=upsert.key: row[:width]))  # type: ignore[misc]
        for upsert, values in found
        if values
    ]


async def write(connection: Connection, rows: Rows) -> None:
    """Add a batch to the view."""
    merging = await _copy_results(connection, rows.results) if rows.results else []
    async with connection.pipeline():
        for merge in merging:
            await connection.execute(merge.encode())
        if rows.results:
            await notify(connection, CHANNEL)
        for upsert, values in upserts(rows):
            async with connection.cursor() as cursor:
                await cursor.executemany(upsert.one().encode(), values)


async def _copy_results(connection: Connection, results: Sequence[Result]) -> list[str]:
    """Results whose document part is new are copied in as they are; where one turns out not to be, and for those
    that say a part again, rows go through staging tables. Returns what is to be said then."""
    claimed = await _claim(connection, [result for result in results if result.keyed])
    placed = [(result, claimed.get(result.base, result.place)) for result in results]
    async with connection.pipeline():
        table = await staging(connection, "alert_execution_counts")
        kept = await ensure_days(connection, {place.day for _, place in placed})
    seen: set[bytes] = set()
    fresh: list[tuple[Result, Place]] = []
    again: list[tuple[Result, Place]] = []
    gone: list[Result] = []
    for result, place in placed:
        if place.day not in kept:
            gone.append(result)
            continue
        (again if result.base in seen or place is not result.place else fresh).append((result, place))
        seen.add(result.base)
    try:
        async with connection.transaction():
            await _copy(connection, "", fresh)
    except UniqueViolation:
        fresh, again = [], [*fresh, *again]
    merging: list[str] = []
    if fresh or gone:
        await copy_rows(connection, table, COUNT_COLUMNS, map(count_row, counted(fresh, gone)))
        merging.append(_COUNT_COPIED)
    if again:
        for name in ("result_documents", "alert_executions"):
            await staging(connection, name)
        await _copy(connection, "incoming_", again)
        merging += [_MERGE_DOCUMENTS, _MERGE_EXECUTIONS]
    return merging


async def _copy(connection: Connection, prefix: str, placed: Sequence[tuple[Result, Place]]) -> None:
    if placed:
        documents = (result.document_row(place) for result, place in placed)
        await copy_rows(connection, f"{prefix}result_documents", DOCUMENT_COLUMNS, documents)
        executions = (result.execution_rows(place) for result, place in placed)
        await copy_rows(connection, f"{prefix}alert_executions", EXECUTION_COLUMNS, executions)


async def _claim(connection: Connection, keyed: Sequence[Result]) -> Mapping[bytes, Place]:
    """Where document parts with a producer's event id belong: where their first record was put, also when another
    worker is putting it there now (the key makes this one wait for its commit)."""
    if not keyed:
        return {}
    first: dict[bytes, Place] = {}
    for result in keyed:
        first.setdefault(result.base, result.place)
    bases = sorted(first)
    cursor = await connection.execute(
        "INSERT INTO result_bases (base, day, appended_at)"
        " SELECT * FROM unnest(%s::bytea[], %s::date[], %s::timestamptz[]) ON CONFLICT DO NOTHING RETURNING base",
        (bases, [first[base].day for base in bases], [first[base].appended_at for base in bases]),
        binary=True,
    )
    known = sorted(first.keys() - {row[0] for row in await cursor.fetchall()})
    if known:
        cursor = await connection.execute(
            "SELECT base, day, appended_at FROM result_bases WHERE base = ANY(%s)", (known,)
        )
        first.update({row[0]: Place(row[1], row[2]) for row in await cursor.fetchall()})
    return first
