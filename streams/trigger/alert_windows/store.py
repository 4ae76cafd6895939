"""Rows of windows: what was added up, and how far alerts are decided. Each function works in the caller's
transaction; rows are locked in the order of their keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from streams.engines.rules.totals import Reference, Totals
from streams.engines.rules.window import Cell, WindowState
from streams.runtime.database import Connection, columns
from streams.trigger.alert_windows.folding import Bucket, Folded, Series, Source

_SERIES = "namespace_id, alert_id, collection_id, series"
_TOTALS = "documents, number_count, total, least, greatest, newest, causes"
_PLACE = "namespace_id = %s AND alert_id = %s AND collection_id = %s"
_BUCKET = f"{_SERIES}, bucket_start, partition"


async def next_offsets(connection: Connection, sources: Collection[Source]) -> dict[Source, int]:
    """How far contributions of these have been added up."""
    cursor = await connection.execute(
        "SELECT namespace_id, collection_id, source_partition, next_offset FROM alert_window_positions"
        " WHERE (namespace_id, collection_id, source_partition) IN"
        " (SELECT * FROM unnest(%s::text[], %s::text[], %s::int[])) ORDER BY 1, 2, 3 FOR UPDATE",
        columns(sources, 3),
    )
    return {Source(*row[:3]): row[3] for row in await cursor.fetchall()}


async def claim_events(connection: Connection, events: Mapping[bytes, datetime], window: timedelta) -> set[bytes]:
    """Note documents with an event id; returns those that were noted within ``window`` before."""
    rows = sorted(events.items())
    cursor = await connection.execute(
        "INSERT INTO alert_window_events AS e (base, seen_at) SELECT * FROM unnest(%s::bytea[], %s::timestamptz[])"
        " ON CONFLICT (base) DO UPDATE SET seen_at = EXCLUDED.seen_at WHERE EXCLUDED.seen_at > e.seen_at + %s"
        " RETURNING base",
        (*columns(rows, 2), window),
    )
    return set(events) - {row[0] for row in await cursor.fetchall()}


async def forget_events(connection: Connection, before: datetime) -> None:
    """Forget documents that no record still in the log can repeat."""
    await connection.execute("DELETE FROM alert_window_events WHERE seen_at < %s", (before,))


async def forget_deleted(connection: Connection) -> None:
    """Forget what was told of alerts after they were deleted: nobody decides them, so nothing else drops it."""
    for table in ("alert_window_buckets", "alert_window_begun"):
        await connection.execute(
            f"DELETE FROM {table} t WHERE EXISTS (SELECT 1 FROM definitions d WHERE d.kind = 'alert'"
            " AND d.namespace_id = t.namespace_id AND d.id = t.alert_id AND d.deleted_at IS NOT NULL)".encode()
        )


async def others(connection: Connection, known: Collection[Series]) -> set[Series]:
    """What was told for questions that no alert asks, as far as ``known`` are all that are asked."""
    values = columns(known, 4)
    found: set[Series] = set()
    for table in ("alert_window_buckets", "alert_window_begun"):
        cursor = await connection.execute(
            f"SELECT DISTINCT {_SERIES} FROM {table} WHERE ({_SERIES}) NOT IN"
            " (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]))".encode(),
            values,
        )
        found.update(Series(*row) for row in await cursor.fetchall())
    return found


async def drop(connection: Connection, series: Series) -> None:
    """Forget what was told for a question."""
    await _drop(connection, f"({_SERIES}) = (%s, %s, %s, %s)", series)


async def add(connection: Connection, folded: Folded) -> None:
    """Write what a batch adds."""
    buckets = sorted(folded.buckets)
    held = await _held(connection, buckets)
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO alert_window_buckets ({_BUCKET}, {_TOTALS})"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            f" ON CONFLICT ({_BUCKET}) DO UPDATE SET documents = EXCLUDED.documents,"
            " number_count = EXCLUDED.number_count, total = EXCLUDED.total, least = EXCLUDED.least,"
            " greatest = EXCLUDED.greatest, newest = EXCLUDED.newest, causes = EXCLUDED.causes",
            [
                (
                    *bucket.series,
                    bucket.start,
                    bucket.partition,
                    *_written(folded.buckets[bucket], held.get(bucket)),
                )
                for bucket in buckets
            ],
        )
        await cursor.executemany(
            f"INSERT INTO alert_window_begun AS b ({_SERIES}, partition, since) VALUES (%s, %s, %s, %s, %s, %s)"
            f" ON CONFLICT ({_SERIES}, partition) DO UPDATE SET since = least(b.since, EXCLUDED.since)",
            [(*series, partition, since) for (series, partition), since in sorted(folded.begun.items())],
        )
        await cursor.executemany(
            "INSERT INTO alert_window_positions AS p (namespace_id, collection_id, source_partition, next_offset)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (namespace_id, collection_id, source_partition)"
            " DO UPDATE SET next_offset = greatest(p.next_offset, EXCLUDED.next_offset)",
            [(*source, offset) for source, offset in sorted(folded.next_offsets.items())],
        )


async def _held(connection: Connection, buckets: Sequence[Bucket]) -> dict[Bucket, Totals]:
    if not buckets:
        return {}
    cursor = await connection.execute(
        f"SELECT {_BUCKET}, {_TOTALS} FROM alert_window_buckets WHERE ({_BUCKET}) IN (SELECT * FROM"
        " unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::int[])) FOR UPDATE",
        columns(((*bucket.series, bucket.start, bucket.partition) for bucket in buckets), 6),
    )
    return {Bucket(Series(*row[:4]), row[4], row[5]): _totals(row[6:]) for row in await cursor.fetchall()}


def _written(added: Totals, held: Totals | None) -> tuple[Any, ...]:
    totals = added if held is None else held.plus(added)
    newest = Jsonb([asdict(reference) for reference in totals.newest])
    return (
        totals.documents,
        totals.values,
        totals.total,
        totals.least,
        totals.greatest,
        newest,
        list(totals.causes),
    )


def _totals(row: Sequence[Any]) -> Totals:
    documents, values, total, least, greatest, newest, causes = row
    references = tuple(Reference(**one) for one in newest)
    return Totals(documents, values, total, least, greatest, references, tuple(causes))


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an alert on a collection without looking at its buckets."""

    series: Series
    through: int | None
    next_at: int | None
    entering: int | None
    """Start of the first bucket that was not decided."""
    since: int | None
    """The earliest document that was checked."""


