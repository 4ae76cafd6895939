"""The match station on a real broker and database: documents in, results, progress and dead letters out."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import MessageSizeTooLargeError
from psycopg.conninfo import make_conninfo

from schemas.headers import CAUSED_BY, DEFINITIONS_VERSION
from schemas.ids import ExecutionHasher
from schemas.topics import ALERT_RESULTS, DEAD_LETTERS, DOCUMENTS, TOPICS
from streams.match import station
from streams.match.station import Match
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database, StoredPosition, note_positions, stored_positions
from streams.runtime.failure import LogMismatchError
from streams.settings import Settings
from tests.log import Sent, read_topic, recreate
from tests.match.support import (
    COLLECTION,
    NS,
    URI,
    Definitions,
    attribute_filter,
    begin_again,
    committed,
    document_ends,
    feature_search,
    latest,
    matching,
    progress_records,
    publish,
    results,
    sent,
    settled,
    upsert,
)
from tests.support import TestBroker, eventually


def vector(*components: float) -> dict[str, np.ndarray]:
    return {URI: np.array(components, dtype=np.float32)}


def waits(outcome: str) -> float:
    return float(metrics.VERSION_WAITS.labels(outcome)._value.get())


async def started(station: Match) -> None:
    """Wait until a station follows the definitions."""

    async def follows() -> bool:
        return station._tail.catalog.version > 0

    await eventually(follows, what="the definitions are read")


async def test_documents_become_results_and_progress(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_storm", attribute_filter(field="text", operator="text", value="storm"))
    await definitions.alert("alt_near", feature_search([3.0, 4.0], 0.9))
    version = await definitions.alert(
        "alt_words", feature_search("flu outbreak", 0.5, "mixpeek://hashing@v1/words")
    )
    events = [
        upsert("a", text="A Storm over Malmö", features=vector(3, 4), payload={"k": 1}, asset_id="asset"),
        upsert("b", text="calm", features=vector(4, 3), event_id="e-b"),
        upsert("c", text="calm", features=vector(1, 0)),
        upsert("d", text="Flu outbreak"),
        upsert("e", text="storm", collection_id="col_unknown"),
    ]
    async with matching(context):
        await publish(context, *map(sent, events))
        await settled(context)
    topic = context.broker.topic(DOCUMENTS)
    records = {record.document_id: record for record in await results(context)}
    assert {name: [hit.alert_id for hit in record.hits] for name, record in records.items()} == {
        "a": ["alt_storm", "alt_near"],
        "b": ["alt_near"],
        "d": ["alt_words"],
    }
    first = records["a"]
    assert (first.namespace_id, first.collection_id, first.asset_id) == (NS, COLLECTION, "asset")
    assert [hit.score for hit in first.hits] == [1.0, 1.0]
    assert first.hits[0].reason == 'text text "storm"'
    assert first.hits[0].matched_features is None
    assert first.hits[1].matched_features == {URI: 1.0}
    assert first.document == events[0].root()
    assert first.definitions_version == version.number
    assert not first.keyed
    second = records["b"]
    assert second.hits[0].score == 0.96
    assert second.keyed
    hasher = ExecutionHasher(version.epoch)
    assert first.base == hasher.base(NS, None, topic, first.source_partition, first.source_offset)
    assert second.base == hasher.base(NS, "e-b", topic, 0, 0)
    keys = {record.key: record.partition for record in await read_topic(context, ALERT_RESULTS)}
    assert keys == {
        event.key: records[event.document_id].source_partition for event in (events[0], events[1], events[3])
    }

    reached = latest(await progress_records(context))
    ends = await document_ends(context)
    for (partition, _), progress in reached.items():
        assert progress.next_offset <= ends[partition]
        assert progress.definitions_version == version.number
    assert {collection for _, collection in reached} == {COLLECTION, "col_unknown"}
    assert sum(record.documents for record in await progress_records(context)) == 5


async def test_a_record_that_can_never_work_is_put_away(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    bad = Sent(b"ns_test/col_news/x", b'{"namespace_id": 3, \xff', (("x-own", b"\x00\xfe"),), 0)
    wrong = sent(upsert("y", features=vector(1, 2)), (CAUSED_BY, "a"), partition=0)
    wrong = Sent(b"ns_test/col_news/other", wrong.value, wrong.headers, 0)
    async with matching(context):
        await publish(context, bad, sent(upsert("good"), partition=0), wrong, sent(upsert("better"), partition=0))
        await settled(context)
    letters = await read_topic(context, DEAD_LETTERS)
    assert {letter.key: letter.value for letter in letters} == {bad.key: bad.value, wrong.key: wrong.value}
    headers = next(dict(letter.headers) for letter in letters if letter.key == bad.key)
    assert headers["x-own"] == b"\x00\xfe"
    assert headers["x-dead-topic"] == context.broker.topic(DOCUMENTS).encode()
    assert (headers["x-dead-partition"], headers["x-dead-offset"]) == (b"0", b"0")
    assert headers["x-dead-stage"] == b"match"
    assert headers["x-dead-error-type"] == b"DecodeError"
    assert {record.document_id for record in await results(context)} == {"good", "better"}


async def test_deletions_and_watermarks_fire_nothing_but_are_progress(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    deletion = upsert("gone", type="document.deleted")
    async with matching(context):
        await publish(
            context,
            sent(deletion, partition=0),
            Sent(deletion.key, None, partition=0),
            sent(upsert("", type="watermark"), partition=1),
        )
        await settled(context)
    assert await results(context) == []
    reached = latest(await progress_records(context))
    assert {key: record.next_offset for key, record in reached.items()} == {(0, COLLECTION): 2, (1, COLLECTION): 1}
    assert all(record.documents == 0 for record in reached.values())


async def test_redelivery_makes_the_same_ids(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    await definitions.alert("alt_near", feature_search([3.0, 4.0], 0.1))
    chance = np.random.default_rng(3)
    events = [
        upsert(f"d{number}", features={URI: chance.normal(size=2).astype(np.float32)}) for number in range(40)
    ]
    async with matching(context):
        await publish(context, *map(sent, events))
        await settled(context)
    once = [(execution, hit) for record in await results(context) for execution, hit in record.executions()]
    await begin_again(context)
    async with matching(context):
        await settled(context)
    twice = [(execution, hit) for record in await results(context) for execution, hit in record.executions()]
    assert len(once) > 40
    assert len(twice) == 2 * len(once)
    assert dict(twice) == dict(once)
    assert len(dict(once)) == len(once)


async def test_an_alert_never_fires_on_its_own_effects(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_one", attribute_filter(field="document_id", operator="exists"))
    await definitions.alert("alt_two", attribute_filter(field="document_id", operator="exists"))
    async with matching(context):
        await publish(
            context,
            sent(upsert("a"), (CAUSED_BY, "trig_x,alt_one")),
            sent(upsert("b"), (CAUSED_BY, "alt_one,alt_two")),
        )
        await settled(context)
    (record,) = await results(context)
    assert (record.document_id, [hit.alert_id for hit in record.hits]) == ("a", ["alt_two"])
    assert record.caused_by == ("trig_x", "alt_one")


async def test_a_document_waits_for_the_definitions_its_writer_saw(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.collection(COLLECTION, [])
    # Longer than the test: what is awaited here comes over the topic.
    patient = Context(
        context.settings.model_copy(update={"definitions_wait_seconds": 60.0}), context.broker, context.database
    )
    async with matching(patient) as station:
        await started(station)
        version = await definitions.alert(
            "alt_new", attribute_filter(field="document_id", operator="exists"), relay=False
        )
        before, begun = waits("reached"), waits("begun")
        await publish(context, sent(upsert("a"), (DEFINITIONS_VERSION, str(version))))

        async def waiting() -> bool:
            return waits("begun") == begun + 1

        await eventually(waiting)
        assert sum((await committed(context)).values()) == 0
        await definitions.relay()
        await settled(context)
        assert waits("reached") == before + 1
    assert [record.document_id for record in await results(context)] == ["a"]


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        ("{epoch}:999999999", "never_committed"),
        ("9b2f0d2e-0000-4000-8000-000000000000:7", "other_stream"),
        ("nonsense", "malformed"),
    ],
)
async def test_a_version_that_cannot_come_is_not_waited_for(context: Context, header: str, outcome: str) -> None:
    definitions = Definitions(context)
    version = await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    before, begun = waits(outcome), waits("begun")
    async with matching(context):
        await publish(
            context,
            *(sent(upsert(f"d{n}"), (DEFINITIONS_VERSION, header.format(epoch=version.epoch))) for n in range(3)),
        )
        await settled(context)
    assert waits(outcome) > before
    assert waits("begun") == begun
    assert len(await results(context)) == 3


async def test_definitions_that_do_not_come_over_the_topic_are_read_from_the_database(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_old", attribute_filter(field="document_id", operator="exists"))
    before = waits("refreshed")
    async with matching(context) as station:
        await started(station)
        body = {"alert_id": "alt_old", "name": "alt_old", "retriever_id": "ret_alt_old", "enabled": False}
        await definitions.put("alert", "alt_old", body, relay=False)
        version = await definitions.alert(
            "alt_new", attribute_filter(field="document_id", operator="exists"), relay=False
        )
        for number in range(3):
            await publish(context, sent(upsert(f"d{number}"), (DEFINITIONS_VERSION, str(version))))
            await settled(context)
    assert waits("refreshed") == before + 1
    fired = {record.document_id: [hit.alert_id for hit in record.hits] for record in await results(context)}
    assert fired == {f"d{number}": ["alt_new"] for number in range(3)}


@asynccontextmanager
async def impatient(settings: Settings, context: Context) -> AsyncIterator[Context]:
    """The context, with a database that soon gives up on a locked table, as on one that does not answer."""
    dsn = make_conninfo(settings.database, options="-c lock_timeout=100")
    async with Database(settings.model_copy(update={"database": dsn})) as database:
        yield Context(context.settings, context.broker, database, context.clock)


async def test_a_batch_is_tried_again_while_the_database_cannot_say_what_its_writers_saw(
    settings: Settings, context: Context
) -> None:
    definitions = Definitions(context)
    await definitions.collection(COLLECTION, [])
    retries = metrics.RETRIES.labels("match")
    async with impatient(settings, context) as hasty, matching(hasty) as station:
        await started(station)
        version = await definitions.alert(
            "alt_new", attribute_filter(field="document_id", operator="exists"), relay=False
        )
        before = retries._value.get()
        async with context.database.transaction() as connection:
            await connection.execute("LOCK TABLE stream_identity IN ACCESS EXCLUSIVE MODE")
            await publish(context, sent(upsert("a"), (DEFINITIONS_VERSION, str(version))))

            async def retried() -> bool:
                return bool(retries._value.get() > before + 1)

            await eventually(retried, what="the batch is tried again")
            assert sum((await committed(context)).values()) == 0
        await settled(context)
    assert [record.document_id for record in await results(context)] == ["a"]


async def test_a_topic_that_is_not_the_one_we_read_stops_the_station(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    async with matching(context):
        await publish(context, *(sent(upsert(f"d{number}"), partition=0) for number in range(3)))
        await settled(context)
    await recreate(context, DOCUMENTS)
    await publish(context, *(sent(upsert(f"other{number}"), partition=0) for number in range(5)))
    with pytest.raises(LogMismatchError, match="another record than the one processed"):
        await asyncio.wait_for(Match(context).run(), 30)
    assert {record.document_id for record in await results(context)} == {"d0", "d1", "d2"}


@pytest.mark.parametrize("noted", [1, 2, 4])
async def test_what_was_read_last_may_be_behind_or_ahead_of_the_commit(context: Context, noted: int) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    await publish(context, *(sent(upsert(f"d{number}"), partition=0) for number in range(2)))
    async with matching(context):
        await settled(context)
    await publish(context, *(sent(upsert(f"d{number}"), partition=0) for number in range(2, 4)))
    last = (await read_topic(context, DOCUMENTS))[noted - 1]
    partition = TopicPartition(context.broker.topic(DOCUMENTS), 0)
    async with context.database.connection() as connection:
        held = await stored_positions(connection, "match", partition.topic)
        assert {number: position.next_offset for number, position in held.items()} == {0: 2}
        at = StoredPosition(noted, last.timestamp, last.key)
        await note_positions(connection, "match", {partition: at})
    async with matching(context):
        await settled(context)
    assert sorted(record.document_id for record in await results(context)) == ["d0", "d1", "d2", "d3"]


async def test_a_batch_whose_end_cannot_be_written_down_is_done_all_the_same(
    settings: Settings, context: Context
) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    async with impatient(settings, context) as hasty, matching(hasty):
        await publish(context, sent(upsert("a"), partition=0))
        await settled(context)
        async with context.database.transaction() as connection:
            await connection.execute("LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
            await publish(context, sent(upsert("b"), partition=0))
            await settled(context)
    assert [record.document_id for record in await results(context)] == ["a", "b"]
    async with context.database.connection() as connection:
        held = await stored_positions(connection, "match", context.broker.topic(DOCUMENTS))
    assert held[0].next_offset == 1


async def test_changes_of_definitions_are_followed(context: Context) -> None:
    definitions = Definitions(context)
    version = await definitions.alert("alt_one", attribute_filter(field="document_id", operator="exists"))
    async with matching(context):
        await publish(context, sent(upsert("first"), (DEFINITIONS_VERSION, str(version))))
        await settled(context)
        body = {"alert_id": "alt_one", "name": "alt_one", "retriever_id": "ret_alt_one", "enabled": False}
        version = await definitions.put("alert", "alt_one", body)
        await publish(context, sent(upsert("second"), (DEFINITIONS_VERSION, str(version))))
        await settled(context)
        version = await definitions.put("alert", "alt_one", {**body, "enabled": True})
        await publish(context, sent(upsert("third"), (DEFINITIONS_VERSION, str(version))))
        await settled(context)
    found = await results(context)
    assert {record.document_id: record.hits[0].alert_version for record in found} == {
        "first": 2,
        "third": version.number,
    }


async def test_a_large_document_is_cut_from_its_result(context: Context) -> None:
    definitions = Definitions(context)
    await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
    # It compresses well, so the broker takes the document; its result would be as large without compression.
    async with matching(context):
        await publish(context, sent(upsert("large", payload={"body": "tide " * 400_000})), sent(upsert("small")))
        await settled(context)
    found = {record.document_id: record for record in await results(context)}
    assert found["large"].truncated
    assert found["large"].document == {}
    assert [hit.alert_id for hit in found["large"].hits] == ["alt_all"]
    assert not found["small"].truncated


@asynccontextmanager
async def limited(settings: Settings, max_bytes: int) -> AsyncIterator[Context]:
    """A context whose broker takes no larger batches of results. The topic is created so, because a changed
    configuration comes into force some time after the broker has answered."""
    broker = Broker(settings)
    admin = broker.admin()
    await admin.start()
    try:
        configs = {"max.message.bytes": str(max_bytes)}
        await admin.create_topics([NewTopic(broker.topic(ALERT_RESULTS), 3, 1, topic_configs=configs)])
        await broker.create_topics()
        async with Database(settings) as database:
            yield Context(settings, broker, database)
        await admin.delete_topics([broker.topic(topic) for topic in TOPICS])
    finally:
        await admin.close()


def noise(seed: int, size: int) -> str:
    return random.Random(seed).randbytes(size).hex()


@pytest.mark.kafka
async def test_a_broker_with_a_lower_limit_gets_smaller_records(
    settings: Settings, real_kafka: TestBroker
) -> None:
    events = [upsert(f"d{n}", payload={"noise": noise(n, 4_000 if n % 5 == 0 else 100)}) for n in range(20)]
    async with limited(settings, 3_000) as context:
        definitions = Definitions(context)
        await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
        await definitions.alert("alt_too", attribute_filter(field="document_id", operator="exists"))
        async with matching(context):
            await publish(context, *(sent(event, partition=n % 2) for n, event in enumerate(events)))
            await settled(context)
        found = {record.document_id: record for record in await results(context)}
    assert {name: record.truncated for name, record in found.items()} == {f"d{n}": n % 5 == 0 for n in range(20)}
    assert all(len(record.hits) == 2 for record in found.values())


@pytest.mark.kafka
async def test_batches_in_flight_behind_a_refused_one_are_sent_again(
    settings: Settings, real_kafka: TestBroker
) -> None:
    """The results of one batch of documents go to one partition in a batch that the broker takes, so that it knows
    the producer, one that it refuses, and others that were numbered after that one."""
    sizes = [50_000, 50_000, 50_000, 420_000, 50_000, 50_000]
    events = [upsert(f"d{n}", payload={"noise": noise(n, size)}) for n, size in enumerate(sizes)]
    async with limited(settings, 400_000) as context:
        definitions = Definitions(context)
        await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
        await publish(context, *(sent(event, partition=0) for event in events))
        async with matching(context):
            await settled(context)
        found = [record.document_id for record in await results(context)]
    assert sorted(found) == [event.document_id for event in events]


@pytest.mark.kafka
async def test_nothing_is_committed_when_results_are_refused(settings: Settings, real_kafka: TestBroker) -> None:
    async with limited(settings, 100) as context:
        definitions = Definitions(context)
        await definitions.alert("alt_all", attribute_filter(field="document_id", operator="exists"))
        await publish(context, sent(upsert("a")))
        with pytest.raises(MessageSizeTooLargeError):
            await asyncio.wait_for(Match(context).run(), 30)
        assert sum((await committed(context)).values()) == 0
        assert await results(context) == []
        assert await progress_records(context) == []


async def test_a_batch_that_look_ups_have_no_time_for_is_done_in_parts(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no time at all each batch does one document: all are matched, each once, and counted once."""
    monkeypatch.setattr(station, "LOOK_UP_SECONDS", 0.0)
    definitions = Definitions(context)
    await definitions.put("collection", "col_people", {"collection_id": "col_people", "enabled": True})
    retriever = {"collection_identifiers": ["col_people"], "stages": [attribute_filter(role="{{INPUT.role}}")]}
    await definitions.put("retriever", "ret", retriever)
    alert = {"alert_id": "alt", "retriever_id": "ret", "enabled": True, "trigger_on": "no_results"}
    await definitions.put("alert", "alt", alert)
    source = {"source_type": "document_field", "path": "role"}
    application = {"alert_id": "alt", "input_mappings": [{"input_key": "role", "source": source}]}
    await definitions.collection(COLLECTION, [application])
    count = 9
    await publish(
        context, *(sent(upsert(f"d{at}", payload={"role": "x"}), partition=at % 3) for at in range(count))
    )
    async with matching(context):
        await settled(context)
    found = await results(context)
    assert {record.document_id for record in found} == {f"d{at}" for at in range(count)}
    assert len(found) == count
    told = await progress_records(context)
    assert sum(record.documents for record in told) == count
    ends = await document_ends(context)
    assert {partition: one.next_offset for (partition, _), one in latest(told).items()} == {
        partition: end for partition, end in ends.items() if end
    }
