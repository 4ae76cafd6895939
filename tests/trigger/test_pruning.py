"""Old jobs and checks go; what an action or a schedule goes on from stays."""

from datetime import datetime, timedelta

from streams.runtime.agent import Context
from streams.trigger.pruning import BATCH, EVERY, Pruning
from tests.trigger.support import NAMESPACE, at, create_trigger, rows

NOW = at("2024-06-01")


async def job(
    context: Context, job_id: str, days: float, status: str = "completed", *, trigger: str = "trig_1"
) -> None:
    moment = NOW - timedelta(days=days)
    ended: datetime | None = None if status in ("pending", "processing") else moment
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
            " triggered_at, status, started_at, finished_at)"
            " VALUES (%s, %s, %s, 'trigger', 'cluster', '{}', %s, %s, %s, %s, %s)",
            (job_id, trigger, NAMESPACE, moment, moment, status, ended, ended),
        )


async def kept(context: Context) -> set[str]:
    return {row[0] for row in await rows(context, "SELECT job_id FROM jobs")}


async def test_old_jobs_go_but_for_the_newest(context: Context) -> None:
    await job(context, "older", 90)
    await job(context, "oldest", 95)
    await job(context, "newest", 60)
    await job(context, "failed", 90, "failed")
    await job(context, "failed_since", 80, "failed")
    await job(context, "running", 90, "processing")
    await job(context, "waiting", 90, "pending")
    await job(context, "of_another", 90, trigger="trig_2")
    await job(context, "recent", 29, trigger="trig_3")
    await job(context, "recent_too", 28, trigger="trig_3")
    await job(context, "of_a_run", 90, trigger="trig_4")
    await job(context, "after_the_run", 80, trigger="trig_4")
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, created_at)"
            " VALUES ('run', 'clust_1', %s, 'of_a_run', 'completed', now())",
            (NAMESPACE,),
        )
    pruning = Pruning(context.database, 30)
    await pruning.tick(NOW)
    stay = {"newest", "failed_since", "running", "waiting", "of_another", "recent", "recent_too"}
    stay |= {"of_a_run", "after_the_run"}
    assert await kept(context) == stay
    # Looked at once an hour.
    later = NOW + timedelta(days=1, hours=12)
    pruning = Pruning(context.database, 30)
    await pruning.tick(NOW)
    await job(context, "old_now", 90, trigger="trig_3")
    await pruning.tick(NOW + EVERY / 2)
    assert await kept(context) == stay | {"old_now"}
    await pruning.tick(later)
    assert await kept(context) == stay - {"recent"}


async def test_old_checks_go_however_many(context: Context) -> None:
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO trigger_checks (trigger_id, nominal_at, measurement, fired, reason, checked_at)"
            " SELECT 'trig_1', %(now)s::timestamptz - n * interval '1 minute', '{}'::jsonb, false, '',"
            " %(now)s::timestamptz - interval '40 days' FROM generate_series(1, %(n)s) AS n"
            " UNION ALL SELECT 'trig_1', %(now)s, '{}'::jsonb, false, '', %(now)s",
            {"now": NOW, "n": BATCH + 1},
        )
    await Pruning(context.database, 30).tick(NOW)
    assert await rows(context, "SELECT nominal_at FROM trigger_checks") == [(NOW,)]


async def test_what_a_deleted_trigger_kept_goes_in_time(context: Context) -> None:
    config = {"condition_type": "volume", "threshold": 1, "check_interval_seconds": 3_600}
    for name in ("trig_1", "trig_2", "trig_3"):
        await create_trigger(context, name, "conditional", config, now=NOW)
        await rows(
            context,
            "INSERT INTO trigger_buckets (trigger_id, width_seconds, bucket_start, version, sketch)"
            " VALUES (%s, 3600, now(), 1, '') RETURNING 1",
            name,
        )
    for name, days in (("trig_1", 40), ("trig_2", 20)):
        deleted = NOW - timedelta(days=days)
        await rows(context, "UPDATE definitions SET deleted_at = %s WHERE id = %s RETURNING 1", deleted, name)
    await Pruning(context.database, 30).tick(NOW)
    left = await rows(context, "SELECT trigger_id FROM trigger_buckets ORDER BY trigger_id")
    assert left == [("trig_2",), ("trig_3",)]