async def standings(connection: Connection) -> dict[tuple[str, str, str], Standing]:
    """Every alert on every collection that was decided before."""
    cursor = await connection.execute(
        "SELECT w.namespace_id, w.alert_id, w.collection_id, w.series, w.through, w.next_at,"
        " (SELECT min(b.bucket_start) FROM alert_window_buckets b WHERE (b.namespace_id, b.alert_id,"
        " b.collection_id, b.series) = (w.namespace_id, w.alert_id, w.collection_id, w.series)"
        " AND (w.through IS NULL OR b.bucket_start >= w.through)),"
        " (SELECT min(b.since) FROM alert_window_begun b WHERE (b.namespace_id, b.alert_id, b.collection_id,"
        " b.series) = (w.namespace_id, w.alert_id, w.collection_id, w.series)) FROM alert_windows w"
    )
    return {tuple(row[:3]): Standing(Series(*row[:4]), *row[4:]) for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Claimed:
    """An alert on a collection, its row locked."""

    state: WindowState
    created_at: datetime
    appended_at: datetime | None
    since: int | None


async def claim(connection: Connection, series: Series, now: datetime) -> Claimed | None:
    """Lock an alert on a collection; another question than before starts anew. ``None`` when another worker holds
    it, or it is gone."""
    cursor = await connection.execute(
        "SELECT series, through, holds, told, last_fired, reminders, appended_at, created_at FROM alert_windows"
        f" WHERE {_PLACE} FOR UPDATE SKIP LOCKED",
        series[:3],
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row[0] != series.series:
        await _drop(connection, f"{_PLACE} AND series <> %s", series)
        await connection.execute(
            "UPDATE alert_windows SET series = %s, through = NULL, next_at = NULL, holds = false, told = false,"
            f" last_fired = NULL, reminders = 0, created_at = %s WHERE {_PLACE}",
            (series.series, now, *series[:3]),
        )
        row = (series.series, None, False, False, None, 0, row[6], now)
    begun = await connection.execute(
        f"SELECT min(since) FROM alert_window_begun WHERE ({_SERIES}) = (%s, %s, %s, %s)", series
    )
    found = await begun.fetchone()
    return Claimed(WindowState(*row[1:6]), row[7], row[6], None if found is None else found[0])


async def cells(connection: Connection, series: Series, first: int | None, limit: int) -> tuple[list[Cell], bool]:
    """At most ``limit`` buckets from ``first`` on, partitions added up, in order; and whether there are more."""
    cursor = await connection.execute(
        f"SELECT bucket_start, {_TOTALS} FROM alert_window_buckets WHERE ({_SERIES}) = (%s, %s, %s, %s)"
        " AND bucket_start IN (SELECT DISTINCT bucket_start FROM alert_window_buckets"
        f" WHERE ({_SERIES}) = (%s, %s, %s, %s) AND (%s::bigint IS NULL OR bucket_start >= %s)"
        " ORDER BY 1 LIMIT %s) ORDER BY bucket_start, partition",
        (*series, *series, first, first, limit + 1),
    )
    found: list[Cell] = []
    for row in await cursor.fetchall():
        totals = _totals(row[1:])
        if found and found[-1].start == row[0]:
            found[-1] = Cell(row[0], found[-1].totals.plus(totals))
        else:
            found.append(Cell(row[0], totals))
    return found[:limit], len(found) > limit


async def save(
    connection: Connection,
    series: Series,
    state: WindowState,
    next_at: int | None,
    appended_at: datetime | None,
    window_seconds: int,
) -> None:
    """Write what was decided, and forget what no window will hold again."""
    await connection.execute(
        "UPDATE alert_windows SET through = %s, next_at = %s, holds = %s, told = %s, last_fired = %s,"
        " reminders = %s,"
        " appended_at = %s WHERE namespace_id = %s AND alert_id = %s AND collection_id = %s",
        (
            state.through,
            next_at,
            state.holds,
            state.told,
            state.last_fired,
            state.reminders,
            appended_at,
            *series[:3],
        ),
    )
    if state.through is not None:
        await connection.execute(
            f"DELETE FROM alert_window_buckets WHERE ({_SERIES}) = (%s, %s, %s, %s) AND bucket_start < %s",
            (*series, state.through - window_seconds),
        )


async def lock(connection: Connection) -> None:
    """Be the only one to :func:`keep` until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('tidewatch_alert_windows'))")


async def keep(connection: Connection, known: Collection[Series], now: datetime) -> None:
    """Have a row for each of these alerts, and drop everything of those that are no longer decided over a window
    where they were."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO alert_windows ({_SERIES}, created_at) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [(*series, now) for series in sorted(known)],
        )
        gone = await connection.execute(
            "SELECT namespace_id, alert_id, collection_id FROM alert_windows WHERE (namespace_id, alert_id,"
            " collection_id) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])) ORDER BY 1, 2, 3",
            columns((series[:3] for series in known), 3),
        )
        for place in await gone.fetchall():
            await _drop(connection, _PLACE, place, "alert_windows")


async def _drop(connection: Connection, where: str, parameters: Sequence[Any], *more: str) -> None:
    for table in ("alert_window_buckets", "alert_window_begun", *more):
        await connection.execute(f"DELETE FROM {table} WHERE {where}".encode(), parameters)
