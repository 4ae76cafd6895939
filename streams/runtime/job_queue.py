"""Jobs by the hundred: what :mod:`streams.runtime.jobs` does for one, in a statement per table.

Everything is in the caller's transaction. Job ids derive from what was decided, so deciding it again changes
nothing.
"""

from collections.abc import Iterable, Sequence

from psycopg.types.json import Jsonb

from schemas.events.trigger import TriggerCommand, TriggerResult
from schemas.topics import TRIGGER_COMMANDS, TRIGGER_RESULTS, Topic
from streams.runtime import outbox
from streams.runtime.cluster_runs import open_runs
from streams.runtime.database import Connection, notify
from streams.runtime.jobs import CHANNEL

_INSERT = (
    "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at, triggered_at,"
    " status, revision, finished_at, outcome)"
    " SELECT t.job_id, t.trigger_id, t.namespace_id, t.family, t.action_type,"
    " convert_from(t.command, 'UTF8')::jsonb, t.nominal_at, t.triggered_at, t.status, t.revision,"
    " t.finished_at, t.outcome"
    " FROM unnest(%(job_id)b::text[], %(trigger_id)b::text[], %(namespace_id)b::text[], %(family)b::text[],"
    " %(action_type)b::text[], %(command)b::bytea[], %(nominal_at)b::timestamptz[],"
    " %(triggered_at)b::timestamptz[], %(status)b::text[], %(revision)b::int[],"
    " %(finished_at)b::timestamptz[], %(outcome)b::jsonb[])"
    " AS t (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at, triggered_at, status,"
    " revision, finished_at, outcome)"
    " ON CONFLICT (job_id) DO "
)
_FIRED = (
    "UPDATE trigger_state AS s SET last_triggered_at = t.triggered_at, last_job_id = t.job_id,"
    " last_execution_status = 'pending', last_execution_error = NULL, updated_at = now()"
    " FROM unnest(%b::text[], %b::text[], %b::timestamptz[]) AS t (trigger_id, job_id, triggered_at)"
    " WHERE s.trigger_id = t.trigger_id"
)


async def queue_jobs(connection: Connection, commands: Sequence[TriggerCommand]) -> list[TriggerCommand]:
    """Queue ``commands`` for the act station, each with its record; those that were not queued before. Their
    triggers' state is for the caller to write, or for :func:`tell_triggers`."""
    if not commands:
        return []
    encoded = {command.job_id: command.encode() for command in commands}
    pending = [command.result("pending", 1) for command in commands]
    cursor = await connection.execute(
        _INSERT + "NOTHING RETURNING job_id", _columns(pending, [encoded[item.job_id] for item in pending])
    )
    inserted = {row[0] for row in await cursor.fetchall()}
    fresh = [command for command in commands if command.job_id in inserted]
    if not fresh:
        return []
    await open_runs(connection, fresh)
    records = [(TRIGGER_COMMANDS, command.key, encoded[command.job_id]) for command in fresh]
    records += [(TRIGGER_RESULTS, result.key, result.encode()) for result in pending if result.job_id in inserted]
    await _enqueue(connection, records)
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


async def record_skips(connection: Connection, skips: Sequence[tuple[TriggerCommand, TriggerResult]]) -> None:
    """Write what will not be run into the history: ``skips`` are what would have been asked for and the result,
    its status ``skipped``. One with a higher revision replaces what was written under its id."""
    if not skips:
        return
    results = [result for _, result in skips]
    await connection.execute(
        _INSERT + "UPDATE SET command = EXCLUDED.command, revision = EXCLUDED.revision,"
        " finished_at = EXCLUDED.finished_at, outcome = EXCLUDED.outcome"
        " WHERE jobs.status = 'skipped' AND jobs.revision < EXCLUDED.revision",
        _columns(results, [command.encode() for command, _ in skips]),
    )
    await _enqueue(connection, [(TRIGGER_RESULTS, result.key, result.encode()) for result in results])


def _columns(results: Sequence[TriggerResult], commands: Sequence[bytes]) -> dict[str, list[object]]:
    plain = ("job_id", "trigger_id", "namespace_id", "family", "action_type", "nominal_at", "triggered_at")
    columns: dict[str, list[object]] = {
        name: [getattr(result, name) for result in results]
        for name in (*plain, "status", "revision", "finished_at")
    }
    columns["command"] = list(commands)
    columns["outcome"] = [None if result.outcome is None else Jsonb(result.outcome) for result in results]
    return columns


async def _enqueue(connection: Connection, records: Iterable[tuple[Topic, bytes, bytes]]) -> None:
    rows = list(records)
    await connection.execute(
        "INSERT INTO outbox (topic, key, value, headers) SELECT t.topic, t.key, t.value, '[]'"
        " FROM unnest(%b::text[], %b::bytea[], %b::bytea[]) WITH ORDINALITY AS t (topic, key, value, n)"
        " ORDER BY n",
        ([row[0].name for row in rows], [row[1] for row in rows], [row[2] for row in rows]),
    )
    await notify(connection, outbox.CHANNEL)
