"""Jobs: one fire of one trigger, from decision to outcome. Shared by the stations that decide fires.

Queueing jobs is one statement per table inside the decider's transaction, however many they are: the job rows, the
commands for ``trigger-commands``, the pending entries for ``trigger-results``, and the triggers' state. Job ids
derive from the trigger and its fire, so deciding the same fire twice changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerCommand, TriggerResult
from schemas.topics import TRIGGER_COMMANDS, TRIGGER_RESULTS
from streams.runtime.cluster_runs import open_runs
from streams.runtime.database import Connection, notify
from streams.runtime.happenings import tell, wanted_types
from streams.runtime.outbox import Outgoing, enqueue_all
from streams.runtime.run_happenings import FIRED, fired

CHANNEL = "tidewatch_jobs"
"""PostgreSQL notification channel that wakes the act station."""

BACKFILLED = "(command ->> 'fired_by' IS NOT DISTINCT FROM 'backfill')"
"""Whether a job is one of a range that was asked for once more."""

_MANY: Final = 50
"""Of so many jobs in one transaction it is asked first whether somebody wants to be told."""

# A job's turn is the one that waits for longest, or, where jobs of its trigger wait, the one after theirs.
_INSERT = (
    "WITH head AS MATERIALIZED (SELECT backfilled, (SELECT turn FROM jobs WHERE status = 'pending'"
    f" AND {BACKFILLED} = backfilled ORDER BY turn LIMIT 1) AS turn"
    " FROM (VALUES (true), (false)) AS h (backfilled))"
    " INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at, triggered_at,"
    " status, revision, finished_at, outcome, turn)"
    " SELECT t.job_id, t.trigger_id, t.namespace_id, t.family, t.action_type,"
    " convert_from(t.command, 'UTF8')::jsonb, t.nominal_at, t.triggered_at, t.status, t.revision,"
    " t.finished_at, t.outcome, greatest(0, (SELECT turn FROM head WHERE head.backfilled = t.backfilled),"
    " (SELECT max(j.turn) + 1 FROM jobs AS j WHERE j.trigger_id = t.trigger_id AND j.status = 'pending'))"
    " + row_number() OVER (PARTITION BY t.trigger_id ORDER BY t.triggered_at, t.nominal_at, t.job_id) - 1"
    " FROM unnest(%(job_id)b::text[], %(trigger_id)b::text[], %(namespace_id)b::text[], %(family)b::text[],"
    " %(action_type)b::text[], %(command)b::bytea[], %(nominal_at)b::timestamptz[],"
    " %(triggered_at)b::timestamptz[], %(status)b::text[], %(revision)b::int[],"
    " %(finished_at)b::timestamptz[], %(outcome)b::jsonb[], %(backfilled)b::bool[])"
    " AS t (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at, triggered_at, status,"
    " revision, finished_at, outcome, backfilled)"
)
# Those that are there are not even tried: an insert waits for whoever changes the row it runs into, who may wait
# for the trigger's state, which is ours.
_NEW = " WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.job_id = t.job_id)"
_CONFLICT = " ON CONFLICT (job_id) DO "
_FIRED = (
    "UPDATE trigger_state AS s SET last_triggered_at = t.triggered_at, last_job_id = t.job_id,"
    " last_execution_status = 'pending', last_execution_error = NULL, updated_at = now()"
    " FROM unnest(%b::text[], %b::text[], %b::timestamptz[]) AS t (trigger_id, job_id, triggered_at)"
    " WHERE s.trigger_id = t.trigger_id"
)


class _Entry(NamedTuple):
    """A job and what the history says of it."""

    command: TriggerCommand
    encoded: bytes
    """The command."""
    result: TriggerResult


def _pending(commands: Iterable[TriggerCommand]) -> list[_Entry]:
    return [_Entry(command, command.encode(), command.result("pending", 1)) for command in commands]


async def insert_jobs(connection: Connection, commands: Sequence[TriggerCommand]) -> list[TriggerCommand]:
    """Write only the rows; those that were not there before."""
    return [entry.command for entry in await _insert(connection, _pending(commands))]


async def _insert(connection: Connection, entries: Sequence[_Entry]) -> list[_Entry]:
    cursor = await connection.execute(_INSERT + _NEW + _CONFLICT + "NOTHING RETURNING job_id", _columns(entries))
    inserted = {row[0] for row in await cursor.fetchall()}
    fresh = [entry for entry in entries if entry.command.job_id in inserted]
    await open_runs(connection, [entry.command for entry in fresh])
    return fresh


async def queue_jobs(connection: Connection, commands: Sequence[TriggerCommand]) -> list[TriggerCommand]:
    """Queue ``commands`` for the act station, each with its record; those that were not queued before. Their
    triggers' state is for the caller to write, or for :func:`tell_triggers`."""
    if not commands:
        return []
    entries = await _insert(connection, _pending(commands))
    if not entries:
        return []
    fresh = [entry.command for entry in entries]
    orders = (Outgoing(entry.command.key, entry.encoded) for entry in entries)
    await enqueue_all(connection, TRIGGER_COMMANDS, orders)
    await _tell(connection, [entry.result for entry in entries])
    # Of many it is worth asking before making what nobody may want.
    if len(fresh) < _MANY or await wanted_types(connection, (FIRED,)):
        await tell(connection, [item for command in fresh for item in fired(command)])
    await notify(connection, CHANNEL)
    return fresh


