"""Actions that write documents, on a real PostgreSQL and real child processes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.headers import MAX_CAUSE_DEPTH
from streams.act.station import Act
from streams.runtime.agent import Context
from streams.runtime.clock import utc_now
from streams.runtime.definitions import delete_definition
from tests.act.stations import ended, running
from tests.act.support import NAMESPACE, START, add_documents, add_trigger, command, execution, job_row, queue
from tests.act.writing import (
    MAPPINGS,
    Inline,
    Queued,
    collected,
    collections,
    define,
    enrichment,
    queued,
    ran,
    topics,
)
from tests.support import eventually
from tests.victim import killed

TEXTS = ["an ebola outbreak", "morning yoga", "tax returns", "ebola virus again", "running and fitness"]
EXPECTED = ["ebola", "yoga", None, "ebola", "yoga"]


async def news(context: Context, payloads: list[Any] | None = None) -> None:
    await collections(context, "col_a", "col_b")
    await add_documents(context, TEXTS, payloads=payloads)


def topic_of(found: list[Queued]) -> dict[str, Any]:
    return {one.event.document_id: one.event.payload.get("topic") for one in found}


async def test_enrichment_in_place_writes_whole_documents_with_their_cause(context: Context) -> None:
    await news(context, [{"n": number, "tags": ["old"]} for number in range(5)])
    await topics(context)
    job = await ran(context, "taxonomy_enrichment", enrichment(), caused_by=("alt_x",))
    assert job["status"] == "completed", job["error"]
    facts = job["outcome"]
    assert (facts["documents_read"], facts["documents_matched"], facts["documents_written"]) == (5, 4, 4)
    found = await queued(context)
    assert topic_of(found) == {f"d{n:06}": topic for n, topic in enumerate(EXPECTED) if topic}
    first = found[0]
    assert first.event.payload == {"n": 0, "tags": ["old", "ebola"], "topic": "ebola"}
    assert (first.event.text, first.event.collection_id) == (TEXTS[0], "col_a")
    assert first.event.occurred_at == START
    assert {one.causes for one in found} == {"alt_x,trig_1"}
    assert [one.made_from for one in found] == ["0:0", "0:1", "0:3", "0:4"]
    assert len({one.event.event_id for one in found}) == 4


async def test_enrichment_again_changes_nothing(context: Context) -> None:
    await news(context)
    await topics(context)
    await ran(context, "taxonomy_enrichment", enrichment())
    assert await collected(context) == 4
    job = await ran(context, "taxonomy_enrichment", enrichment(), "job_2")
    assert (job["outcome"]["documents_written"], job["outcome"]["documents_unchanged"]) == (0, 4)
    assert await queued(context) == []


async def test_enrichment_of_some_documents_into_another_collection(context: Context) -> None:
    await news(context, [{"n": number} for number in range(5)])
    await topics(context)
    wanted = {"field": "n", "operator": "gte", "value": 2}
    job = await ran(context, "taxonomy_enrichment", enrichment(target_collection_id="col_b", filters=wanted))
    assert (job["outcome"]["documents_read"], job["outcome"]["documents_selected"]) == (5, 3)
    found = await queued(context)
    assert [(one.event.collection_id, one.event.document_id) for one in found] == [
        ("col_b", "d000003"),
        ("col_b", "d000004"),
    ]
    payload = found[0].event.payload
    assert (payload["source_collection_id"], payload["source_document_id"]) == ("col_a", "d000003")
    assert found[0].made_from is None


async def five_collected(context: Context) -> None:
    """The counters of col_a say that its first five documents are there."""
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO collection_counters (namespace_id, collection_id, partition, added, next_offset)"
            " VALUES (%s, 'col_a', 0, 5, 5)",
            (NAMESPACE,),
        )


async def test_an_incremental_run_reads_what_came_since_the_last(context: Context) -> None:
    await news(context)
    await topics(context)
    await five_collected(context)
    first = await ran(context, "taxonomy_enrichment", enrichment(incremental=True))
    assert (first["outcome"]["documents_read"], first["outcome"]["positions"]) == (5, {"0": 5})
    async with context.database.connection() as connection:
        await connection.execute("DELETE FROM outbox")
        await connection.execute(
            "UPDATE documents SET record_offset = 7, text = 'ebola' WHERE document_id = 'd000002'"
        )
    second = await ran(context, "taxonomy_enrichment", enrichment(incremental=True), "job_2")
    assert (second["outcome"]["documents_read"], second["outcome"]["since"]) == (1, {"0": 5})
    assert topic_of(await queued(context)) == {"d000002": "ebola"}


async def test_an_incremental_run_catches_up_on_what_occurred_after_the_last(context: Context) -> None:
    """Of event time: what had been collected when the last run fired, but occurred after its nominal time."""
    await news(context)
    await topics(context)
    await five_collected(context)
    config = enrichment(incremental=True)
    first = await ran(context, "taxonomy_enrichment", config, until=START + timedelta(hours=2))
    assert first["outcome"]["documents_read"] == 2
    second = await ran(context, "taxonomy_enrichment", config, "job_2", until=START + timedelta(hours=4))
    assert second["outcome"]["documents_read"] == 2
    again = await ran(context, "batch_rerun", {"batch_id": "job_2"}, "job_3")
    assert again["outcome"]["documents_read"] == 2
    everything = await ran(context, "taxonomy_enrichment", config, "job_4")
    assert everything["outcome"]["documents_read"] == 1
    nothing = await ran(context, "taxonomy_enrichment", config, "job_5")
    assert nothing["outcome"]["documents_read"] == 0


async def test_nothing_is_written_into_a_collection_that_is_deleted_meanwhile(context: Context) -> None:
    class Deleting(Inline):
        async def run(self, *given: Any) -> Any:
            async with context.database.transaction() as connection:
                await delete_definition(connection, "collection", NAMESPACE, "col_b")
            return await super().run(*given)

    await news(context)
    await topics(context)
    await add_trigger(context)
    config = enrichment(target_collection_id="col_b")
    await queue(context, command(action_type="taxonomy_enrichment", action_config=config, family="trigger"))
    act = Act(context)
    act.pool = Deleting()
    async with running(act):
        await eventually(ended(context), timeout=60)
    job = await job_row(context)
    assert (job["status"], "collection col_b does not exist" in job["error"]) == ("failed", True)
    assert await queued(context) == []


async def test_without_fields_a_document_is_told_what_it_was_matched_to(context: Context) -> None:
    await news(context)
    await topics(context, None)
    await ran(context, "taxonomy_enrichment", enrichment())
    given = (await queued(context))[0].event.payload["taxonomy"]
    assert (given["taxonomy_id"], given["collection_id"], given["document_id"]) == ("tax_1", "col_topics", "ebola")
    assert given["score"] > 0.2


async def test_levels_are_matched_from_the_root_and_override(context: Context) -> None:
    await news(context)
    await topics(context)
    await collections(context, "col_kinds")
    await add_documents(
        context,
        ["ebola outbreak in a hospital", "outbreak of measles"],
        collection="col_kinds",
        payloads=[{"topic": "ebola in hospitals", "severe": True}, {"topic": "measles"}],
    )
    nodes = [
        {"collection_id": "col_topics", "label": "topics", "enrichment_fields": [{"field_path": "topic"}]},
        {
            "collection_id": "col_kinds",
            "parent_collection_id": "col_topics",
            "enrichment_fields": [{"field_path": "topic"}, {"field_path": "severe"}],
        },
    ]
    tree = {"taxonomy_type": "hierarchical", "retriever_id": "ret_like", "input_mappings": MAPPINGS}
    await define(context, "taxonomy", "tax_1", config={**tree, "hierarchical_nodes": nodes})
    job = await ran(context, "taxonomy_enrichment", enrichment())
    assert job["status"] == "completed", job["error"]
    payloads = {one.event.document_id: one.event.payload for one in await queued(context)}
    assert payloads["d000000"] == {"topic": "ebola in hospitals", "severe": True}
    assert payloads["d000001"] == {"topic": "yoga"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"taxonomy_id": "tax_gone"}, "taxonomy tax_gone does not exist"),
        ({"collection_id": "col_gone"}, "collection col_gone does not exist"),
        ({"target_collection_id": "col_off"}, "col_off is disabled"),
        ({"filters": {"field": "n", "operator": "nope", "value": 1}}, "filters: "),
    ],
)
async def test_an_enrichment_that_cannot_be_says_why(context: Context, change: dict[str, Any], words: str) -> None:
    await news(context)
    await topics(context)
    await define(context, "collection", "col_off", enabled=False, source={"type": "direct_upsert"})
    job = await ran(context, "taxonomy_enrichment", enrichment(**change))
    assert job["status"] == "failed"
    assert words in job["error"]
    assert await queued(context) == []


async def test_documents_that_cannot_be_matched_are_told_and_tried_again(context: Context) -> None:
    await news(context, [{"n": 0}, ["no", "object"], {"n": 2}, {"n": 3}, {"n": 4}])
    await topics(context)
    job = await ran(context, "taxonomy_enrichment", enrichment())
    assert (job["status"], job["outcome"]["documents_failed"]) == ("completed", 1)
    (failure,) = job["outcome"]["failures"]
    assert failure["document_id"] == "d000001"
    assert "no object" in failure["error"]
    async with context.database.connection() as connection:
        await connection.execute("UPDATE documents SET payload = '{}' WHERE document_id = 'd000001'")
        await connection.execute("DELETE FROM outbox")
    again = await ran(context, "batch_rerun", {"batch_id": "job_1", "retry_failed_only": True}, "job_2")
    assert again["status"] == "completed", again["error"]
    assert (again["outcome"]["reran"], again["outcome"]["documents_read"]) == ("taxonomy_enrichment", 1)
    assert topic_of(await queued(context)) == {"d000001": "yoga"}
    nothing = await ran(context, "batch_rerun", {"batch_id": "job_2", "retry_failed_only": True}, "job_3")
    assert (nothing["status"], nothing["outcome"]["documents_failed_before"]) == ("completed", 0)


async def test_a_batch_is_run_again_over_fewer_documents(context: Context) -> None:
    await news(context, [{"n": number} for number in range(5)])
    await ran(context, "collection_trigger", {"collection_id": "col_b", "include_collections": ["col_a"]})
    assert await collected(context) == 5
    wanted = {"field": "n", "operator": "lt", "value": 2}
    job = await ran(context, "batch_rerun", {"batch_id": "job_1", "filters": wanted}, "job_2")
    assert job["status"] == "completed", job["error"]
    assert job["outcome"]["documents_written"] == 2
    chain = await ran(context, "batch_rerun", {"batch_id": "job_2"}, "job_3")
    assert chain["outcome"]["documents_written"] == 5
    ids = {one.event.event_id for one in await queued(context)}
    assert len(ids) == 7


async def test_a_clustering_is_run_again_as_a_run_of_its_own(context: Context) -> None:
    await news(context)
    config = execution(algorithm="kmeans", n_clusters=2)
    first = await ran(context, "cluster", config)
    again = await ran(context, "batch_rerun", {"batch_id": "job_1"}, "job_2")
    assert again["status"] == "completed", again["error"]
    assert again["outcome"]["reran"] == "cluster"
    assert again["outcome"]["cluster_id"] == first["outcome"]["cluster_id"]
    assert again["outcome"]["run_id"] != first["outcome"]["run_id"]


@pytest.mark.parametrize(
    ("batch", "words"), [("job_none", "does not exist"), ("job_other", "is processing; it can be run again when")]
)
async def test_a_batch_that_cannot_be_run_again(context: Context, batch: str, words: str) -> None:
    async with context.database.connection() as connection:
        other = command("job_other", namespace_id=NAMESPACE)
        await connection.execute(
            "INSERT INTO jobs (job_id, trigger_id, namespace_id, family, action_type, command, nominal_at,"
            " triggered_at, status, lease_expires_at)"
            " VALUES ('job_other', 'trig_2', %s, 'trigger', 'cluster', %s, %s, %s, 'processing', 'infinity')",
            (NAMESPACE, other.model_dump_json(), START, START),
        )
    job = await ran(context, "batch_rerun", {"batch_id": batch})
    assert job["status"] == "failed"
    assert words in job["error"]


async def test_a_collection_is_made_again_from_its_sources(context: Context) -> None:
    await news(context, [{"n": number} for number in range(5)])
    await define(
        context,
        "collection",
        "col_made",
        enabled=True,
        source={"type": "collection", "collection_ids": ["col_a", "col_b"]},
    )
    await add_documents(context, ["other"], collection="col_b", payloads=[{"n": 9}])
    job = await ran(context, "collection_trigger", {"collection_id": "col_made"})
    assert job["outcome"]["source_collection_ids"] == ["col_a", "col_b"]
    found = await queued(context)
    assert [one.event.payload["n"] for one in found] == [0, 1, 2, 3, 4, 9]
    assert {one.event.collection_id for one in found} == {"col_made"}
    assert {one.causes for one in found} == {"trig_1"}


async def test_a_collection_without_sources_passes_through_the_stream_again(context: Context) -> None:
    await news(context, [{"n": number} for number in range(5)])
    source_filters = {"filters": {"field": "n", "operator": "in", "value": [1, 3]}}
    await ran(context, "collection_trigger", {"collection_id": "col_a", "source_filters": source_filters})
    found = await queued(context)
    assert [one.event.payload for one in found] == [{"n": 1}, {"n": 3}]
    assert [one.made_from for one in found] == ["0:1", "0:3"]


@pytest.mark.parametrize("action", ["collection_trigger", "taxonomy_enrichment"])
async def test_a_chain_of_causes_that_is_too_long_is_refused(context: Context, action: str) -> None:
    await news(context)
    await topics(context)
    chain = tuple(f"trig_{name}" for name in "abcd"[:MAX_CAUSE_DEPTH])
    job = await ran(context, action, enrichment(), caused_by=chain)
    assert job["status"] == "failed"
    assert "trig_a → trig_b → trig_c → trig_d → trig_1" in job["error"]
    assert "watch another collection" in job["error"]
    assert await queued(context) == []


@pytest.mark.kill
@pytest.mark.parametrize(
    ("action", "point", "kept"),
    [("taxonomy_enrichment", "act:before-step@2", 100), ("collection_trigger", "act:after-step@2", 200)],
)
async def test_a_worker_killed_between_batches_is_taken_over(
    context: Context, monkeypatch: pytest.MonkeyPatch, action: str, point: str, kept: int
) -> None:
    """Every document is written once, by the two of them."""
    await collections(context, "col_a")
    await add_documents(context, [f"{TEXTS[number % 2]} {number}" for number in range(250)])
    await topics(context)
    await add_trigger(context)
    config = enrichment() if action == "taxonomy_enrichment" else {"collection_id": "col_a"}
    await queue(context, command(action_type=action, action_config=config, family="trigger"))
    monkeypatch.setattr("streams.act.actions.collection_trigger.STEP", 100)
    step = "import streams.act.actions.collection_trigger as c\nc.STEP = 100"
    await killed(context.settings, "act", point, setup=step, job_lease_seconds="1")
    assert len(await queued(context)) == kept
    async with running(Act(replace(context, clock=utc_now))):
        await eventually(ended(context), timeout=60)
    job = await job_row(context)
    assert (job["status"], job["claim_epoch"], job["outcome"]["documents_written"]) == ("completed", 2, 250)
    found = await queued(context)
    assert len(found) == 250
    assert len({one.event.event_id for one in found}) == 250
    assert len({one.event.document_id for one in found}) == 250


async def test_documents_that_are_there_can_be_left_alone(context: Context) -> None:
    await news(context)
    await add_documents(context, ["there"], collection="col_b")
    config = {"collection_id": "col_b", "include_collections": ["col_a"], "dedup_strategy": "skip"}
    job = await ran(context, "collection_trigger", config)
    assert (job["outcome"]["documents_written"], job["outcome"]["documents_unchanged"]) == (4, 1)
    assert "d000000" not in {one.event.document_id for one in await queued(context)}
