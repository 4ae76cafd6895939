"""The station on a real broker and a real PostgreSQL: what it stores equals a plain recomputation of the topic."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition

from schemas.times import format_instant, from_millis
from schemas.topics import DOCUMENTS
from streams.collect import store
from streams.collect.arrivals import Key
from streams.collect.station import Collect
from streams.collect.store import created_at
from streams.engines.drift.sketch import Sketch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from streams.runtime.database import Connection, Database
from streams.runtime.failure import LogMismatchError, PositionLostError
from tests.collect.harness import (
    DAY,
    DRIFT,
    NS,
    assert_equal_to_recomputation,
    assert_same_sketches,
    caught_up,
    collecting,
    dead_letters,
    define_trigger,
    drop_trigger,
    dumps,
    fetch,
    plain_sketches,
    recompute,
    sent,
    stored_sketches,
    upsert,
)
from tests.log import Sent, read_topic, send
from tests.support import eventually

WORDS = ["ebola", "outbreak", "flu", "shot", "heart", "sleep", "diet", "study", "cancer", "drug", "food", "child"]
FEATURE = "mixpeek://model@v1/embedding"
NUMBER = {"field": "n", "field_type": "number", "metric": "ks"}
CATEGORY = {"field": "of.word", "field_type": "category", "metric": "psi"}


def workload(seed: int, size: int) -> list[Sent]:
    """Writes, updates, deletions (as events and as null values), repeats, watermarks, late documents."""
    rng = random.Random(seed)
    records: list[Sent] = []
    repeatable: list[Sent] = []
    for number in range(size):
        document, collection = f"d{rng.randrange(size // 2)}", rng.choice(("col_a", "col_a", "col_b"))
        hours = number / 4 + rng.choice((0, 0, 0, -30))
        match rng.randrange(10):
            case 0:
                records.append(Sent(f"{NS}/{collection}/{document}".encode(), None))
            case 1:
                records.append(sent(upsert(document, collection, type="document.deleted", hours=hours)))
            case 2 if repeatable:
                records.append(rng.choice(repeatable))
            case 3:
                mark = upsert("", collection, type="watermark", hours=hours - 1)
                records += [sent(mark, partition=partition) for partition in range(3)]
            case 4:
                stamp = format_instant(DAY + timedelta(hours=hours - 5)).encode()
                records.append(sent(upsert(document, collection, hours=hours), headers=(("x-watermark", stamp),)))
            case _:
                features = {FEATURE: np.array([rng.random(), 1, number], dtype=np.float32)} if number % 3 else {}
                event = upsert(
                    document,
                    collection,
                    hours=hours,
                    payload={
                        "text": " ".join(rng.choices(WORDS, k=5)),
                        "n": number,
                        "of": [{"word": word} for word in rng.choices(WORDS, k=rng.randrange(3))],
                    },
                    text=rng.choice((None, " ".join(rng.choices(WORDS, k=6)))),
                    event_id=f"e{seed}-{number}" if number % 2 else None,
                    features=features,
                )
                records.append(sent(event))
                if event.event_id:
                    repeatable.append(records[-1])
    return records


def with_settings(context: Context, **changes: Any) -> Context:
    """The same context with other settings."""
    return Context(context.settings.model_copy(update=changes), context.broker, context.database, context.clock)


async def test_what_is_stored_equals_a_plain_recomputation(context: Context) -> None:
    context = with_settings(context, batch_documents=40, allowed_lateness_seconds=3_600.0)
    await define_trigger(context, "trig_words", "conditional", DRIFT)
    await define_trigger(context, "trig_model", "conditional", DRIFT | {"feature_uri": FEATURE})
    await define_trigger(context, "trig_number", "conditional", DRIFT | NUMBER)
    await define_trigger(context, "trig_category", "conditional", DRIFT | CATEGORY)
    await send(context, workload(1, 300))
    async with collecting(context):
        await caught_up(context)
        await send(context, workload(2, 100))
        await caught_up(context)
    truth = await assert_equal_to_recomputation(context, lateness=3_600.0)
    totals = {name: sum(count[name] for count in truth.counts.values()) for name in ("duplicates", "late")}
    assert min(totals.values()) > 5
    assert len({place[1] for place in truth.counts}) == 3
    for feature in (HashingEmbedder.URI, FEATURE, "number:n", "category:of.word"):
        for width in (24, 30 * 24):
            assert_same_sketches(
                await stored_sketches(context, feature, width_hours=width),
                plain_sketches(truth, feature, width_hours=width),
            )


async def test_after_many_new_documents_one_that_is_stored_is_still_an_update(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents are then not looked up before they are stored: that one is found out, and all count once."""
    looked_up: list[int] = []

    async def counting(connection: Connection, keys: Collection[Key]) -> dict[Key, datetime]:
        looked_up.append(len(keys))
        return await created_at(connection, keys)

    monkeypatch.setattr(store, "created_at", counting)
    context = with_settings(context, batch_documents=5)
    await define_trigger(context, "trig_words", "conditional", DRIFT)
    await define_trigger(context, "trig_events", "event", {"event_type": "documents_added", "event_threshold": 50})
    new = [sent(upsert(f"d{number}", text=f"flu {number}", event_id=f"e{number}")) for number in range(80)]
    await send(context, new)
    async with collecting(context):
        await caught_up(context)
        assert 8 * 5 <= sum(looked_up) <= 60
        looked_up.clear()
        await send(context, [sent(upsert("d7", text="sleep")), new[9], sent(upsert("d80", text="new"))])
        await caught_up(context)
        assert sum(looked_up) >= 1
    truth = await assert_equal_to_recomputation(context)
    assert sum((+count for count in truth.counts.values()), Counter()) == {
        "added": 81,
        "updated": 1,
        "duplicates": 1,
    }
    assert_same_sketches(
        await stored_sketches(context, HashingEmbedder.URI), plain_sketches(truth, HashingEmbedder.URI)
    )
    assert await fetch(
        context, "SELECT event_counter, fire_sequence FROM trigger_state WHERE trigger_id = 'trig_events'"
    ) == [(31, 1)]


