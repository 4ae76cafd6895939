"""100,000 cron triggers on the embedded database: how fast due ones are found and claimed, and what waiting costs.

The triggers have their own minutes, hours, zones and actions; ``--due`` of them come due at one instant. The
trigger station's own code finds them, decides, and writes each fire's job, its command, its pending entry of the
history and the trigger's next time, in its own transactions, with fsync on. The baseline inserts the very same
rows of jobs and outbox, made beforehand, into empty tables with the same indexes, by the same batches: no engine
on this database can pass it, so the ratio says which share of that is left. Then nothing is due, and ticks are
counted in processor time of station and database together, as a share of one core at the station's own pace.

    python -m benchmarks.schedule [--triggers N] [--due N] [--ticks N]

The last line is one JSON object. Exits 1 when a fire is missing or doubled.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from streams.engines.rules.schedule import Cron, parse
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database, migrate
from streams.runtime.dev.database import PostgresServer
from streams.settings import Settings
from streams.trigger.schedules.firing import CLAIM
from streams.trigger.station import TriggerStation

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Tokyo")
START: Final = datetime(2024, 6, 3, 11, 59, tzinfo=UTC)
DUE: Final = datetime(2024, 6, 3, 12, tzinfo=UTC)
LATER: Final = datetime(2024, 6, 3, 12, 0, 30, tzinfo=UTC)
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


def expression(number: int, due: bool, zone: str) -> str:
    """A schedule of its own; of one that is due, noon of Greenwich in its zone is one of its times."""
    local = DUE.astimezone(parse_zone(zone))
    if due:
        other = (local.minute + 1 + number % 59) % 60
        return (
            f"{local.minute},{other} {local.hour} * {'*' if number % 2 else '1-11'} {'*' if number % 3 else '1-5'}"
        )
    minute = (local.minute + 1 + number % 58) % 60
    return f"{minute} {number % 24} {1 + number % 28 if number % 3 else '*'} * *"


def parse_zone(zone: str) -> Any:
    """The zone of a name."""
    plan = parse("cron", {"cron_expression": "* * * * *", "timezone": zone})
    assert isinstance(plan, Cron)
    return plan.zone


async def define(database: Database, triggers: int, due: int) -> None:
    """Write definitions and states as the API leaves them; every ``triggers / due``-th is due at noon."""
    step = triggers // due
    bodies: list[tuple[str, dict[str, Any], datetime]] = []
    for number in range(triggers):
        zone = ZONES[number % len(ZONES)]
        wanted = number % step == 0 and number // step < due
        config = {"cron_expression": expression(number, wanted, zone), "timezone": zone}
        body = {
            "trigger_id": f"trig_{number:07d}",
            "trigger_type": "cron",
            "schedule_config": config,
            "action_type": "cluster",
            "action_config": {"cluster_id": f"clust_{number % 1000}", "mode": "full", "assignment_threshold": 0.5},
            "watched_collection_ids": [f"col_{number % 1000}"],
        }
        bodies.append((f"trig_{number:07d}", body, parse("cron", config).after(START)))
    async with database.transaction() as connection, connection.cursor() as cursor:
        async with cursor.copy("COPY definitions (kind, namespace_id, id, body, version) FROM STDIN") as copy:
            for number, (trigger_id, body, _) in enumerate(bodies):
                await copy.write_row(("trigger", "ns", trigger_id, Jsonb(body), number))
        async with cursor.copy(
            "COPY trigger_state (trigger_id, namespace_id, family, trigger_type, next_scheduled_at) FROM STDIN"
        ) as copy:
            for trigger_id, _, next_at in bodies:
                await copy.write_row((trigger_id, "ns", "trigger", "cron", next_at))
    async with database.connection() as connection:
        await connection.execute("VACUUM ANALYZE")


JOBS: Final = "job_id, trigger_id, namespace_id, family, action_type, command, nominal_at, triggered_at"
OUTBOX: Final = "topic, key, value, headers"


async def bare(database: Database) -> float:
    """Seconds to insert the rows that were made, by the same batches, and nothing else."""
    async with database.connection() as connection:
        jobs = await (await connection.execute(f"SELECT {JOBS} FROM jobs ORDER BY job_id")).fetchall()
        outbox = await (await connection.execute(f"SELECT {OUTBOX} FROM outbox ORDER BY id")).fetchall()
        await connection.execute("CREATE TABLE bare_jobs (LIKE jobs INCLUDING ALL)")
        await connection.execute("CREATE TABLE bare_outbox (LIKE outbox INCLUDING ALL)")
        await connection.execute("CHECKPOINT")
    size = max(1, len(outbox) // max(1, len(jobs)))
    began = time.perf_counter()
    for first in range(0, len(jobs), CLAIM):
        async with database.transaction() as connection:
            await _insert(connection, "bare_jobs", JOBS, "ttttt,jsonb,zz", jobs[first : first + CLAIM])
            batch = outbox[first * size : (first + CLAIM) * size]
            await _insert(connection, "bare_outbox", OUTBOX, "t,bytea,bytea,jsonb", batch)
    return time.perf_counter() - began


_TYPES: Final = {"t": "text", "z": "timestamptz"}


async def _insert(connection: Any, table: str, columns: str, types: str, rows: Sequence[Sequence[Any]]) -> None:
    names = [name for part in types.split(",") for name in ([part] if part in ("jsonb", "bytea") else part)]
    arrays = ", ".join(f"%b::{_TYPES.get(name, name)}[]" for name in names)
    values = [
        [Jsonb(value) if name == "jsonb" else value for value in column]
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]
    await connection.execute(f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})", values)


def database_seconds(postmaster: int) -> float:
    """Processor time of a PostgreSQL and all its children, those that have ended included."""
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields and (int(entry.name) == postmaster or int(fields[1]) == postmaster):
            total += sum(
                int(fields[index]) for index in (11, 12, *((13, 14) if int(entry.name) == postmaster else ()))
            )
    return total / _HERTZ


async def measured(triggers: int, due: int, ticks: int, logs: Path) -> dict[str, Any]:
    """Run everything once."""
    server = PostgresServer(logs)
    try:
        await server.start()
        assert server.child is not None
        await migrate(server.dsn)
        settings = Settings(database=server.dsn)
        async with Database(settings) as database:
            await define(database, triggers, due)
            station = TriggerStation(Context(settings, Broker(settings), database))
            await station.tick(START)
            async with database.connection() as connection:
                await connection.execute("CHECKPOINT")
            processor, began = time.process_time(), time.perf_counter()
            await station.tick(DUE)
            fired, processor = time.perf_counter() - began, time.process_time() - processor
            mismatches = await wrong(database, due)
            baseline = await bare(database)
            own, theirs = time.process_time(), database_seconds(server.child.process.pid)
            for number in range(ticks):
                await station.tick(LATER + timedelta(milliseconds=number))
            own, theirs = time.process_time() - own, database_seconds(server.child.process.pid) - theirs
            await station.close()
    finally:
        await server.remove()
    rate, ceiling = due / fired, due / baseline
    return {
        "benchmark": "schedule",
        "triggers": triggers,
        "fires": due,
        "fires_per_second": round(rate),
        "station_cpu_ms_per_1000_fires": round(processor / due * 1e6, 1),
        "baseline_rows_per_second": round(ceiling),
        "idle_core_percent": round((own + theirs) / ticks / settings.clock_seconds * 100, 3),
        "idle_ticks": ticks,
        "ratio": round(rate / ceiling, 3),
        "mismatches": mismatches,
        "sets": {},
    }


async def wrong(database: Database, due: int) -> int:
    """Fires missing, doubled, or without their command and pending entry."""
    async with database.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT count(DISTINCT trigger_id), count(*) FILTER (WHERE nominal_at = %s),"
                " (SELECT count(*) FROM outbox WHERE topic = 'trigger-commands'),"
                " (SELECT count(*) FROM outbox WHERE topic = 'trigger-results'),"
                " (SELECT count(*) FROM trigger_state WHERE next_scheduled_at <= %s) FROM jobs",
                (DUE, DUE),
            )
        ).fetchone()
    assert row is not None
    return sum(abs(int(found) - due) for found in row[:4]) + int(row[4])


def main() -> None:
    """Read the arguments, print the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--triggers", type=int, default=100_000)
    arguments.add_argument("--due", type=int, default=20_000)
    arguments.add_argument("--ticks", type=int, default=100)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as logs:
        result = asyncio.run(measured(given.triggers, min(given.due, given.triggers), given.ticks, Path(logs)))
    for key, value in result.items():
        print(f"{key:>32}  {value}")
    print(json.dumps(result))
    raise SystemExit(1 if result["mismatches"] else 0)


if __name__ == "__main__":
    main()
