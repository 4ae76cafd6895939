"""Look-ups of a match worker: the event loop lives, time is bounded, failures fire nothing and are told rarely."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from structlog.testing import capture_logs

from schemas.events.alert_result import AlertHit
from schemas.events.definition import DefinitionRecord, Kind
from schemas.events.document import UPSERTED, DocumentEvent
from schemas.headers import DefinitionsVersion
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.explain.look_up import explain_look_up
from streams.match.alerts import Standing, standing_alerts
from streams.match.arrivals import Arrival
from streams.match.lookups import LookUps
from streams.match.matching import Undecided
from streams.match.parts import divided, put_off
from streams.match.references import References
from streams.runtime import metrics
from streams.runtime.broker import Broker
from streams.runtime.catalog import Catalog
from streams.runtime.named import NamedDefinitions
from streams.settings import Settings
from tests.match.support import COLLECTION, NOW, NS, attribute_filter

PEOPLE = "col_people"
SEARCH = {"searches": [{"feature_uri": "face", "query": "{{INPUT.x}}"}]}
FROM_FACE = {"source_type": "document_field", "path": "features.face"}
FROM_N = {"source_type": "document_field", "path": "n"}


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def stage(stage_id: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"stage_name": stage_id, "config": {"stage_id": stage_id, "parameters": parameters}}


def catalog_of(*stages: dict[str, Any], source: dict[str, Any] | None = FROM_N, **retriever: Any) -> Catalog:
    """One alert on the collection: it looks documents up when ``source`` says what it takes of them."""
    searched = COLLECTION if source is None else PEOPLE
    mappings = [] if source is None else [{"input_key": "x", "source": source}]
    bodies: list[tuple[Kind, str, dict[str, Any]]] = [
        ("collection", PEOPLE, {}),
        ("retriever", "ret", {"collection_identifiers": [searched], "stages": list(stages), **retriever}),
        ("alert", "alt", {"alert_id": "alt", "retriever_id": "ret", "enabled": True}),
        (
            "collection",
            COLLECTION,
            {"enabled": True, "alert_applications": [{"alert_id": "alt", "input_mappings": mappings}]},
        ),
    ]
    return Catalog(
        "e",
        3,
        [
            DefinitionRecord(kind, NS, name, at, DefinitionsVersion("e", at), body=body)
            for at, (kind, name, body) in enumerate(bodies, 1)
        ],
    )


def person(name: str, *, collection: str = PEOPLE, face: Any = None, **payload: Any) -> DocumentEvent:
    features = {} if face is None else {"face": np.asarray(face, dtype=np.float32)}
    return DocumentEvent(UPSERTED, NS, collection, name, NOW, payload=payload, features=features)


def arrival(event: DocumentEvent, offset: int, partition: int = 0) -> Arrival:
    return Arrival("documents", partition, offset, NOW, event)


@contextmanager
def looking(
    catalog: Catalog, corpus: MemoryCorpus, clock: Clock | None = None, **more: float
) -> Iterator[tuple[LookUps, Standing]]:
    references = References(Broker(Settings()))
    references._corpora[NS] = corpus
    look_ups = LookUps(references, lambda: catalog, clock or Clock(), **more)
    try:
        standing = standing_alerts(catalog, NS, COLLECTION)
        assert not standing.refused
        yield look_ups, standing
    finally:
        look_ups.close()


def forever() -> float:
    return time.monotonic() + 600.0


def answered(catalog: Catalog, corpus: MemoryCorpus, *events: DocumentEvent, **more: Any) -> list[list[AlertHit]]:
    """What each of some documents sets off, of those that set anything off."""

    async def ask() -> list[list[AlertHit]]:
        with looking(catalog, corpus, **more) as (look_ups, standing):
            arrivals = [arrival(event, at) for at, event in enumerate(events)]
            answers = await look_ups.answer([Undecided(standing, arrivals, [])], ExecutionHasher("e"), forever())
            assert not answers.left
            return [list(record.hits) for record in answers.records]

    return asyncio.run(ask())


def corpus_of(*events: DocumentEvent) -> MemoryCorpus:
    corpus = MemoryCorpus()
    for event in events:
        corpus.apply(event)
    return corpus


async def test_the_event_loop_lives_while_documents_are_looked_up() -> None:
    rng = np.random.default_rng(1)
    corpus = corpus_of(*(person(f"p{at}", face=vector) for at, vector in enumerate(rng.normal(size=(5_000, 256)))))
    documents = [
        arrival(person(f"d{at}", collection=COLLECTION, face=vector), at)
        for at, vector in enumerate(rng.normal(size=(400, 256)))
    ]
    # Every look-up ranks hundreds of documents against each other: all of them take seconds.
    catalog = catalog_of(
        stage("feature_search", {**SEARCH, "final_top_k": 300}), stage("mmr", {"top_k": 50}), source=FROM_FACE
    )
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    with looking(catalog, corpus) as (look_ups, standing):
        ticking = asyncio.create_task(tick())
        started = time.monotonic()
        answers = await look_ups.answer(
            [Undecided(standing, documents, [])], ExecutionHasher("e"), time.monotonic() + 3.0
        )
        took = time.monotonic() - started
        ticking.cancel()
    assert answers.records
    assert took > 1.0, "look-ups too quick to show anything"
    # Half of the time at most, also on a machine that is busy with other things; blocked, it would be all of it.
    assert max(gaps) < took / 2
    # The time was up before the documents were: what was not looked up comes again.
    assert took < 6.0
    assert answers.left == ({0: len(answers.records)} if len(answers.records) < len(documents) else {})


async def test_time_that_is_up_still_lets_one_document_through_in_the_order_of_the_log() -> None:
    same = attribute_filter(field="n", operator="eq", value="{{INPUT.x}}")
    corpus = corpus_of(person("ann", n=1))
    arrivals = [arrival(person(f"d{at}", collection=COLLECTION, n=1), at, at % 2) for at in range(10, 20)]
    with looking(catalog_of(same), corpus) as (look_ups, standing):
        parts = [Undecided(standing, arrivals[5:], []), Undecided(standing, arrivals[:5], [])]
        answers = await look_ups.answer(parts, ExecutionHasher("e"), time.monotonic())
    assert [record.source_offset for record in answers.records] == [10]
    assert answers.left == {0: 12, 1: 11}


def test_a_batch_is_divided_where_it_got_to() -> None:
    def record(partition: int, offset: int) -> Any:
        return ConsumerRecord("t", partition, offset, 0, 0, None, None, None, 0, 0, ())

    first, second = TopicPartition("t", 0), TopicPartition("t", 1)
    batch = {first: [record(0, at) for at in (3, 5, 9)], second: [record(1, 0)]}
    assert divided(batch, {}) == (batch, {})
    left = {0: 4}
    put_off(left, [*batch[first][2:], *batch[second]])
    assert left == {0: 4, 1: 0}
    done, rest = divided(batch, left)
    assert done == {first: batch[first][:1]}
    assert rest == {first: batch[first][1:], second: batch[second]}


@pytest.mark.parametrize(
    ("stages", "source", "retriever"),
    [
        ([stage("limit", {"limit": 5})], FROM_N, {"budget_limits": {"max_credits": 0.001}}),
        ([stage("limit", {"limit": 5})], FROM_N, {"budget_limits": {"max_time_ms": 0}}),
    ],
)
def test_a_look_up_over_its_budget_fires_nothing(stages: Any, source: Any, retriever: Any) -> None:
    corpus = corpus_of(*(person(f"p{at}", n=at) for at in range(50)))
    failed = metrics.LOOK_UPS.labels("failed")._value.get()
    document = person("d", collection=COLLECTION, n=1)
    assert len(answered(catalog_of(*stages, source=source), corpus, document)) == 1
    assert answered(catalog_of(*stages, source=source, **retriever), corpus, document) == []
    assert metrics.LOOK_UPS.labels("failed")._value.get() == failed + 1
    # Without a budget of its own it has what match gives it.
    assert answered(catalog_of(*stages, source=source), corpus, document, document_seconds=0.0) == []


async def test_failures_are_counted_each_and_told_once_a_minute() -> None:
    required = {"input_schema": {"x": {"type": "integer", "required": True}}}
    clock, failed = Clock(), metrics.LOOK_UPS.labels("failed")._value.get()
    nothing = [arrival(person(f"d{at}", collection=COLLECTION), at) for at in range(5)]
    with (
        looking(catalog_of(stage("limit", {"limit": 5}), **required), MemoryCorpus(), clock) as (
            look_ups,
            standing,
        ),
        capture_logs() as logs,
    ):
        for minutes in (0, 0, 2):
            clock.now = NOW + timedelta(minutes=minutes)
            answers = await look_ups.answer([Undecided(standing, nothing, [])], ExecutionHasher("e"), forever())
            assert answers.records == []
    assert metrics.LOOK_UPS.labels("failed")._value.get() == failed + 15
    assert [(entry["event"], entry["not_logged_before"]) for entry in logs] == [
        ("look_up_failed", 0),
        ("look_up_failed", 9),
    ]


async def test_a_sample_is_what_an_explanation_draws() -> None:
    corpus = corpus_of(*(person(f"p{at:03}", n=at) for at in range(300)))
    catalog = catalog_of(stage("sample", {"count": 3}))
    document = person("d", collection=COLLECTION, n=1)
    with looking(catalog, corpus) as (look_ups, standing):
        drawn = []
        for offset in (4, 5):
            asked = [Undecided(standing, [arrival(document, offset)], [])]
            answers = await look_ups.answer(asked, ExecutionHasher("e"), forever())
            (hit,) = answers.records[0].hits
            assert hit.found is not None
            drawn.append([match["document_id"] for match in hit.found.matches])
        (alert,) = standing.more
        assert alert.look_up is not None
        told = await explain_look_up(
            alert.look_up,
            alert.rule,
            document,
            Surroundings(corpus, NOW, time.monotonic, NamedDefinitions(catalog, NS)),
        )
    assert drawn[0] == drawn[1]
    assert told.look_up is not None
    shown = [one["document_id"] for one in told.look_up.ran.to_json()["stages"][-1]["rows"]]
    assert shown == drawn[0]
