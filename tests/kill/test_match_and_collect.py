"""Two workers, three partitions, SIGKILL at random moments and between the steps of a commit: the view holds
each execution exactly once, and counters and sketches equal a plain recomputation from the topic."""

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.events.document import DocumentEvent, decode_document_event
from schemas.ids import ExecutionHasher
from schemas.times import from_millis
from schemas.topics import DOCUMENTS
from streams.engines.drift.sketch import Sketch
from streams.settings import Settings
from tests.kill.system import System
from tests.support import TestBroker

pytestmark = [pytest.mark.kafka, pytest.mark.kill]

FEATURE = "mixpeek://passthrough_extractor@v1/embedding"
DIMENSIONS = 8
MANIFEST = f"""
kind: collection
collection_name: news
source: {{type: direct_upsert}}
---
kind: alert
name: storms
filter: {{field: text, operator: text, value: storm}}
collections: [news]
---
kind: alert
name: urgent
filter: {{AND: [{{field: priority, operator: gte, value: 8}}, {{field: source, operator: in, value: [a, b]}}]}}
collections: [news]
---
kind: alert
name: near
query: {{feature_uri: "{FEATURE}", vector: [1, 0, 0, 0, 0, 0, 0, 0], min_score: 0.6}}
collections: [news]
---
kind: cluster
cluster_name: topics
collection_ids: [news]
cluster_type: vector
vector_config: {{feature_uri: "{FEATURE}", clustering_method: kmeans, kmeans_parameters: {{n_clusters: 2}}}}
---
kind: trigger
name: drift
action_type: cluster
action_config: {{cluster_id: topics}}
trigger_type: conditional
schedule_config:
  condition_type: drift
  feature_uri: "{FEATURE}"
  time_domain: event_time
  check_interval_seconds: 86400
  window_seconds: 864000
  threshold: 1.9
  collection_id: news
"""


@pytest.fixture
async def system(settings: Settings, real_kafka: TestBroker, logs: Path) -> AsyncIterator[System]:
    system = System(settings, logs)
    try:
        await system.start_query()
        await system.start_worker("relay", "relay,trigger,act")
        await system.answers()
        await system.apply(MANIFEST)
        yield system
    finally:
        await system.stop()


def events(system: System, collection_id: str, count: int, seed: int) -> Iterator[DocumentEvent]:
    """Documents with updates, deletions and a producer's repeats among them."""
    chance = random.Random(seed)
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    earlier: list[DocumentEvent] = []
    for number in range(count):
        occurred = start + timedelta(minutes=number)
        if earlier and chance.random() < 0.03:
            yield chance.choice(earlier[-500:])  # a repeat with the same event id
            continue
        document = f"d{chance.randrange(count)}"
        if chance.random() < 0.05:
            yield DocumentEvent("document.deleted", system.namespace_id, collection_id, document, occurred)
            continue
        event = DocumentEvent(
            "document.upserted",
            system.namespace_id,
            collection_id,
            document,
            occurred,
            payload={"priority": chance.randrange(11), "source": chance.choice("abc")},
            text=chance.choice(["calm sea", "a Storm is coming", "thunderstorms", "sun"]),
            event_id=f"e{number}" if chance.random() < 0.5 else None,
            features={FEATURE: vectors[number]},
        )
        if event.event_id is not None:
            earlier.append(event)
        yield event


def fires(event: DocumentEvent) -> Iterator[str]:
    """Which alerts a plain reading of the manifest says fire."""
    assert event.text is not None
    if "storm" in event.text.lower():
        yield "storms"
    if event.payload["priority"] >= 8 and event.payload["source"] in "ab":
        yield "urgent"
    vector = event.features[FEATURE].astype(np.float64)
    if vector[0] / np.linalg.norm(vector) >= 0.6:
        yield "near"


class Truth(NamedTuple):
    """What the topic alone says."""

    executions: set[tuple[bytes, str]]
    counters: Counter[str]
    sketches: dict[tuple[int, datetime], Sketch]
    """By partition and day."""
    stored: dict[str, DocumentEvent]
    next_offsets: dict[int, int]