async def test_late_documents_are_measured_alike_as_they_come_and_by_a_trigger_made_later(
    context: Context,
) -> None:
    await define_trigger(context, "trig_first", "conditional", DRIFT | {"check_interval_seconds": 3_600})
    late = (("x-late", format_instant(DAY + timedelta(hours=30)).encode()),)
    records = [
        sent(upsert(f"d{number}", text="flu shot", hours=number % 7 * 5, payload={"n": 1})) for number in range(40)
    ]
    records += [
        sent(upsert(f"e{number}", text="flu", hours=2, payload={"n": 2}), headers=late) for number in range(5)
    ]
    await send(context, records)
    async with collecting(context):
        await caught_up(context)
        hourly = {"check_interval_seconds": 3_600}
        await define_trigger(context, "trig_second", "conditional", DRIFT | NUMBER | hourly)

        async def seeded() -> bool:
            return bool(await stored_sketches(context, "number:n", width_hours=1))

        await eventually(seeded)
    counts = [
        {place: sketch.count for place, sketch in (await stored_sketches(context, key, width_hours=1)).items()}
        for key in (HashingEmbedder.URI, "number:n")
    ]
    words, numbers = counts
    assert words == numbers
    assert sum(words.values()) == 45
    assert not any(moment == DAY + timedelta(hours=2) for _, moment in words)


async def test_records_that_cannot_be_stored_become_dead_letters_and_the_rest_goes_on(context: Context) -> None:
    bad = [
        Sent(None, b"not json"),
        Sent(
            f"{NS}/col_a/other".encode(), dumps({"namespace_id": NS, "collection_id": "col_a", "document_id": "x"})
        ),
        Sent(
            f"{NS}/col_a/v".encode(),
            sent(upsert("v", features={FEATURE: np.ones(20_000, dtype=np.float32)})).value,
        ),
        Sent(f"{NS}/col_a/n".encode(), sent(upsert("n", payload={"text": "a\x00b"})).value, (("kept", b"1"),)),
        sent(upsert("e", event_id="nul\x00")),
    ]
    rng = random.Random(7)
    long_id = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(1_000))
    bad.append(sent(upsert(long_id)))
    good = [sent(upsert(f"d{number}", payload={"n": number}, hours=number)) for number in range(40)]
    mixed = good + bad
    rng.shuffle(mixed)
    await send(context, mixed)
    async with collecting(context):
        await caught_up(context)
    letters = await dead_letters(context)
    assert sorted((letter.key or b"", letter.value) for letter in letters) == sorted(
        (record.key or b"", record.value) for record in bad
    )
    headers = {letter.key: dict(letter.headers) for letter in letters}
    assert headers[f"{NS}/col_a/n".encode()]["kept"] == b"1"
    assert headers[f"{NS}/col_a/n".encode()]["x-dead-stage"] == b"collect"
    rows = await fetch(context, "SELECT document_id FROM documents ORDER BY 1")
    assert [row[0] for row in rows] == sorted(f"d{number}" for number in range(40))
    assert await fetch(context, "SELECT sum(added)::int FROM collection_counters") == [(40,)]


