"""The trigger station's statements: which triggers, their sketches, and what a decision writes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerFamily
from schemas.times import parse_instant
from streams.engines.drift.sketch import Sketch, merge_all
from streams.engines.rules.condition import CheckState
from streams.runtime.database import Connection
from streams.trigger.checks import Check
from streams.trigger.windows import Bucket

# A definition and its state, for triggers that may act.
_TRIGGERS = (
    " FROM trigger_state AS s JOIN definitions AS d ON d.kind = s.family AND d.namespace_id = s.namespace_id"
    " AND d.id = s.trigger_id AND d.deleted_at IS NULL WHERE s.status = 'active'"
)
_CONDITIONAL = _TRIGGERS + " AND s.trigger_type = 'conditional' AND s.pending_job_id IS NULL"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as its definition says it."""

    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    trigger_type: str
    body: Mapping[str, Any]
    next_scheduled_at: datetime | None

    @property
    def schedule_config(self) -> Mapping[str, Any]:
        """Empty when the definition has none, which every rule refuses in words."""
        config = self.body.get("schedule_config")
        return config if isinstance(config, dict) else {}

    @property
    def collections(self) -> list[tuple[str, str]]:
        """The (namespace_id, collection_id) it watches."""
        return [(self.namespace_id, collection) for collection in self.body.get("watched_collection_ids") or ()]


@dataclass(frozen=True, slots=True)
class Conditional:
    """A conditional trigger, its row locked, with what it remembers."""

    trigger: Trigger
    state: CheckState
    baseline: Sketch | None
    last_check_at: datetime | None


_TRIGGER = "s.trigger_id, s.namespace_id, s.family, s.trigger_type, d.body, s.next_scheduled_at"


async def claim_scheduled(connection: Connection, now: datetime, limit: int) -> list[Trigger]:
    """Lock cron and interval triggers that are due; those another worker holds are left to it."""
    cursor = await connection.execute(
        f"SELECT {_TRIGGER}{_TRIGGERS} AND s.trigger_type IN ('cron', 'interval') AND s.next_scheduled_at <= %s"
        " ORDER BY s.next_scheduled_at, s.trigger_id LIMIT %s FOR UPDATE OF s SKIP LOCKED",
        (now, limit),
    )
    return [Trigger(*row) for row in await cursor.fetchall()]


async def conditional_triggers(connection: Connection, now: datetime) -> list[tuple[Trigger, datetime | None]]:
    """Conditional triggers that may have a check to make at ``now``, each with its last check. Nothing is
    locked. On processing time they are due by ``next_scheduled_at``; on event time the watermark says."""
    cursor = await connection.execute(
        f"SELECT {_TRIGGER}, s.last_condition_check_at{_CONDITIONAL} AND"
        " (d.body->'schedule_config'->>'time_domain' = 'event_time'"
        " OR s.next_scheduled_at IS NULL OR s.next_scheduled_at <= %s) ORDER BY s.trigger_id",
        (now,),
    )
    return [(Trigger(*row[:6]), row[6]) for row in await cursor.fetchall()]