async def recompute(system: System, epoch: str) -> Truth:
    """Everything that is compared, from the topic alone."""
    hasher = ExecutionHasher(epoch)
    executions: set[tuple[bytes, str]] = set()
    counters: Counter[str] = Counter()
    stored: dict[str, DocumentEvent] = {}
    seen: set[str] = set()
    vectors: dict[tuple[int, datetime], list[NDArray[np.float32]]] = defaultdict(list)
    next_offsets: dict[int, int] = {}
    for record in sorted(await system.read(DOCUMENTS), key=lambda r: (r.partition, r.offset)):
        event = decode_document_event(
            record.key, record.value, record.headers, appended_at=from_millis(record.timestamp)
        )
        next_offsets[record.partition] = record.offset + 1
        if event.type == "watermark":
            continue
        if event.type == "document.upserted":
            base = hasher.base(event.namespace_id, event.event_id, record.topic, record.partition, record.offset)
            executions.update((base, name) for name in fires(event))
        if event.event_id is not None:
            if event.event_id in seen:
                counters["duplicates"] += 1
                continue
            seen.add(event.event_id)
        if event.type == "document.deleted":
            counters["deleted"] += stored.pop(event.document_id, None) is not None
            continue
        counters["updated" if event.document_id in stored else "added"] += 1
        stored[event.document_id] = event
        day = event.occurred_at.replace(hour=0, minute=0, second=0, microsecond=0)
        vectors[record.partition, day].append(event.features[FEATURE])
    sketches = {place: Sketch.empty(DIMENSIONS).add(np.stack(rows)) for place, rows in vectors.items()}
    return Truth(executions, counters, sketches, stored, next_offsets)


FAULTS = ("match:after-produce@3", "collect:after-commit@4", "collect:before-commit@3", "match:after-produce@2")
"""Between an acknowledged produce and its commit, and around a database commit."""
STATIONS = "match,collect,notify"
RANDOM_KILLS = 5


async def test_nothing_is_lost_or_doubled(system: System) -> None:
    chance = random.Random(7)
    collection = (await system.get("/v1/collections/news"))["collection_id"]
    enough = asyncio.Event()
    stream = itertools.takewhile(lambda _: not enough.is_set(), events(system, collection, 100_000, seed=3))
    await system.start_worker("one", STATIONS)
    publishing = asyncio.create_task(system.publish(stream, pause_every=50, pause=0.05))
    for fault in FAULTS:
        await system.died_of_its_fault(await system.start_worker("two", STATIONS, fault))
    await system.start_worker("two", STATIONS)
    for _ in range(RANDOM_KILLS):
        await asyncio.sleep(chance.uniform(1.0, 3.0))
        victim = chance.choice(["one", "two"])
        await system.kill(victim)
        await system.start_worker(victim, STATIONS)
    enough.set()
    await publishing
    await system.settled()

    (epoch,) = system.row("SELECT epoch::text FROM stream_identity")
    executions, counters, sketches, stored, next_offsets = await recompute(system, epoch)
    names = dict(system.rows("SELECT id, name FROM definitions WHERE kind = 'alert'"))
    view = [
        (bytes(base), names[alert]) for base, alert in system.rows("SELECT base, alert_id FROM alert_executions")
    ]
    assert len(view) == len(set(view))
    assert set(view) == executions
    assert dict(system.rows("SELECT alert_id, executions FROM alert_execution_counts")) == Counter(
        next(i for i, n in names.items() if n == name) for _, name in executions
    )

    counted = system.row("SELECT sum(added), sum(updated), sum(deleted), sum(duplicates) FROM collection_counters")
    assert [int(value) for value in counted] == [
        counters[name] for name in ("added", "updated", "deleted", "duplicates")
    ]
    held = {row[0]: row[1:] for row in system.rows("SELECT document_id, payload, text FROM documents")}
    assert held == {name: (event.payload, event.text) for name, event in stored.items()}

    assert dict(system.rows("SELECT partition, next_offset FROM collection_counters")) == next_offsets

    rows = system.rows(
        "SELECT partition, bucket_start, documents, sketch FROM drift_sketches WHERE width_seconds = 86400"
    )
    found = {(partition, day): (documents, raw) for partition, day, documents, raw in rows}
    assert len(rows) == len(found)
    assert found.keys() == sketches.keys()
    assert len({day for _, day in sketches}) > 1
    for place, expected in sketches.items():
        documents, raw = found[place]
        sketch = Sketch.from_bytes(bytes(raw))
        assert documents == sketch.count == expected.count, place
        np.testing.assert_allclose(sketch.total, expected.total, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(sketch.squares, expected.squares, rtol=1e-9)