async def test_an_update_replaces_all_vectors_and_a_deletion_removes_them(context: Context) -> None:
    two = {"mixpeek://a@v1/x": np.ones(2, dtype=np.float32), "mixpeek://b@v1/y": np.ones(3, dtype=np.float32)}
    await send(context, [sent(upsert(name, features=two)) for name in ("kept", "changed", "gone")])
    async with collecting(context):
        await caught_up(context)
        created = await fetch(context, "SELECT created_at FROM documents WHERE document_id = 'changed'")
        await send(
            context,
            [
                sent(upsert("changed", features={"mixpeek://b@v1/y": np.zeros(3, dtype=np.float32)}, hours=1)),
                Sent(f"{NS}/col_a/gone".encode(), None),
            ],
        )
        await caught_up(context)
    rows = await fetch(context, "SELECT document_id, feature_uri FROM document_vectors ORDER BY 1, 2")
    assert rows == [("changed", "mixpeek://b@v1/y"), ("kept", "mixpeek://a@v1/x"), ("kept", "mixpeek://b@v1/y")]
    assert await fetch(context, "SELECT created_at FROM documents WHERE document_id = 'changed'") == created
    await assert_equal_to_recomputation(context)


async def test_an_event_trigger_fires_exactly_at_its_thresholds(context: Context) -> None:
    await define_trigger(context, "trig_added", "event", {"event_type": "documents_added", "event_threshold": 10})
    await define_trigger(
        context, "trig_clusters", "event", {"event_type": "documents_updated"}, kind="cluster_trigger"
    )
    await define_trigger(context, "trig_paused", "event", {"event_type": "documents_added"}, status="paused")
    await define_trigger(context, "trig_other", "event", {"event_type": "documents_added"}, collections=("col_b",))
    context = with_settings(context, batch_documents=7)
    records = [sent(upsert(f"d{number}", event_id=f"e{number}")) for number in range(34)]
    records += records[:20]  # repeats count once
    records.append(sent(upsert("d3", hours=1)))
    own = (("x-caused-by", b"alt_1,trig_added"),)
    records += [sent(upsert(f"own{number}"), headers=own) for number in range(9)]
    await send(context, records)
    async with collecting(context):
        await caught_up(context)
    states = await fetch(
        context, "SELECT trigger_id, event_counter, fire_sequence FROM trigger_state ORDER BY trigger_id"
    )
    assert states == [("trig_added", 4, 3), ("trig_clusters", 0, 1), ("trig_other", 0, 0), ("trig_paused", 0, 0)]
    jobs = await fetch(
        context, "SELECT trigger_id, action_type, command FROM jobs ORDER BY trigger_id, nominal_at"
    )
    assert [job[0] for job in jobs] == ["trig_added"] * 3 + ["trig_clusters"]
    assert jobs[0][2]["reason"] == "documents_added: 10 events counted, threshold 10"
    assert (jobs[3][1], jobs[3][2]["action_config"]) == ("cluster", {"cluster_id": "clust_1"})
    outbox = await fetch(context, "SELECT topic, count(*) FROM outbox GROUP BY topic ORDER BY topic")
    assert outbox == [("definitions", 4), ("trigger-commands", 4), ("trigger-results", 4)]


