"""Documents in memory answer as a plain loop over them does, whatever came, was replaced and went."""

import asyncio
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.document import DELETED, UPSERTED, DocumentEvent, EventType
from streams.engines.retrieval.execution.corpus import EVERYTHING, Nearest, Scope
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.filters.tokens import tokens
from streams.engines.retrieval.vectors.cosine import DIGITS, cosines, unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from tests.engines.retrieval.stages.running import NOW

KINDS: list[EventType] = [UPSERTED, UPSERTED, UPSERTED, DELETED]
IDS = st.sampled_from([f"d{number}" for number in range(12)])
COLLECTIONS = st.sampled_from(["a", "b"])
PARTS = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])
WHERE = st.sampled_from([EVERYTHING, parse_filter({"lang": "en"}), parse_filter({"NOT": [{"lang": "en"}]})])
SCOPES = st.builds(Scope, st.sampled_from([None, ("a",), ("a", "b"), ("b", "none")]), WHERE)


@st.composite
def events(draw: st.DrawFn) -> DocumentEvent:
    kind: EventType = draw(st.sampled_from(KINDS))
    features = {}
    for name in draw(st.sampled_from([(), ("x",), ("x", "y")])):
        size = draw(st.sampled_from([2, 3]) if name == "y" else st.just(3))
        features[name] = np.array([draw(PARTS) for _ in range(size)], dtype=np.float32)
    payload = {
        "lang": draw(st.sampled_from(["en", "EN", "de", None])),
        "tags": draw(st.lists(st.sampled_from(["p", "q", 1]), max_size=2)),
        "text": draw(st.sampled_from(["flu in town", "town hall", "flu flu", ""])),
    }
    return DocumentEvent(
        kind,
        "ns",
        draw(COLLECTIONS),
        draw(IDS),
        NOW,
        payload=payload,
        features=features,
    )


def kept(history: list[DocumentEvent]) -> list[DocumentEvent]:
    """What a plain store would hold."""
    found: dict[tuple[str, str], DocumentEvent] = {}
    for event in history:
        found.pop((event.collection_id, event.document_id), None)
        if event.type == UPSERTED:
            found[event.collection_id, event.document_id] = event
    return [found[key] for key in sorted(found)]


def within(stored: list[DocumentEvent], scope: Scope) -> list[DocumentEvent]:
    return [
        event
        for event in stored
        if (scope.collections is None or event.collection_id in scope.collections)
        and matches(scope.where, event.root())
    ]


def cosine(event: DocumentEvent, name: str, queries: Any) -> float | None:
    vector = event.features.get(name)
    if vector is None or vector.shape != queries.shape[1:] or not vector.any():
        return None
    unit = unit_rows(vector[None, :])
    return max(round(float(cosines(unit, query[None, :])[0]), DIGITS) for query in queries) + 0.0


@settings(max_examples=60)
@given(st.lists(events(), max_size=25), st.data())
def test_equal_to_a_loop(history: list[DocumentEvent], data: st.DataObject) -> None:
    corpus = MemoryCorpus()

    async def ask() -> None:
        cut = data.draw(st.integers(0, len(history)))
        for event in history[:cut]:
            corpus.apply(event)
        await compare(corpus, kept(history[:cut]), data)
        for event in history[cut:]:
            corpus.apply(event)
        await compare(corpus, kept(history), data)

    asyncio.run(ask())


async def compare(corpus: MemoryCorpus, stored: list[DocumentEvent], data: st.DataObject) -> None:
    scope = data.draw(SCOPES)
    fitting = within(stored, scope)
    name = data.draw(st.sampled_from(["x", "y"]))
    size = data.draw(st.sampled_from([2, 3]))
    raw = [[data.draw(PARTS) for _ in range(size)] for _ in range(data.draw(st.integers(1, 2)))]
    queries = unit_rows(np.array(raw))
    least = data.draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
    k = data.draw(st.sampled_from([1, 2, 100]))
    scored = [
        (-score, event.collection_id, event.document_id)
        for event in fitting
        if (score := cosine(event, name, queries)) is not None and (least is None or score >= least)
    ]
    rows = await corpus.nearest(Nearest(name, queries, k, least), scope)
    assert [(-(row.score or 0.0), row.collection_id, row.document_id) for row in rows] == sorted(scored)[:k]

    assert await corpus.count(scope) == len(fitting)
    scanned = await corpus.scan(scope, 3)
    expected = []
    for collection in ("a", "b"):
        expected += [(e.collection_id, e.document_id) for e in fitting if e.collection_id == collection][:3]
    assert [(row.collection_id, row.document_id) for row in scanned] == expected
    assert all(row.root() == event.root() for row in scanned for event in fitting if _same(row, event))

    value = data.draw(st.sampled_from(["en", "p", 1, True, None]))
    field = data.draw(st.sampled_from(["lang", "tags", "document_id"]))
    (found,) = await corpus.lookup("a", field, [value])
    wanted = parse_filter({"field": field, "operator": "eq", "value": value}, case_sensitive_default=True)
    equal = [e.document_id for e in stored if e.collection_id == "a" and matches(wanted, e.root())]
    assert [row.document_id for row in found] == ([] if value is None else equal)

    text = data.draw(st.sampled_from(["flu", "town flu", "nothing", "Flu!"]))
    hits = await corpus.lexical(text, k, scope)
    ranked = bm25(within(stored, Scope(scope.collections)), fitting, text)
    assert [(row.score, row.collection_id, row.document_id) for row in hits] == ranked[:k]


