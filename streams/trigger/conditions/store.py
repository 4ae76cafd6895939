"""What the station writes and reads of conditional triggers. Every function works in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from schemas.times import parse_instant
from streams.engines.drift.series import sketch_from_bytes
from streams.engines.rules.condition import CheckState
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection, columns
from streams.trigger.conditions.checks import Baseline, Check
from streams.trigger.conditions.windows import Held, Window
from streams.trigger.triggers import ACTIVE, Trigger

_CONDITIONAL = ACTIVE + " AND s.trigger_type = 'conditional' AND s.pending_job_id IS NULL"


@dataclass(frozen=True, slots=True)
class Conditional:
    """A conditional trigger, its row locked, with what it remembers."""

    trigger: Trigger
    state: CheckState
    baseline: Baseline | None
    held: Held | None
    """The window that grows, if the baseline is still the one it began at."""
    last_check_at: datetime | None
    decided_at: datetime | None
    """The clock by which its next check was decided."""


_TRIGGER = "s.trigger_id, s.namespace_id, s.family, s.trigger_type, d.body, s.next_scheduled_at"


async def conditional_triggers(connection: Connection, now: datetime) -> list[tuple[Trigger, datetime | None]]:
    """Conditional triggers that may have a check to make at ``now``, each with its last check. Nothing is
    locked. On processing time they are due by ``next_scheduled_at``; on event time the watermark says."""
    cursor = await connection.execute(
        f"SELECT {_TRIGGER}, s.last_condition_check_at{_CONDITIONAL} AND"
        " (d.body->'schedule_config'->>'time_domain' = 'event_time'"
        " OR s.next_scheduled_at IS NULL OR s.next_scheduled_at <= %s OR s.decided_at > %s) ORDER BY s.trigger_id",
        (now, now + CLOCKS_DIFFER),
    )
    return [(Trigger(*row[:6]), row[6]) for row in await cursor.fetchall()]


class Claim:
    """Locks one conditional trigger in the round trip in which a transaction begins."""

    def __init__(self, trigger_id: str) -> None:
        self._trigger_id = trigger_id
        self._cursor: AsyncCursor[TupleRow] | None = None

    async def ask(self, connection: Connection) -> None:
        """Begin a transaction with this. Every query of a check finds its rows by an index, whatever it is asked:
        planning them anew each time would take longer than they do."""
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        self._cursor = await connection.execute(
            f"SELECT {_TRIGGER}, s.last_condition_check_at, s.decided_at, s.last_cooldown_at, s.baseline_sketch,"
            " s.baseline_snapshot, s.window_since, s.window_until, s.window_documents, s.window_sketch"
            f"{_CONDITIONAL} AND s.trigger_id = %s FOR UPDATE OF s SKIP LOCKED",
            (self._trigger_id,),
            prepare=True,
        )

    async def claimed(self) -> Conditional | None:
        """The trigger; ``None`` when another worker holds it or it may not check now."""
        assert self._cursor is not None
        row = await self._cursor.fetchone()
        return None if row is None else _conditional(row)


def _conditional(row: TupleRow) -> Conditional:
    last_check_at, decided_at, last_fired_at, sketch, snapshot, *held = row[6:]
    taken, baseline = None, None
    if snapshot is not None:
        taken = parse_instant(snapshot["at"])
        baseline = Baseline(None if sketch is None else sketch_from_bytes(sketch), snapshot)
    return Conditional(
        trigger=Trigger(*row[:6]),
        state=CheckState(taken, last_fired_at, (snapshot or {}).get("threshold")),
        baseline=baseline,
        held=_held(*held),
        last_check_at=last_check_at,
        decided_at=decided_at,
    )


def _held(
    since: datetime | None, until: datetime | None, documents: int | None, sketch: bytes | None
) -> Held | None:
    if until is None or documents is None:
        return None
    return Held(until, Window(since, documents, None if sketch is None else sketch_from_bytes(sketch)))


async def write_window(connection: Connection, trigger_id: str, held: Held | None) -> None:
    """Remember a window that grows for the next check."""
    window = None if held is None else held.window
    await connection.execute(
        "UPDATE trigger_state SET window_since = %s, window_until = %s, window_documents = %s, window_sketch = %b"
        " WHERE trigger_id = %s",
        (
            None if window is None else window.since,
            None if held is None else held.until,
            None if window is None else window.documents,
            None if window is None or window.sketch is None else window.sketch.to_bytes(),
            trigger_id,
        ),
        prepare=True,
    )


async def write_checks(
    connection: Connection,
    trigger_id: str,
    checks: Sequence[Check],
    next_scheduled_at: datetime | None,
    now: datetime,
) -> None:
    """Record checks, in order, and what the trigger remembers after them. The baseline of a fire is not its
    own yet (it travels with the job)."""
    recorded = (
        (check.at, Jsonb(check.measurement), check.decision.fire, check.decision.reason) for check in checks
    )
    await connection.execute(
        "INSERT INTO trigger_checks (trigger_id, nominal_at, measurement, fired, reason, checked_at)"
        " SELECT %s, c.*, %s FROM unnest(%s::timestamptz[], %s::jsonb[], %s::bool[], %s::text[]) AS c"
        " ON CONFLICT DO NOTHING",
        (trigger_id, now, *columns(recorded, 4)),
        prepare=True,
    )
    last = checks[-1]
    measured = "last_volume_measurement" if last.measurement["metric"] == "volume" else "last_drift_measurement"
    await connection.execute(
        "UPDATE trigger_state SET check_count = check_count + %s, last_condition_check_at = %s,"
        f" {measured} = %s, last_cooldown_at = %s, next_scheduled_at = %s, decided_at = %s,"
        " updated_at = now() WHERE trigger_id = %s",
        (
            len(checks),
            last.at,
            Jsonb(last.measurement),
            last.decision.new_state.last_fired_at,
            next_scheduled_at,
            now,
            trigger_id,
        ),
        prepare=True,
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


async def set_next(connection: Connection, trigger_id: str, next_scheduled_at: datetime, now: datetime) -> None:
    """Move a trigger's next nominal time. ``now`` is the clock that decided."""
    await connection.execute(
        "UPDATE trigger_state SET next_scheduled_at = %s, decided_at = %s, updated_at = now()"
        " WHERE trigger_id = %s",
        (next_scheduled_at, now, trigger_id),
    )


async def turn_back(
    connection: Connection, trigger_id: str, last_check_at: datetime, next_scheduled_at: datetime, now: datetime
) -> None:
    """Forget how far a trigger on processing time was by a clock that was ahead of ``now``."""
    await connection.execute(
        "UPDATE trigger_state SET last_condition_check_at = least(last_condition_check_at, %(last)s),"
        " last_cooldown_at = least(last_cooldown_at, %(now)s), next_scheduled_at = %(next)s,"
        " window_until = CASE WHEN window_until <= %(last)s THEN window_until END, decided_at = %(now)s,"
        " updated_at = now() WHERE trigger_id = %(trigger)s",
        {"last": last_check_at, "next": next_scheduled_at, "now": now, "trigger": trigger_id},
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