async def test_a_cooldown_runs_on_the_documents_append_time(context: Context) -> None:
    schedule = {"event_type": "documents_added", "event_threshold": 2, "cooldown_seconds": 300}
    await define_trigger(context, "trig_cool", "event", schedule)
    start = int(DAY.timestamp()) * 1_000
    seconds = (0, 1, 2, 3, 4, 300, 301, 302, 303)
    await send(
        context,
        [sent(upsert(f"d{second}"), partition=0, timestamp_ms=start + second * 1_000) for second in seconds],
    )
    async with collecting(context):
        await caught_up(context)
    fires = await fetch(context, "SELECT nominal_at, command ->> 'reason' FROM jobs ORDER BY nominal_at")
    assert [(at - DAY).total_seconds() for at, _ in fires] == [1, 301]
    assert fires[1][1] == "documents_added: 5 events counted, threshold 2, after a cooldown of 300 s"
    rows = await fetch(context, "SELECT event_counter, last_cooldown_at FROM trigger_state")
    assert rows == [(2, DAY + timedelta(seconds=301))]


async def test_a_trigger_made_later_is_seeded_to_the_same_numbers(context: Context) -> None:
    context = with_settings(context, batch_documents=30)
    await define_trigger(context, "trig_first", "conditional", DRIFT)
    records = [
        sent(
            upsert(
                f"d{number}",
                text=WORDS[number % 12] + " " + WORDS[number % 5] if number % 2 else None,
                payload={"text": WORDS[number % 7]} if number % 3 else [number],
                hours=number,
                features={FEATURE: np.array([number, 1, 2], dtype=np.float32)},
            )
        )
        for number in range(200)
    ]
    await send(context, records[:150])
    async with collecting(context):
        await caught_up(context)
        hourly = DRIFT | {"check_interval_seconds": 3_600}
        await define_trigger(context, "trig_later", "conditional", hourly)
        await define_trigger(context, "trig_model", "conditional", DRIFT | {"feature_uri": FEATURE})

        async def seeded() -> bool:
            rows = await fetch(context, "SELECT count(*) FROM drift_seeds")
            return bool(rows[0][0] == 3 * (3 + 2))

        # No document comes in the meantime: seeding does not wait for one.
        await eventually(seeded)
        truth = await recompute(context)
        assert_same_sketches(await stored_sketches(context, FEATURE), plain_sketches(truth, FEATURE))
        await send(context, records[150:])
        await caught_up(context)
    truth = await assert_equal_to_recomputation(context)
    assert_same_sketches(await stored_sketches(context, FEATURE), plain_sketches(truth, FEATURE))
    words = await fetch(
        context,
        "SELECT width_seconds, sum(documents)::int, count(*) FROM drift_sketches WHERE feature = %s"
        " GROUP BY width_seconds ORDER BY 1",
        (HashingEmbedder.URI,),
    )
    assert [row[:2] for row in words] == [(3_600, 200), (86_400, 200), (2_592_000, 200)]
    assert words[0][2] == 200


async def test_sketches_nobody_asks_for_go_and_come_back_complete(context: Context) -> None:
    await define_trigger(context, "trig_one", "conditional", DRIFT)
    await send(context, [sent(upsert(f"d{number}", text="flu shot", hours=number)) for number in range(60)])
    async with collecting(context):
        await caught_up(context)
        await drop_trigger(context, "trig_one")

        async def rows(expected: int) -> bool:
            found = await fetch(
                context, "SELECT (SELECT count(*) FROM drift_sketches) + (SELECT count(*) FROM drift_seeds)"
            )
            return bool((found[0][0] > 0) == bool(expected))

        await eventually(lambda: rows(0), what="sketches going")
        await send(context, [sent(upsert(f"e{number}", text="ebola", hours=number)) for number in range(60)])
        await caught_up(context)
        await define_trigger(context, "trig_two", "conditional", DRIFT)
        await eventually(lambda: rows(1), what="sketches coming back")
    truth = await recompute(context)
    assert_same_sketches(
        await stored_sketches(context, HashingEmbedder.URI), plain_sketches(truth, HashingEmbedder.URI)
    )


async def test_a_vector_of_other_dimensions_is_stored_but_not_sketched(context: Context) -> None:
    await define_trigger(context, "trig_model", "conditional", DRIFT | {"feature_uri": FEATURE})
    vectors = [np.ones(3), np.ones(3), np.ones(5), np.ones(3)]
    await send(
        context,
        [
            sent(upsert(f"d{number}", features={FEATURE: vector.astype(np.float32)}), partition=0)
            for number, vector in enumerate(vectors)
        ],
    )
    async with collecting(context):
        await caught_up(context)
        await send(context, [sent(upsert("more", features={FEATURE: np.ones(5, dtype=np.float32)}), partition=1)])
        await caught_up(context)
    assert len(await fetch(context, "SELECT FROM document_vectors")) == 5
    cells = await stored_sketches(context, FEATURE)
    ((place, sketch),) = cells.items()
    assert isinstance(sketch, Sketch)
    assert (place, sketch.count, sketch.dimensions) == ((0, DAY), 3, 3)