async def claim_conditional(connection: Connection, trigger_id: str) -> Conditional | None:
    """Lock one conditional trigger; ``None`` when another worker holds it or it may not check now."""
    cursor = await connection.execute(
        f"SELECT {_TRIGGER}, s.last_condition_check_at, s.last_cooldown_at, s.baseline_sketch,"
        f" s.baseline_snapshot{_CONDITIONAL} AND s.trigger_id = %s FOR UPDATE OF s SKIP LOCKED",
        (trigger_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    last_check_at, last_fired_at, sketch, snapshot = row[6:]
    taken = (snapshot or {}).get("at")
    return Conditional(
        trigger=Trigger(*row[:6]),
        state=CheckState(None if taken is None else parse_instant(taken), last_fired_at),
        baseline=None if sketch is None else Sketch.from_bytes(sketch),
        last_check_at=last_check_at,
    )


@dataclass(frozen=True, slots=True)
class Series:
    """Which sketches a trigger reads."""

    collections: Sequence[tuple[str, str]]
    feature: str
    time_domain: str
    width_seconds: int

    @property
    def parameters(self) -> dict[str, Any]:
        """For the queries here."""
        return {
            "namespaces": [namespace for namespace, _ in self.collections],
            "collections": [collection for _, collection in self.collections],
            "feature": self.feature,
            "domain": self.time_domain,
            "width": self.width_seconds,
        }


_SERIES = (
    " (namespace_id, collection_id) IN (SELECT * FROM unnest(%(namespaces)s::text[], %(collections)s::text[]))"
    " AND feature = %(feature)s AND time_domain = %(domain)s AND width_seconds = %(width)s"
)


async def covered(connection: Connection, series: Series) -> bool:
    """Whether the sketches hold every stored document: collect has seeded the series in each partition in
    which a watched collection has had records."""
    cursor = await connection.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM collection_counters AS c WHERE (namespace_id, collection_id) IN"
        " (SELECT * FROM unnest(%(namespaces)s::text[], %(collections)s::text[]))"
        f" AND NOT EXISTS (SELECT 1 FROM drift_seeds AS seed WHERE{_SERIES}"
        " AND (seed.namespace_id, seed.collection_id, seed.partition)"
        " = (c.namespace_id, c.collection_id, c.partition)))",
        series.parameters,
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def earliest_bucket(connection: Connection, series: Series) -> datetime | None:
    """Start of the first bucket that holds anything."""
    cursor = await connection.execute(
        f"SELECT min(bucket_start) FROM drift_sketches WHERE{_SERIES}", series.parameters
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def next_bucket(connection: Connection, series: Series, after: datetime) -> datetime | None:
    """End of the first bucket that ends after an instant."""
    cursor = await connection.execute(
        f"SELECT min(bucket_start) FROM drift_sketches WHERE{_SERIES}"
        " AND bucket_start > %(after)s::timestamptz - make_interval(secs => %(width)s)",
        {**series.parameters, "after": after},
    )
    row = await cursor.fetchone()
    start: datetime | None = None if row is None else row[0]
    if start is None:
        return None
    try:
        return start.astimezone(UTC) + timedelta(seconds=series.width_seconds)
    except OverflowError:
        # The last bucket of the calendar: no check is after it.
        return None


async def buckets(
    connection: Connection, series: Series, since: datetime | None, until: datetime, *, sketches: bool
) -> AsyncGenerator[Bucket, None]:
    """Buckets with ``since < end <= until`` in time order, partitions and collections merged in a fixed order.

    Rows are streamed: memory is that of one bucket, however long the range is. Without ``sketches`` only the
    counts are read.
    """
    column = "sketch" if sketches else "NULL::bytea"
    parameters = {**series.parameters, "since": since, "until": until}
    query = (
        f"SELECT bucket_start, documents, {column} FROM drift_sketches WHERE{_SERIES}"
        " AND bucket_start <= %(until)s::timestamptz - make_interval(secs => %(width)s)"
        " AND (%(since)s::timestamptz IS NULL"
        " OR bucket_start > %(since)s::timestamptz - make_interval(secs => %(width)s))"
        " ORDER BY bucket_start, namespace_id, collection_id, partition"
    )
    width = timedelta(seconds=series.width_seconds)
    start: datetime | None = None
    documents = 0
    parts: list[Sketch] = []
    async with connection.cursor(name="sketches") as cursor:
        cursor.itersize = 1_000
        await cursor.execute(query.encode(), parameters, binary=True)
        async for row_start, row_documents, row_sketch in cursor:
            if start is not None and row_start != start:
                yield Bucket(start + width, documents, merge_all(parts))
                documents, parts = 0, []
            start = row_start.astimezone(UTC)
            documents += row_documents
            if row_sketch is not None:
                parts.append(Sketch.from_bytes(row_sketch))
    if start is not None:
        yield Bucket(start + width, documents, merge_all(parts))


async def write_checks(
    connection: Connection,
    trigger_id: str,
    checks: Sequence[Check],
    next_scheduled_at: datetime | None,
    now: datetime,
) -> None:
    """Record checks, in order, and what the trigger remembers after them. The baseline of a fire is not its
    own yet (it travels with the job)."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO trigger_checks (trigger_id, nominal_at, measurement, fired, reason, checked_at)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (trigger_id, check.at, Jsonb(check.measurement), check.decision.fire, check.decision.reason, now)
                for check in checks
            ],
        )
    last = checks[-1]
    measured = "last_volume_measurement" if last.measurement["metric"] == "volume" else "last_drift_measurement"
    await connection.execute(
        "UPDATE trigger_state SET check_count = check_count + %s, last_condition_check_at = %s,"
        f" {measured} = %s, last_cooldown_at = %s, next_scheduled_at = %s, updated_at = now()"
        " WHERE trigger_id = %s",
        (
            len(checks),
            last.at,
            Jsonb(last.measurement),
            last.decision.new_state.last_fired_at,
            next_scheduled_at,
            trigger_id,
        ),
    )
    taken = [check.baseline for check in checks if check.baseline is not None and not check.decision.fire]
    for baseline in taken:
        await connection.execute(
            "UPDATE trigger_state SET baseline_sketch = %s, baseline_snapshot = %s WHERE trigger_id = %s",
            (
                None if baseline.sketch is None else baseline.sketch.to_bytes(),
                Jsonb(baseline.snapshot),
                trigger_id,
            ),
        )


async def set_next(connection: Connection, trigger_id: str, next_scheduled_at: datetime) -> None:
    """Move a trigger's next nominal time."""
    await connection.execute(
        "UPDATE trigger_state SET next_scheduled_at = %s, updated_at = now() WHERE trigger_id = %s",
        (next_scheduled_at, trigger_id),
    )


async def set_checked(connection: Connection, trigger_id: str, at: datetime) -> None:
    """Nothing up to nominal time ``at`` is left to check."""
    await connection.execute(
        "UPDATE trigger_state SET last_condition_check_at = %s, updated_at = now() WHERE trigger_id = %s",
        (at, trigger_id),
    )


async def set_pending(connection: Connection, trigger_id: str, job_id: str) -> None:
    """No further check before this job has ended."""
    await connection.execute(
        "UPDATE trigger_state SET pending_job_id = %s WHERE trigger_id = %s", (job_id, trigger_id)
    )


async def set_failed(connection: Connection, trigger_id: str, error: str) -> None:
    """Take a trigger whose definition cannot work out of service, with the reason a user reads."""
    await connection.execute(
        "UPDATE trigger_state SET status = 'failed', last_execution_error = %s, updated_at = now()"
        " WHERE trigger_id = %s AND status = 'active'",
        (error, trigger_id),
    )
