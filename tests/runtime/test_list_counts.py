"""Totals of lists: what the ledger says is what counting the rows says, whatever was done to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from streams.runtime.database import Connection, Database
from streams.runtime.http.bounds import MOST_COUNTED, counted, refuse_many
from streams.runtime.http.errors import ApiError
from streams.runtime.list_counts import Folding, fold, listed, listed_by
from streams.settings import Settings

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = ("ns_a", "ns_b")
STATUSES = ("pending", "completed", "failed")


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Database]:
    """The test's database."""
    async with Database(Settings(database=database_url)) as database:
        yield database


_INSERT = {
    "definition": "INSERT INTO definitions (kind, namespace_id, id, body, version) VALUES (%(kind)s, %(ns)s,"
    " %(id)s, %(body)s, 1) ON CONFLICT (kind, namespace_id, id)"
    " DO UPDATE SET body = EXCLUDED.body, deleted_at = NULL",
    "state": "INSERT INTO trigger_state (trigger_id, namespace_id, family, trigger_type, status)"
    " VALUES (%(id)s, %(ns)s, 'trigger', 'cron', %(switch)s) ON CONFLICT (trigger_id) DO UPDATE"
    " SET status = EXCLUDED.status",
    "job": "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
    " triggered_at, status) SELECT %(id)s || n, 't', %(ns)s, 'trigger', 'cluster', '{}', %(now)s, %(now)s,"
    " %(status)s FROM generate_series(1, 3) n ON CONFLICT (job_id) DO UPDATE SET status = EXCLUDED.status",
    "history": "INSERT INTO trigger_executions (job_id, trigger_id, namespace_id, family, action_type, status,"
    " revision, nominal_at, triggered_at, reason, body) VALUES (%(id)s, %(owner)s, %(ns)s, 'trigger', 'cluster',"
    " %(status)s, 1, %(now)s, %(now)s, '', '{}') ON CONFLICT (job_id) DO UPDATE SET status = EXCLUDED.status",
    "run": "INSERT INTO retriever_executions (execution_id, namespace_id, retriever_id, status, created_at,"
    " completed_at, detail) VALUES (%(id)s, %(ns)s, %(owner)s, %(status)s, %(now)s, %(now)s, '{}'),"
    " ('exec_' || repeat('0', 25) || %(id)s, %(ns)s, %(owner)s, %(status)s, %(now)s, %(now)s, '{}')"
    " ON CONFLICT DO NOTHING",
    "cluster_run": "INSERT INTO cluster_runs (run_id, cluster_id, namespace_id, job_id, status, num_clusters,"
    " num_points, created_at) VALUES (%(id)s, %(owner)s, %(ns)s, %(id)s, %(status)s, 0, 0, %(now)s)"
    " ON CONFLICT DO NOTHING",
}
_OTHER = {
    "forget": "UPDATE definitions SET deleted_at = now() WHERE id = %(id)s AND kind = %(kind)s",
    "end": "DELETE FROM trigger_state WHERE namespace_id = %(ns)s",
    "vanish": "DELETE FROM definitions WHERE namespace_id = %(ns)s AND kind = %(kind)s",
    "clear_jobs": "DELETE FROM jobs WHERE status = %(status)s",
    "clear_runs": "DELETE FROM retriever_executions WHERE namespace_id = %(ns)s",
    "clear_history": "DELETE FROM trigger_executions WHERE trigger_id = %(owner)s",
    "clear_cluster_runs": "DELETE FROM cluster_runs WHERE cluster_id = %(owner)s",
    "empty": "TRUNCATE retriever_executions, trigger_executions",
    "fold": "",
}
_DOINGS = st.lists(
    st.fixed_dictionaries(
        {
            "what": st.sampled_from([*_INSERT, *_OTHER]),
            "ns": st.sampled_from(NAMES),
            "id": st.sampled_from(["a", "b", "c"]),
            "kind": st.sampled_from(["alert", "trigger", "collection"]),
            "owner": st.sampled_from(["x", "y"]),
            "status": st.sampled_from(STATUSES),
            "switch": st.sampled_from(["active", "paused"]),
            "enabled": st.booleans(),
            "channels": st.lists(st.sampled_from(["webhook", "slack"]), max_size=2),
        }
    ),
    max_size=25,
)


