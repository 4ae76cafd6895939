"""Schedules in the database: claimed when they are due, and moved on in the same transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerCommand
from streams.engines.rules.commands import job_id
from streams.engines.rules.due import Pending
from streams.runtime.clock import CLOCKS_DIFFER
from streams.runtime.database import Connection
from streams.trigger.triggers import Trigger

_COLUMNS = (
    "s.trigger_id, s.namespace_id, s.family, s.trigger_type, d.body, s.next_scheduled_at,"
    " s.buffered_at, s.skipping"
)
_ACTIVE = "s.status = 'active' AND s.trigger_type IN ('cron', 'interval')"
_SCHEDULED = (
    " FROM trigger_state AS s JOIN definitions AS d ON d.kind = s.family AND d.namespace_id = s.namespace_id"
    " AND d.id = s.trigger_id AND d.deleted_at IS NULL"
    f" WHERE {_ACTIVE} AND "
)
_DUE = "coalesce(s.next_due_at, s.next_scheduled_at)"
_WAITING = (
    "s.buffered_at IS NOT NULL AND s.next_scheduled_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs"
    " WHERE jobs.trigger_id = s.trigger_id AND jobs.status IN ('pending', 'processing'))"
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A trigger that is due, its row locked until the transaction ends."""

    trigger: Trigger
    at: Pending
    skipping: Mapping[str, Any] | None
    """The stretch of skipped nominal times that may still grow."""
    fired: bool
    """Whether the next nominal time has its job already: a clock went back, or the state is an older one."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where a trigger stands after a decision."""

    trigger_id: str
    next_scheduled_at: datetime
    next_due_at: datetime
    buffered_at: datetime | None = None
    skipping: Mapping[str, Any] | None = None
    newest: TriggerCommand | None = None
    """What it was last asked for, if it fired."""


async def anything_due(connection: Connection, now: datetime) -> bool:
    """Whether :func:`claim_due` would find something: the one question of most ticks."""
    # The first by order, not any that is due: of these the planner may take many to exist, and read all rows.
    cursor = await connection.execute(
        f"SELECT (SELECT {_DUE} FROM trigger_state AS s WHERE {_ACTIVE} AND {_DUE} IS NOT NULL"
        f" ORDER BY {_DUE} LIMIT 1) <= %s"
        f" OR EXISTS (SELECT 1 FROM trigger_state AS s WHERE {_ACTIVE} AND {_WAITING})".encode(),
        (now,),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def claim_due(connection: Connection, now: datetime, limit: int) -> list[Claimed]:
    """Lock triggers with a nominal time due at ``now``, or one that waited for a run which is over. Those that
    another station holds are left to it."""
    rows = await _locked(connection, f"{_DUE} <= %s ORDER BY {_DUE}", (now, limit))
    if len(rows) < limit:
        waiting = await _locked(connection, _WAITING, (limit - len(rows),))
        known = {row[0] for row in rows}
        rows += [row for row in waiting if row[0] not in known]
    if not rows:
        return []
    # Asked after the rows are locked: whoever would open a run of theirs has to wait for this transaction.
    jobs = [job_id(row[0], row[5]) for row in rows]
    cursor = await connection.execute(
        "SELECT trigger_id, NULL FROM jobs WHERE trigger_id = ANY(%s) AND status IN ('pending', 'processing')"
        " UNION SELECT NULL, job_id FROM jobs WHERE job_id = ANY(%s)",
        ([row[0] for row in rows], jobs),
    )
    found = await cursor.fetchall()
    running, fired = {row[0] for row in found}, {row[1] for row in found}
    return [
        Claimed(Trigger(*row[:6]), Pending(row[5], row[6], row[0] in running), row[7], job in fired)
        for row, job in zip(rows, jobs, strict=True)
    ]


async def claim_ahead(connection: Connection, now: datetime, limit: int) -> list[Trigger]:
    """Lock triggers whose next nominal time was decided by a clock that was ahead of ``now``."""
    rows = await _locked(
        connection, "s.decided_at > %s AND s.next_scheduled_at > %s", (now + CLOCKS_DIFFER, now, limit)
    )
    return [Trigger(*row[:6]) for row in rows]


async def _locked(connection: Connection, condition: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(
        f"SELECT {_COLUMNS}{_SCHEDULED}{condition} LIMIT %s FOR UPDATE OF s SKIP LOCKED".encode(), parameters
    )
    return await cursor.fetchall()


async def write_moves(connection: Connection, moves: Sequence[Move], now: datetime) -> None:
    """Move triggers on, in the transaction that claimed them. ``now`` is the clock that decided."""
    if not moves:
        return
    await connection.execute(
        "UPDATE trigger_state AS s SET next_scheduled_at = t.next, next_due_at = nullif(t.due, t.next),"
        " buffered_at = t.buffered, skipping = t.skipping, decided_at = %b, updated_at = now(),"
        " last_job_id = coalesce(t.job_id, s.last_job_id),"
        " last_triggered_at = CASE WHEN t.job_id IS NULL THEN s.last_triggered_at ELSE %b END,"
        " last_execution_status = CASE WHEN t.job_id IS NULL THEN s.last_execution_status ELSE 'pending' END,"
        " last_execution_error = CASE WHEN t.job_id IS NULL THEN s.last_execution_error END"
        " FROM unnest(%b::text[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::jsonb[],"
        " %b::text[])"
        " AS t (trigger_id, next, due, buffered, skipping, job_id) WHERE s.trigger_id = t.trigger_id",
        (
            now,
            now,
            [move.trigger_id for move in moves],
            [move.next_scheduled_at for move in moves],
            [move.next_due_at for move in moves],
            [move.buffered_at for move in moves],
            [None if move.skipping is None else Jsonb(move.skipping) for move in moves],
            [None if move.newest is None else move.newest.job_id for move in moves],
        ),
    )
