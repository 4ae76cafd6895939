"""Changes of many documents, and the end of a namespace, as actions on a real PostgreSQL."""

from dataclasses import replace

import pytest

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.events.document_patch import DocumentPatch
from schemas.headers import PATCH
from streams.act.actions import namespace_delete
from streams.act.actions.namespace_delete import TABLES
from streams.act.station import Act
from streams.runtime.agent import Context
from streams.runtime.clock import utc_now
from streams.runtime.definitions import delete_definition
from streams.runtime.document_writes import Kept, keep_writes
from tests.act.stations import ended, running
from tests.act.support import NAMESPACE, START, add_documents, add_trigger, command, job_row, queue
from tests.act.writing import collections, queued, ran
from tests.support import eventually
from tests.victim import killed


async def news(context: Context) -> None:
    await collections(context, "col_a")
    payloads = [{"n": number, "metadata": {"a": 1}} for number in range(4)]
    await add_documents(context, ["t"] * 4, payloads=payloads)


async def test_what_fits_is_changed_and_carries_the_change(context: Context) -> None:
    await news(context)
    patch = DocumentPatch({"metadata": {"b": 2}, "n": None})
    config = {"collection_id": "col_a", "filters": {"n": {"gte": 2}}, "patch": patch.encode()}
    job = await ran(context, "document_changes", config)
    assert (job["status"], job["outcome"]["documents_written"]) == ("completed", 2)
    found = await queued(context)
    assert [one.event.payload for one in found] == [{"metadata": {"a": 1, "b": 2}}] * 2
    assert {one.headers[PATCH] for one in found} == {patch.encode()}
    assert len({one.event.event_id for one in found}) == 2


async def test_what_fits_is_deleted(context: Context) -> None:
    await news(context)
    await ran(context, "document_changes", {"collection_id": "col_a", "filters": {"n": 1}})
    (one,) = await queued(context)
    assert (one.event.type, one.event.document_id) == ("document.deleted", "d000001")


@pytest.mark.kill
async def test_a_worker_killed_in_a_bulk_change_is_taken_over(context: Context) -> None:
    """Also what was written over HTTP and is not stored yet is changed once, by the two of them."""
    await collections(context, "col_a")
    await add_documents(context, ["t"] * 130, payloads=[{"n": 1}] * 130)
    waiting = [
        Kept(
            number,
            DocumentEvent(UPSERTED, NAMESPACE, "col_a", f"d{number:06}", START, payload={"n": number % 2}),
            START,
            START,
        )
        for number in range(100, 200)
    ]
    async with context.database.transaction() as connection:
        await keep_writes(connection, waiting)
    await add_trigger(context)
    config = {"collection_id": "col_a", "filters": {"n": 1}, "patch": DocumentPatch({"found": True}).encode()}
    await queue(context, command(action_type="document_changes", action_config=config, family="trigger"))
    step = "import streams.act.actions.document_changes as c\nc.STEP = 60"
    await killed(context.settings, "act", "act:after-step@2", setup=step, job_lease_seconds="1")
    # The first hundred, and the odd ones up to 119.
    assert len(await queued(context)) == 100 + 10
    async with running(Act(replace(context, clock=utc_now))):
        await eventually(ended(context), timeout=60)
    job = await job_row(context)
    assert (job["status"], job["claim_epoch"], job["outcome"]["documents_written"]) == ("completed", 2, 150)
    found = [one.event for one in await queued(context)]
    assert {event.document_id for event in found} == {
        f"d{number:06}" for number in range(200) if number < 100 or number % 2
    }
    assert len(found) == 150
    assert all(event.payload == {"n": 1, "found": True} for event in found)


async def test_nothing_is_written_into_a_collection_that_is_gone(context: Context) -> None:
    await news(context)
    async with context.database.transaction() as connection:
        await delete_definition(connection, "collection", NAMESPACE, "col_a")
    job = await ran(context, "document_changes", {"collection_id": "col_a", "patch": '{"fields":{"n":1}}'})
    assert job["status"] == "failed"
    assert await queued(context) == []


async def test_the_rows_of_a_namespace_go_and_those_of_others_stay(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_delete, "STEP", 3)
    await news(context)
    async with context.database.connection() as connection:
        for day in ("2024-01-01", "2024-01-02"):
            await connection.execute(
                f"CREATE TABLE results_{day[-2:]} PARTITION OF result_documents FOR VALUES FROM ('{day}')"
                f" TO ('{day}'::date + 1)".encode()
            )
        await connection.execute(
            "INSERT INTO result_documents (day, base, namespace_id, collection_id, document_id, source_topic,"
            " source_partition, source_offset, appended_at, occurred_at, executed_at, duration_ms,"
            " definitions_version, document) SELECT DATE '2024-01-01' + n %% 2, convert_to('b' || n, 'UTF8'),"
            " CASE n %% 5 WHEN 0 THEN 'ns_other' ELSE %s END, 'c', 'd', '', 0, n, now(), now(), now(), 1, 1, '{}'"
            " FROM generate_series(1, 20) n",
            (NAMESPACE,),
        )
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, occurred_at, appended_at,"
            " partition, record_offset, created_at) VALUES ('ns_other', 'c', 'd', now(), now(), 0, 0, now())"
        )
    job = await ran(context, "namespace_delete", {"namespace_id": NAMESPACE})
    assert job["status"] == "completed", job["error"]
    assert (job["outcome"]["deleted"]["documents"], job["outcome"]["deleted"]["result_documents"]) == (4, 16)
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT namespace_id FROM documents")
        assert await cursor.fetchall() == [("ns_other",)]
        cursor = await connection.execute(
            "SELECT DISTINCT namespace_id, count(*) FROM result_documents GROUP BY 1"
        )
        assert await cursor.fetchall() == [("ns_other", 4)]
        cursor = await connection.execute(
            "SELECT table_name FROM information_schema.columns JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE column_name = 'namespace_id' AND table_schema = 'public'"
            " AND t.table_type = 'BASE TABLE'"
        )
        owned = {row[0] for row in await cursor.fetchall()}
    # Whoever adds a table of a namespace's rows decides whether they go with it.
    kept = {"definitions", "jobs", "reference_feeds", "trigger_state", "webhook_events"}
    # Segments are taken back by the station that builds them.
    kept |= {"vector_segments"}
    # Sums to nothing when what it counts has gone.
    kept |= {"list_counts"}
    # Went when the definitions of its collections did.
    kept |= {"alert_attachments"}
    owned = {name for name in owned if not name.startswith("results_")}
    assert owned - set(TABLES) == kept
