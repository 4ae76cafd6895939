"""What the station writes and reads of conditional triggers. Every function works in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from schemas.times import parse_instant
from streams.engines.drift.series import sketch_from_bytes
from streams.engines.rules.condition import CheckState
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection
from streams.trigger.conditions.checks import Baseline, Check
from streams.trigger.conditions.windows import Held, Window
from streams.trigger.triggers import ACTIVE, Trigger

_CONDITIONAL = ACTIVE + " AND s.trigger_type = 'conditional' AND s.pending_job_id IS NULL"


@dataclass(frozen=True, slots=True)
class Conditional:
    """A conditional trigger with what it remembers: claimed, its row locked, or listed, without its sketches."""

    trigger: Trigger
    state: CheckState
    baseline: Baseline | None
    held: Held | None
    """The window that grows, if the baseline is still the one it began at."""
    last_check_at: datetime | None
    decided_at: datetime | None
    """The clock by which its next check was decided."""


_FIELDS = (
    "s.trigger_id, s.namespace_id, s.family, s.trigger_type, d.body, s.next_scheduled_at,"
    " s.last_condition_check_at, s.decided_at, s.last_cooldown_at, s.baseline_snapshot, s.window_since,"
    " s.window_until, s.window_documents"
)


async def conditional_triggers(connection: Connection, now: datetime) -> list[Conditional]:
    """Conditional triggers that may have a check to make at ``now``, without their sketches. Nothing is locked. On
    processing time they are due by ``next_scheduled_at``; on event time the watermark says."""
    cursor = await connection.execute(
        f"SELECT {_FIELDS}, NULL::bytea, NULL::bytea{_CONDITIONAL} AND"
        " (d.body->'schedule_config'->>'time_domain' = 'event_time'"
        " OR s.next_scheduled_at IS NULL OR s.next_scheduled_at <= %s OR s.decided_at > %s) ORDER BY s.trigger_id",
        (now, now + CLOCKS_DIFFER),
    )
    return [_conditional(row) for row in await cursor.fetchall()]


class Claim:
    """Locks one conditional trigger."""

    def __init__(self, trigger_id: str) -> None:
        self._trigger_id = trigger_id
        self._cursor: AsyncCursor[TupleRow] | None = None

    async def ask(self, connection: Connection) -> None:
        """The first statement of a pipelined transaction. Every later one finds its rows by an index, whatever it
        is asked: planning them anew each time would take longer than they do."""
        self._cursor = await connection.cursor(binary=True).execute(
            f"SELECT {_FIELDS}, s.baseline_sketch, s.window_sketch,"
            f" set_config('plan_cache_mode', 'force_generic_plan', true){_CONDITIONAL}"
            " AND s.trigger_id = %s FOR UPDATE OF s SKIP LOCKED",
            (self._trigger_id,),
            prepare=True,
        )

    async def claimed(self) -> Conditional | None:
        """The trigger; ``None`` when another worker holds it or it may not check now."""
        assert self._cursor is not None
        row = await self._cursor.fetchone()
        return None if row is None else _conditional(row[:-1])


def _conditional(row: TupleRow) -> Conditional:
    last_check_at, decided_at, last_fired_at, snapshot, since, until, documents, sketch, window_sketch = row[6:]
    taken, baseline = None, None
    if snapshot is not None:
        taken = parse_instant(snapshot["at"])
        baseline = Baseline(None if sketch is None else sketch_from_bytes(sketch), snapshot)
    return Conditional(
        trigger=Trigger(*row[:6]),
        state=CheckState(taken, last_fired_at, (snapshot or {}).get("threshold")),
        baseline=baseline,
        held=_held(since, until, documents, window_sketch),
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
    await connection.execute(
        f"UPDATE trigger_state SET {_WINDOW} WHERE trigger_id = %(trigger)s",
        {"trigger": trigger_id, **_window(held)},
        prepare=True,
    )


_WINDOW = (
    "window_since = %(window_since)s, window_until = %(window_until)s, window_documents = %(window_documents)s,"
    " window_sketch = %(window_sketch)b"
)


def _window(held: Held | None) -> dict[str, object]:
    window = None if held is None else held.window
    return {
        "window_since": None if window is None else window.since,
        "window_until": None if held is None else held.until,
        "window_documents": None if window is None else window.documents,
        "window_sketch": None if window is None or window.sketch is None else window.sketch.to_bytes(),
    }


async def write_checks(
    connection: Connection,
    trigger_id: str,
    checks: Sequence[Check],
    held: Held | None,
    next_scheduled_at: datetime | None,
    now: datetime,
) -> None:
    """Record checks, in order, and what the trigger remembers after them: a window that grows, and a baseline that
    was taken. That of a fire is not its own yet (it travels with the job)."""
    last = checks[-1]
    await connection.execute(
        _CHECKS["volume" if last.measurement["metric"] == "volume" else "drift"],
        {
            "trigger": trigger_id,
            "checks": Jsonb(
                [
                    {
                        "at": check.at,
                        "measurement": check.measurement,
                        "fired": check.decision.fire,
                        "reason": check.decision.reason,
                    }
                    for check in checks
                ]
            ),
            "count": len(checks),
            "last": last.at,
            "measurement": Jsonb(last.measurement),
            "fired": last.decision.new_state.last_fired_at,
            "next": next_scheduled_at,
            "now": now,
            **_window(held),
        },
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


# One statement, as every one costs more to send than to run.
_CHECKS: Final = {
    kind: "WITH recorded AS (INSERT INTO trigger_checks"
    " (trigger_id, nominal_at, measurement, fired, reason, checked_at)"
    " SELECT %(trigger)s, c.at, c.measurement, c.fired, c.reason, %(now)s FROM jsonb_to_recordset(%(checks)s)"
    " AS c (at timestamptz, measurement jsonb, fired bool, reason text) ON CONFLICT DO NOTHING)"
    " UPDATE trigger_state SET check_count = check_count + %(count)s, last_condition_check_at = %(last)s,"
    f" last_{kind}_measurement = %(measurement)s, last_cooldown_at = %(fired)s, next_scheduled_at = %(next)s,"
    f" decided_at = %(now)s, updated_at = now(), {_WINDOW} WHERE trigger_id = %(trigger)s"
    for kind in ("drift", "volume")
}


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