def _same(row: Any, event: DocumentEvent) -> bool:
    return (row.collection_id, row.document_id) == (event.collection_id, event.document_id)


def bm25(everything: list[DocumentEvent], fitting: list[DocumentEvent], text: str) -> list[tuple[float, str, str]]:
    bags = {(e.collection_id, e.document_id): tokens(e.payload["text"]) for e in everything}
    bags = {key: bag for key, bag in bags.items() if bag}
    found = []
    for event in fitting:
        bag = bags.get((event.collection_id, event.document_id), [])
        average = sum(map(len, bags.values())) / len(bags) if bags else 1.0
        terms = []
        for word in sorted(set(tokens(text))):
            if word in bag:
                having = sum(word in other for other in bags.values())
                idf = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
                many = bag.count(word)
                terms.append(idf * many * 2.2 / (many + 1.2 * (0.25 + 0.75 * len(bag) / average)))
        if terms:
            found.append((round(math.fsum(terms), 6), event.collection_id, event.document_id))
    return sorted(found, key=lambda hit: (-hit[0], hit[1], hit[2]))


def document(number: int, vector: Any, collection: str = "a", **payload: Any) -> DocumentEvent:
    features = {"x": np.asarray(vector, dtype=np.float32)}
    return DocumentEvent(UPSERTED, "ns", collection, f"d{number:05}", NOW, payload=payload, features=features)


async def test_scores_do_not_depend_on_the_population() -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(size=(3_000, 48)).astype(np.float32)
    query = unit_rows(random.normal(size=(1, 48)))
    asked = Nearest("x", query, 5_000)
    alone: dict[str, float | None] = {}
    for number in range(0, 3_000, 97):
        one = MemoryCorpus()
        one.apply(document(number, vectors[number]))
        (row,) = await one.nearest(asked, Scope())
        alone[row.document_id] = row.score
    corpus = MemoryCorpus()
    for number, vector in enumerate(vectors):
        corpus.apply(document(number, vector))
    together = {row.document_id: row.score for row in await corpus.nearest(asked, Scope())}
    assert len(together) == 3_000
    assert {name: together[name] for name in alone} == alone
    few = await corpus.nearest(Nearest("x", query, 10), Scope())
    best = sorted(together.items(), key=lambda item: (-(item[1] or 0.0), item[0]))
    assert [(row.document_id, row.score) for row in few] == best[:10]


async def test_a_table_shrinks_and_grows_with_its_documents() -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(1_000, 8)).astype(np.float32)
    corpus = MemoryCorpus()
    query = unit_rows(vectors[:1])
    await corpus.nearest(Nearest("x", query, 1), Scope())
    for number, vector in enumerate(vectors):
        corpus.apply(document(number, vector))
        await corpus.nearest(Nearest("x", query, 1), Scope())
    for number in range(990):
        corpus.apply(DocumentEvent(DELETED, "ns", "a", f"d{number:05}", NOW))
    assert len(corpus) == 10
    rows = await corpus.nearest(Nearest("x", query, 100), Scope())
    assert {row.document_id for row in rows} == {f"d{number:05}" for number in range(990, 1_000)}
    corpus.apply(document(0, vectors[0]))
    (row,) = await corpus.nearest(Nearest("x", query, 1), Scope())
    assert (row.document_id, row.score) == ("d00000", 1.0)


async def test_texts_are_embedded_where_no_vector_came() -> None:
    corpus = MemoryCorpus()
    for name, text in (("one", "ebola outbreak"), ("two", "weight loss")):
        corpus.apply(DocumentEvent(UPSERTED, "ns", "a", name, NOW, text=text))
    query = unit_rows(HashingEmbedder().embed(["ebola outbreak"]))
    rows = await corpus.nearest(Nearest(HashingEmbedder.URI, query, 5, 0.5), Scope())
    assert [(row.document_id, row.score) for row in rows] == [("one", 1.0)]


async def test_what_rows_get_does_not_touch_the_corpus() -> None:
    corpus = MemoryCorpus()
    corpus.apply(document(1, [1, 0, 0], title="t"))
    (row,) = await corpus.scan(Scope(), 10)
    row.fields["title"] = "changed"
    (again,) = await corpus.get("a", ["d00001", "none"])
    assert again.fields["title"] == "t"
    assert await corpus.get("none", ["d"]) == []
    assert await corpus.collections() == ("a",)
    assert await corpus.features(None) == {"x": 3}
    corpus.drop("a")
    assert len(corpus) == 0
    assert await corpus.count(Scope(None, Filter(EVERYTHING.root))) == 0