async def test_two_workers_share_the_partitions_through_a_rebalance(context: Context) -> None:
    context = with_settings(context, batch_documents=20)
    await define_trigger(context, "trig_words", "conditional", DRIFT)
    await define_trigger(context, "trig_added", "event", {"event_type": "documents_added", "event_threshold": 5})
    await send(context, workload(3, 200))
    async with collecting(context):
        await send(context, workload(4, 200))
        async with collecting(context) as second:
            await send(context, workload(5, 300))

            async def shared() -> bool:
                return 0 < len(second._positions) < 3

            await eventually(shared, what="the second worker getting partitions")
            await send(context, workload(6, 200))
            await caught_up(context)
        await send(context, workload(7, 100))
        await caught_up(context)
    # Document ids meet in all workloads.
    found = await fetch(context, "SELECT sum(added - deleted)::int FROM collection_counters")
    assert found[0][0] == (await fetch(context, "SELECT count(*) FROM documents"))[0][0]
    truth = await assert_equal_to_recomputation(context)
    assert_same_sketches(
        await stored_sketches(context, HashingEmbedder.URI), plain_sketches(truth, HashingEmbedder.URI)
    )
    added = sum(count["added"] for (collection, _), count in truth.counts.items() if collection == "col_a")
    state = await fetch(
        context, "SELECT event_counter, fire_sequence FROM trigger_state WHERE trigger_type = 'event'"
    )
    assert state == [(added % 5, added // 5)]
    assert await fetch(context, "SELECT count(*) FROM jobs") == [(added // 5,)]


async def test_a_repeat_in_another_partition_counts_once_whoever_reads_it(context: Context) -> None:
    context = with_settings(context, batch_documents=10)
    await define_trigger(
        context, "trig_added", "event", {"event_type": "documents_added", "event_threshold": 1_000}
    )
    repeats = [
        sent(upsert(f"d{number}-{partition}", event_id=f"e{number}"), partition=partition)
        for number in range(100)
        for partition in range(3)
    ]
    async with collecting(context), collecting(context) as second:

        async def shared() -> bool:
            return 0 < len(second._positions) < 3

        await eventually(shared, what="the second worker getting partitions")
        await send(context, repeats)
        await caught_up(context)
    rows = await fetch(context, "SELECT sum(added)::int, sum(duplicates)::int FROM collection_counters")
    assert rows == [(100, 200)]
    assert await fetch(context, "SELECT event_counter FROM trigger_state") == [(100,)]
    assert await fetch(context, "SELECT count(*) FROM documents") == [(100,)]


async def test_a_worker_whose_position_was_moved_is_refused_and_writes_nothing(context: Context) -> None:
    await define_trigger(context, "trig_added", "event", {"event_type": "documents_added"})
    await send(context, [sent(upsert(f"d{number}"), partition=0) for number in range(6)])
    records = await read_topic(context, DOCUMENTS)
    tp = TopicPartition(context.broker.topic(DOCUMENTS), 0)
    zombie, owner = Collect(context), Collect(context)
    assert await zombie.start_offsets([tp]) == await owner.start_offsets([tp]) == {tp: 0}
    await owner.handle({tp: records[:4]})
    before = await fetch(context, "SELECT * FROM collection_counters"), await fetch(context, "SELECT * FROM jobs")
    with pytest.raises(PositionLostError):
        await zombie.handle({tp: records[:2]})
    after = await fetch(context, "SELECT * FROM collection_counters"), await fetch(context, "SELECT * FROM jobs")
    assert after == before
    assert await zombie.start_offsets([tp]) == {tp: 4}
    await zombie.handle({tp: records[2:]})  # a fetch that began before the position
    await zombie.handle({tp: records[1:3]})  # a batch whose commit in Kafka failed, cut shorter
    with pytest.raises(PositionLostError):
        await owner.handle({tp: records[4:]})
    assert await fetch(context, "SELECT sum(added)::int, sum(updated)::int FROM collection_counters") == [(6, 0)]
    assert await fetch(context, "SELECT count(*) FROM jobs") == [(6,)]
    await assert_equal_to_recomputation(context)


async def test_a_running_worker_goes_on_from_where_another_one_left_the_position(context: Context) -> None:
    await send(context, [sent(upsert(f"d{number}"), partition=0) for number in range(5)])
    async with collecting(context):
        await caught_up(context)
        # Another worker took offset 5 and gave the partition back behind this one's back.
        async with context.database.transaction() as connection:
            await connection.execute(
                "UPDATE positions SET next_offset = 6, last_timestamp = NULL WHERE station = 'collect'"
            )
        await send(context, [sent(upsert(f"more{number}"), partition=0) for number in range(3)])
        await caught_up(context)
    rows = await fetch(context, "SELECT document_id FROM documents WHERE document_id LIKE 'more%' ORDER BY 1")
    assert rows == [("more1",), ("more2",)]


async def test_the_database_decides_where_to_begin_not_the_group(context: Context) -> None:
    await send(context, [sent(upsert(f"d{number}")) for number in range(20)])
    consumer = context.broker.consumer(station="collect")
    await consumer.start()
    name = context.broker.topic(DOCUMENTS)
    partitions = [TopicPartition(name, number) for number in range(3)]
    consumer.assign(partitions)
    await consumer.commit(await consumer.end_offsets(partitions))
    await consumer.stop()
    async with collecting(context):
        await caught_up(context)
    assert await fetch(context, "SELECT count(*) FROM documents") == [(20,)]


async def test_an_event_id_counts_again_after_its_window(context: Context) -> None:
    context = with_settings(context, event_id_window_seconds=60)
    start = int((context.clock() - timedelta(days=1)).timestamp()) * 1_000
    for second in (0, 59, 60, 100, 130):
        await send(context, [sent(upsert("d", event_id="e"), timestamp_ms=start + second * 1_000)])
    async with collecting(context):
        await caught_up(context)
    rows = await fetch(
        context, "SELECT sum(added)::int, sum(updated)::int, sum(duplicates)::int FROM collection_counters"
    )
    assert rows == [(1, 2, 2)]
    seen = await fetch(context, "SELECT seen_at FROM seen_events")
    assert [row[0] for row in seen] == [from_millis(start + 130_000)]


async def test_event_ids_no_record_in_the_log_can_repeat_are_forgotten(context: Context) -> None:
    now = context.clock()
    ages = {"old": timedelta(days=15), "within the window of a record still there": timedelta(days=13)}
    async with context.database.connection() as connection:
        for event_id, age in ages.items():
            await connection.execute("INSERT INTO seen_events VALUES (%s, %s, %s)", (NS, event_id, now - age))
    async with collecting(context):

        async def forgotten() -> bool:
            return len(await fetch(context, "SELECT event_id FROM seen_events")) < 2

        await eventually(forgotten)
    assert await fetch(context, "SELECT event_id FROM seen_events WHERE event_id LIKE 'within%'") != []


async def test_the_ends_of_the_calendar_are_stored_wherever_the_server_stands(context: Context) -> None:
    async with context.database.connection() as connection:
        name = connection.info.dbname
        await connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'".encode())
    moments = ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z")
    event = {"namespace_id": NS, "collection_id": "col_a", "document_id": "d"}
    async with Database(context.settings) as database:
        fresh = Context(context.settings, context.broker, database, context.clock)
        async with collecting(fresh):
            for moment in moments:
                await send(fresh, [Sent(None, dumps(event | {"occurred_at": moment}), partition=0)])
                await caught_up(fresh)
        assert await dead_letters(fresh) == []
        await assert_equal_to_recomputation(fresh)


async def test_a_topic_that_is_not_the_one_we_read_stops_the_station(context: Context) -> None:
    await send(context, [sent(upsert("d"), partition=0)])
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO positions (station, topic, partition, next_offset) VALUES ('collect', %s, 0, 50)",
            (context.broker.topic(DOCUMENTS),),
        )
    with pytest.raises(LogMismatchError, match="records up to 50 were processed"):
        await asyncio.wait_for(Collect(context).run(), 30)
    assert await fetch(context, "SELECT count(*) FROM documents") == [(0,)]
