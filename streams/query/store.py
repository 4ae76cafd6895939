"""The view's writes: one batch of rows, inside the caller's transaction. Repeats change nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

from psycopg.errors import CheckViolation, UniqueViolation

from streams.query.partitions import ensure_days, share_days
from streams.query.results import (
    COUNT_COLUMNS,
    COUNT_TYPES,
    DOCUMENT_COLUMNS,
    DOCUMENT_TYPES,
    EXECUTION_COLUMNS,
    EXECUTION_TYPES,
    Alert,
    Place,
    Result,
    count_row,
)
from streams.query.rows import Row, Rows
from streams.query.waking import CHANNEL
from streams.runtime.binary_copy import columns_of, copy_rows, parameters, staging
from streams.runtime.database import Connection, notify

# The first record of an execution stays (its id is derived, a later one is a repeat). Counters follow the rows
# really inserted; in order, so that two workers cannot lock two counters crosswise.
_COUNT = """
INSERT INTO alert_execution_counts AS c (alert_number, namespace_id, alert_id, executions, newest_at, newest_base)
{counted} ORDER BY alert_number
ON CONFLICT (alert_number) DO UPDATE SET executions = c.executions + EXCLUDED.executions,
    newest_at = CASE WHEN {newer} THEN EXCLUDED.newest_at ELSE c.newest_at END,
    newest_base = CASE WHEN {newer} THEN EXCLUDED.newest_base ELSE c.newest_base END
"""
_NEWER = "c.newest_at IS NULL OR (EXCLUDED.newest_at, EXCLUDED.newest_base) > (c.newest_at, c.newest_base)"
_COUNT_COPIED = _COUNT.format(counted=f"SELECT {COUNT_COLUMNS} FROM incoming_alert_execution_counts", newer=_NEWER)
_COUNT_ADDED = _COUNT.format(
    counted="SELECT alert_number, min(namespace_id), min(alert_id), count(*), max(appended_at),"
    " (array_agg(base ORDER BY appended_at DESC, base DESC))[1] FROM added GROUP BY alert_number",
    newer=_NEWER,
)
_COUNT_FEW = _COUNT.format(
    counted=f"SELECT * FROM unnest({parameters(COUNT_TYPES)}) AS counted ({COUNT_COLUMNS})",
    newer=_NEWER,
).encode()
_INSERT = "INSERT INTO {table} ({columns}) SELECT * FROM unnest({values})"
_INSERT_DOCUMENTS = _INSERT.format(
    table="result_documents", columns=DOCUMENT_COLUMNS, values=parameters(DOCUMENT_TYPES)
).encode()
_INSERT_EXECUTIONS = _INSERT.format(
    table="alert_executions", columns=EXECUTION_COLUMNS, values=parameters(EXECUTION_TYPES)
).encode()
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


FEW: Final = 500
"""Executions that parameters of statements write faster than COPY does, whose round trips cost more then."""
NotAsExpected: Final = (UniqueViolation, CheckViolation)
"""What :func:`write_few` raises where something is there already, or a day is not."""


async def write(connection: Connection, rows: Rows) -> None:
    """Add a batch to the view."""
    merging = await _copy_results(connection, rows.results) if rows.results else []
    async with connection.pipeline():
        for merge in merging:
            await connection.execute(merge.encode())
        await _write_others(connection, rows)


def are_few(rows: Rows) -> bool:
    """Whether a batch is one for :func:`write_few`: small, and no document part's place is to be claimed."""
    return sum(len(result.alerts) for result in rows.results) <= FEW and not any(
        result.keyed for result in rows.results
    )


async def write_few(connection: Connection, rows: Rows) -> None:
    """:func:`write` for a batch with :func:`are_few`, in one round trip, provided that its results are new and the
    partitions of their days are there. Else raises one of :data:`NotAsExpected`, and the caller's transaction is
    lost."""
    async with connection.pipeline():
        if rows.results:
            await share_days(connection)
            placed = [(result, result.place) for result in rows.results]
            for statement, types, parts in (
                (_INSERT_DOCUMENTS, DOCUMENT_TYPES, [result.document_row(place) for result, place in placed]),
                (_INSERT_EXECUTIONS, EXECUTION_TYPES, [result.execution_rows(place) for result, place in placed]),
                (_COUNT_FEW, COUNT_TYPES, _counted(placed, ())),
            ):
                values = columns_of(connection, b"".join(parts), types)
                await connection.execute(statement, values, prepare=True)
        await _write_others(connection, rows)


async def _write_others(connection: Connection, rows: Rows) -> None:
    """What is not of results, and that there are some."""
    if rows.results:
        await notify(connection, CHANNEL)
    for statement, values in (
        (_ADD_PROGRESS, [(*key, *told) for key, told in rows.progress.items()]),
        (_ADD_TRIGGER, rows.triggers),
        (_ADD_RETRIEVER, rows.retrievers),
        (_ADD_DELIVERY, rows.deliveries),
    ):
        if values:
            # Ordered by key, so that two workers cannot lock two rows crosswise; stable, so that of equal
            # keys the first stays first.
            ordered: list[Row] = sorted(values, key=_key)
            async with connection.cursor() as cursor:
                await cursor.executemany(statement.encode(), ordered)


def _key(row: Row) -> str:
    return str(row[:3])


async def _copy_results(connection: Connection, results: Sequence[Result]) -> list[str]:
    """Results whose document part is new are copied in as they are; where one turns out not to be, and for those
    that say a part again, rows go through staging tables. Returns what is to be said then."""
    claimed = await _claim(connection, [result for result in results if result.keyed])
    placed = [(result, claimed.get(result.base, result.place)) for result in results]
    async with connection.pipeline():
        counts = await staging(connection, "alert_execution_counts")
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
        await copy_rows(connection, counts, COUNT_COLUMNS, _counted(fresh, gone))
        merging.append(_COUNT_COPIED)
    if again:
        for table in ("result_documents", "alert_executions"):
            await staging(connection, table)
        await _copy(connection, "incoming_", again)
        merging += [_MERGE_DOCUMENTS, _MERGE_EXECUTIONS]
    return merging


async def _copy(connection: Connection, prefix: str, placed: Sequence[tuple[Result, Place]]) -> None:
    if placed:
        documents = (result.document_row(place) for result, place in placed)
        await copy_rows(connection, f"{prefix}result_documents", DOCUMENT_COLUMNS, documents)
        executions = (result.execution_rows(place) for result, place in placed)
        await copy_rows(connection, f"{prefix}alert_executions", EXECUTION_COLUMNS, executions)


def _counted(added: Sequence[tuple[Result, Place]], gone: Iterable[Result]) -> list[bytes]:
    """Rows that count executions; of those whose day is gone only that there were some."""
    counted = Counter(chain.from_iterable(result.alerts for result, _ in added))
    counted.update(dict.fromkeys(chain.from_iterable(result.alerts for result in gone), 0))
    newest: dict[Alert, tuple[datetime, bytes]] = {}
    for at, result in sorted(((place.appended_at, result) for result, place in added), key=_age):
        newest.update(dict.fromkeys(result.alerts, (at, result.base)))
    rows: dict[int, tuple[Alert, int, tuple[datetime, bytes] | None]] = {}
    for alert, more in counted.items():
        # Several, where its definition changed.
        _, had, until = rows.get(alert.number, (alert, 0, None))
        places = [place for place in (until, newest.get(alert)) if place is not None]
        rows[alert.number] = (alert, had + more, max(places, default=None))
    return [count_row(*row) for row in rows.values()]


def _age(item: tuple[datetime, Result]) -> tuple[datetime, bytes]:
    return item[0], item[1].base


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