_PLAIN = """
SELECT 'collection', namespace_id, '', '{}'::jsonb, count(*) FROM definitions
WHERE kind = 'collection' AND deleted_at IS NULL GROUP BY 2
UNION ALL SELECT 'alert', namespace_id, '', jsonb_build_object('enabled', body -> 'enabled'), count(*)
FROM definitions WHERE kind = 'alert' AND deleted_at IS NULL GROUP BY 2, 4
UNION ALL SELECT 'alert_channel', namespace_id, '', jsonb_build_object('channel_type', c -> 'channel_type'),
    count(*)
FROM definitions, jsonb_array_elements(body #> '{notification_config,channels}') c
WHERE kind = 'alert' AND deleted_at IS NULL GROUP BY 2, 4
UNION ALL SELECT 'trigger', d.namespace_id, '', jsonb_build_object('trigger_type', d.body -> 'trigger_type',
    'action_type', d.body -> 'action_type', 'status', s.status), count(*)
FROM definitions d JOIN trigger_state s ON s.trigger_id = d.id AND s.namespace_id = d.namespace_id
WHERE d.kind = 'trigger' AND d.deleted_at IS NULL GROUP BY 2, 4
UNION ALL SELECT 'task', namespace_id, '', jsonb_build_object('action_type', action_type, 'status', status),
    count(*)
FROM jobs GROUP BY 2, 4
UNION ALL SELECT 'trigger_execution', namespace_id, trigger_id,
    jsonb_build_object('family', family, 'status', status), count(*) FROM trigger_executions GROUP BY 2, 3, 4
UNION ALL SELECT 'retriever_execution', namespace_id, retriever_id, jsonb_build_object('status', status), count(*)
FROM retriever_executions WHERE length(execution_id) < 30 GROUP BY 2, 3, 4
UNION ALL SELECT 'cluster_run', namespace_id, cluster_id, '{}', count(*) FROM cluster_runs GROUP BY 2, 3
"""
_LEDGER = """
SELECT list, namespace_id, owner, facets, sum(n)::bigint FROM list_counts GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
"""


@given(doings=_DOINGS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_says_what_counting_says(database_url: str, doings: Sequence[dict[str, Any]]) -> None:
    asyncio.run(_done(database_url, doings))


async def _done(database_url: str, doings: Sequence[dict[str, Any]]) -> None:
    """Nothing of it is kept: the next example begins with an empty database."""
    async with (
        await psycopg.AsyncConnection.connect(database_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        for doing in doings:
            await _do(connection, doing)
        plain = await _totals(connection, _PLAIN)
        assert await _totals(connection, _LEDGER) == plain
        await fold(connection)
        assert await _totals(connection, _LEDGER) == plain
        assert await fold(connection) == 0
        rows = await connection.execute("SELECT list, namespace_id, owner, facets, n FROM list_counts")
        assert len(await rows.fetchall()) == len(plain)


async def _do(connection: Connection, doing: dict[str, Any]) -> None:
    if doing["what"] == "fold":
        await fold(connection)
        return
    body = {
        "enabled": doing["enabled"],
        "trigger_type": "cron",
        "action_type": "cluster",
        "notification_config": {"channels": [{"channel_type": name} for name in doing["channels"]]},
    }
    statement = {**_INSERT, **_OTHER}[doing["what"]]
    await connection.execute(statement.encode(), {**doing, "now": NOW, "body": Jsonb(body)})


async def _totals(connection: Connection, query: str) -> dict[str, int]:
    rows = await (await connection.execute(query.encode())).fetchall()
    return {json.dumps(row[:4], sort_keys=True): row[4] for row in rows}


async def test_totals_by_facet(here: Database) -> None:
    async with here.transaction() as connection:
        for number in range(6):
            status = STATUSES[number % 3]
            values = {"id": f"j{number}", "ns": NAMES[number % 2], "status": status, "now": NOW}
            await connection.execute(_INSERT["job"].encode(), values)
    async with here.connection() as connection:
        assert await listed(connection, "task", None) == 18
        assert await listed(connection, "task", "ns_a") == 9
        assert await listed(connection, "task", ["ns_a", "ns_b", "ns_c"], status="pending") == 6
        assert await listed(connection, "task", None, status=["failed", "pending"], action_type="cluster") == 12
        assert await listed(connection, "task", [], status=None) == 0
        assert await listed(connection, "task", None, status=[]) == 0
        assert await listed_by(connection, "task", "ns_b", "status") == dict.fromkeys(sorted(STATUSES), 3)


async def test_writers_at_once_lose_no_count_and_wait_for_nobody(here: Database) -> None:
    """While one has counted and not committed, others count and a reader's snapshot stays what it was."""
    values = {"ns": "ns_a", "status": "pending", "now": NOW}
    async with here.transaction() as first, here.transaction(snapshot=True) as reading:
        await first.execute(_INSERT["job"].encode(), {**values, "id": "first"})
        assert await listed(reading, "task", "ns_a") == 0
        async with asyncio.timeout(5):
            for number in range(5):
                async with here.transaction() as other:
                    await other.execute(_INSERT["job"].encode(), {**values, "id": f"other{number}"})
            await Folding(here).tick(NOW)
        assert await listed(reading, "task", "ns_a") == 0
        assert await listed(first, "task", "ns_a") == 18
    await Folding(here).tick(NOW)
    async with here.connection() as connection:
        assert await listed(connection, "task", "ns_a") == 18
        rows = await (await connection.execute("SELECT n FROM list_counts WHERE list = 'task'")).fetchall()
        assert rows == [(18,)]


async def test_what_is_not_counted_beforehand_is_counted_to_a_bound(here: Database) -> None:
    async with here.connection() as connection:
        source = "FROM generate_series(1, %(most)s)"
        assert await counted(connection, source, {"most": MOST_COUNTED}, "numbers") == MOST_COUNTED
        with pytest.raises(ApiError, match="numbers: more than 100,000") as many:
            await counted(connection, source, {"most": MOST_COUNTED + 1}, "numbers")
    refuse_many(MOST_COUNTED, "search")
    with pytest.raises(ApiError, match="there are 100,001") as more:
        refuse_many(MOST_COUNTED + 1, "search")
    assert many.value.status == more.value.status == 409