async def tell_triggers(connection: Connection, fresh: Sequence[TriggerCommand]) -> None:
    """Write into the state of each trigger which of these jobs is its newest: the last one."""
    newest = {command.trigger_id: command for command in fresh}
    await connection.execute(
        _FIRED,
        (
            list(newest),
            [command.job_id for command in newest.values()],
            [command.triggered_at for command in newest.values()],
        ),
    )


async def queue_job(
    connection: Connection,
    command: TriggerCommand,
    *,
    baseline_sketch: bytes | None = None,
    baseline_snapshot: dict[str, Any] | None = None,
) -> bool:
    """Queue the one job of a fire and tell its trigger. False when this fire was queued before.

    The baseline becomes the trigger's own when the job succeeds (design section 5).
    """
    fresh = await queue_jobs(connection, [command])
    if not fresh:
        return False
    await tell_triggers(connection, fresh)
    if baseline_sketch is not None or baseline_snapshot is not None:
        snapshot = None if baseline_snapshot is None else Jsonb(baseline_snapshot)
        await connection.execute(
            "UPDATE jobs SET baseline_sketch = %s, baseline_snapshot = %s WHERE job_id = %s",
            (baseline_sketch, snapshot, command.job_id),
        )
    return True


async def record_skips(connection: Connection, skips: Sequence[tuple[TriggerCommand, TriggerResult]]) -> None:
    """Write what will not be run into the history: ``skips`` are what would have been asked for and the result,
    its status ``skipped``. One with a higher revision replaces what was written under its id."""
    if not skips:
        return
    entries = [_Entry(command, command.encode(), result) for command, result in skips]
    await connection.execute(
        _INSERT + _CONFLICT + "UPDATE SET command = EXCLUDED.command, revision = EXCLUDED.revision,"
        " finished_at = EXCLUDED.finished_at, outcome = EXCLUDED.outcome"
        " WHERE jobs.status = 'skipped' AND jobs.revision < EXCLUDED.revision",
        _columns(entries),
    )
    await _tell(connection, [entry.result for entry in entries])


async def _tell(connection: Connection, results: Sequence[TriggerResult]) -> None:
    await enqueue_all(connection, TRIGGER_RESULTS, (Outgoing(result.key, result.encode()) for result in results))


def _columns(entries: Sequence[_Entry]) -> dict[str, list[object]]:
    plain = ("job_id", "trigger_id", "namespace_id", "family", "action_type", "nominal_at", "triggered_at")
    columns: dict[str, list[object]] = {
        name: [getattr(entry.result, name) for entry in entries]
        for name in (*plain, "status", "revision", "finished_at")
    }
    columns["command"] = [entry.encoded for entry in entries]
    columns["backfilled"] = [entry.command.fired_by == "backfill" for entry in entries]
    outcomes = (entry.result.outcome for entry in entries)
    columns["outcome"] = [None if outcome is None else Jsonb(outcome) for outcome in outcomes]
    return columns
