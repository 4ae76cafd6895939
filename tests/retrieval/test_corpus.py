"""The corpus over the tables answers as the one in memory does."""

import random
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import BudgetError
from streams.engines.retrieval.execution.corpus import EVERYTHING, Nearest, Scope
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.filters.parse import Filter, parse_filter
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.cosine import unit_rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.retrieval import corpus as module
from streams.retrieval import nearest as searching
from streams.retrieval import reading
from streams.retrieval.corpus import PostgresCorpus
from streams.runtime.agent import Context
from streams.runtime.definitions import delete_definition, put_definition
from tests.retrieval.storing import AT, NS, in_memory, store

COLLECTIONS: Final = ("col_a", "col_b", "col_é", "col_Z")
WORDS: Final = ("flu", "Ebola", "in", "Genève", "the", "city", "東京", "outbreak", "of", "10")
CLIP, OLD, NAME = "mixpeek://clip@v1/image", "clip_v1_image", "image"
URIS: Final = (CLIP, OLD, NAME, "other", HashingEmbedder.URI, "none")
FILTERS: Final[tuple[Any, ...]] = (
    None,
    {"n": {"gte": 3}},
    {"n": 2},
    {"tag": "A"},
    {"field": "tag", "operator": "eq", "value": "a", "case_sensitive": True},
    {"NOT": [{"text": {"words": "city"}}]},
    {"OR": [{"nested.deep": {"exists": True}}, {"document_id": {"starts_with": "d1"}}]},
    {"AND": [{"flag": True}, {"n": {"in": [1, 2, 3, None]}}]},
    {"n": {"gt": 1_000}},
    {"list": 2},
    {"payload.n": {"lt": 4}},
)
VALUES: Final = (1, 2.0, "a", "A", True, None, "d1", [1, 2], {"deep": 1}, "missing", 2**53)


def vector(rng: random.Random, dimensions: int) -> Any:
    kind = rng.random()
    if kind < 0.05:
        return np.zeros(dimensions, dtype=np.float32)
    scale = 1e30 if kind < 0.1 else 1e-25 if kind < 0.15 else 1.0
    # Few different directions, so that scores are equal and nearly equal.
    base = [rng.choice((-1.0, 0.0, 0.5, 1.0)) for _ in range(dimensions)]
    base[0] += rng.choice((0.0, 0.0, 1e-7, 1e-6))
    return (np.array(base) * scale).astype(np.float32)


def document(rng: random.Random, collection_id: str, number: int) -> DocumentEvent:
    dimensions = 5 if rng.random() < 0.1 else 3
    features = {name: vector(rng, dimensions) for name in (CLIP, OLD, NAME, "other") if rng.random() < 0.4}
    if rng.random() < 0.1:
        features[HashingEmbedder.URI] = vector(rng, 1_024)
    payload: dict[str, Any] = {}
    if rng.random() < 0.9:
        payload["n"] = rng.choice((1, 2, 2.0, 3, 4.5, "2", None, 2**53))
    if rng.random() < 0.5:
        payload["tag"] = rng.choice(("a", "A", ["a", "b"], "é"))
    if rng.random() < 0.3:
        payload["nested"] = rng.choice(({"deep": 1}, {"deep": [{"x": 1}]}, {}, 3))
    if rng.random() < 0.3:
        payload["list"] = rng.choice(([1, 2], [], [[2]]))
    if rng.random() < 0.2:
        payload["payload"] = {"n": rng.randint(1, 6)}
    if rng.random() < 0.2:
        payload["flag"] = rng.random() < 0.5
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 12)))
    own = rng.random() < 0.6
    if not own and rng.random() < 0.8:
        payload["text"] = text
    return DocumentEvent(
        UPSERTED,
        NS,
        collection_id,
        rng.choice(("d", "D", "é", "z/")) + str(number),
        AT,
        payload=payload if rng.random() < 0.95 else rng.choice((None, [1], "text")),
        text=text if own else None,
        asset_id=rng.choice((None, "asset")),
        features=features,
    )


def shown(rows: Sequence[Row]) -> list[Any]:
    return [
        (
            row.collection_id,
            row.document_id,
            row.fields,
            row.score,
            dict(row.matched),
            {name: value.tolist() for name, value in row.features.items()},
        )
        for row in rows
    ]


def scopes(rng: random.Random) -> Scope:
    raw = rng.choice(FILTERS)
    where = EVERYTHING if raw is None else parse_filter(raw)
    named = rng.choice((None, ("col_a",), ("col_b", "col_a", "col_a"), ("col_nowhere", "col_Z"), ()))
    return Scope(named, where)


async def ask(rng: random.Random, ours: PostgresCorpus, memory: MemoryCorpus) -> None:
    scope = scopes(rng)
    uri = rng.choice(URIS)
    dimensions = 1_024 if uri == HashingEmbedder.URI else rng.choice((3, 3, 3, 5, 4))
    if uri == HashingEmbedder.URI:
        queries = unit_rows(HashingEmbedder().embed(["ebola outbreak", "flu in the city"][: rng.randint(1, 2)]))
    else:
        queries = unit_rows(np.array([[rng.choice((-1.0, 0.5, 1.0)) for _ in range(dimensions)]] * 2))
        queries[1] = np.roll(queries[1], 1)
        queries = queries[: rng.randint(1, 2)]
    asked = Nearest(uri, queries, rng.choice((1, 3, 10, 500)), rng.choice((None, None, 0.0, 0.5, 0.577350, 1.0)))
    assert shown(await ours.nearest(asked, scope)) == shown(await memory.nearest(asked, scope)), (asked, scope)
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 3)))
    k = rng.choice((1, 5, 1_000))
    assert shown(await ours.lexical(text, k, scope)) == shown(await memory.lexical(text, k, scope)), (text, scope)
    limit = rng.choice((1, 7, 1_000))
    assert shown(await ours.scan(scope, limit)) == shown(await memory.scan(scope, limit)), scope
    assert await ours.count(scope) == await memory.count(scope)
    assert await ours.features(scope.collections) == await memory.features(scope.collections)
    collection_id = rng.choice((*COLLECTIONS, "col_nowhere"))
    ids = [f"{rng.choice('dDé')}{rng.randint(0, 40)}" for _ in range(rng.randint(0, 6))]
    assert shown(await ours.get(collection_id, ids)) == shown(await memory.get(collection_id, ids))
    field = rng.choice(("n", "tag", "nested", "nested.deep", "list", "document_id", "collection_id", "asset_id"))
    values = rng.sample(VALUES, 4)
    found = await ours.lookup(collection_id, field, values)
    expected = await memory.lookup(collection_id, field, values)
    assert [shown(rows) for rows in found] == [shown(rows) for rows in expected], (field, values)
    mine = await ours.vectors_of(collection_id, ids, uri)
    theirs = await memory.vectors_of(collection_id, ids, uri)
    assert {name: one.tolist() for name, one in mine.items()} == {
        name: one.tolist() for name, one in theirs.items()
    }


@pytest.mark.parametrize("seed", range(6))
async def test_answers_are_those_of_the_corpus_in_memory(
    context: Context, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    if seed % 2:
        # Equal scores then lie on several pages.
        monkeypatch.setattr(searching, "_FIRST", 2)
        monkeypatch.setattr(searching, "_MOST", 4)
        monkeypatch.setattr(reading, "PAGE", 7)
    events = [document(rng, rng.choice(COLLECTIONS), number) for number in range(rng.choice((0, 30, 200, 900)))]
    await store(context.database, events)
    async with context.database.transaction(snapshot=True) as connection:
        memory = await in_memory(connection)
        ours = await PostgresCorpus.open(connection, NS)
        assert await ours.collections() == await memory.collections()
        for _ in range(25):
            await ask(rng, ours, memory)
        assert ours.limits == []


async def test_far_more_documents_than_a_page_and_a_filter_that_few_fit(context: Context) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((5_000, 16)).astype(np.float32)
    events = [
        DocumentEvent(UPSERTED, NS, "col_a", f"d{at}", AT, payload={"n": at}, features={"v": one})
        for at, one in enumerate(vectors)
    ]
    # Tables give rows as they were written: those with the smaller ids last.
    await store(context.database, events[1_500:])
    await store(context.database, events[:1_500])
    most = parse_filter({"n": {"gte": 1}})
    rare = parse_filter({"n": {"in": list(range(17, 5_000, 400))}})
    async with context.database.transaction(snapshot=True) as connection:
        memory = await in_memory(connection)
        ours = await PostgresCorpus.open(connection, NS)
        for where in (EVERYTHING, rare, most):
            for k in (1, 10, 700):
                asked = Nearest("v", unit_rows(rng.standard_normal((1, 16))), k)
                scope = Scope(None, where)
                assert shown(await ours.nearest(asked, scope)) == shown(await memory.nearest(asked, scope))
            assert shown(await ours.scan(Scope(None, where), 9)) == shown(await memory.scan(Scope(None, where), 9))
        assert ours.position() == {"0": 1_500}


async def test_equal_scores_go_by_id_across_pages(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_FIRST", 8)
    monkeypatch.setattr(searching, "_MOST", 8)
    rng = random.Random(3)
    events = []
    for _ in range(200):
        # Cosines that differ by less than their rounding, and by less than float32 can tell.
        one = np.array([1.0, rng.choice((0.0, 1e-6, 1e-4, 3e-4))] + [0.0] * 6, dtype=np.float32)
        events.append(DocumentEvent(UPSERTED, NS, "col_a", f"d{rng.randint(0, 10**6)}", AT, features={"v": one}))
    await store(context.database, events)
    async with context.database.transaction(snapshot=True) as connection:
        memory = await in_memory(connection)
        ours = await PostgresCorpus.open(connection, NS)
        for k in (1, 3, 4, 50):
            asked = Nearest("v", unit_rows(np.array([[1.0, 1e-4] + [0.0] * 6])), k)
            assert shown(await ours.nearest(asked, Scope())) == shown(await memory.nearest(asked, Scope()))


async def test_what_is_cut_off_is_told(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    await store(context.database, [DocumentEvent(UPSERTED, NS, "col_a", f"d{at:02}", AT) for at in range(30)])
    async with context.database.transaction(snapshot=True) as connection:
        ours = await PostgresCorpus.open(connection, NS)
        assert [row.document_id for row in await ours.scan(Scope(), 5)] == [f"d{at:02}" for at in range(5)]
        assert ours.limits == []
        assert len(await ours.scan(Scope(), 20)) == 10
        assert ours.limits == [{"name": "scan", "requested": 20, "applied": 10, "ceiling": 10}]


async def test_long_readings_stop_when_they_are_told_to(context: Context) -> None:
    await store(context.database, [DocumentEvent(UPSERTED, NS, "col_a", "d", AT, text="flu", features={"v": ONE})])

    def check() -> None:
        raise BudgetError("enough")

    some = Filter(parse_filter({"a": 1}).root)
    async with context.database.transaction(snapshot=True) as connection:
        ours = await PostgresCorpus.open(connection, NS, check)
        for question in (
            ours.nearest(Nearest("v", np.array([[1.0]]), 1), Scope()),
            ours.nearest(Nearest(HashingEmbedder.URI, np.ones((1, 1_024)), 1), Scope()),
            ours.lexical("flu", 1, Scope()),
            ours.scan(Scope(None, some), 1),
            ours.count(Scope(None, some)),
            ours.lookup("col_a", "text", ["flu"]),
        ):
            with pytest.raises(BudgetError, match="enough"):
                await question


ONE: Final = np.ones(1, dtype=np.float32)


async def test_a_deleted_collection_is_not_searched_whatever_still_came(context: Context) -> None:
    rng = random.Random(5)
    await store(context.database, [document(rng, name, 1) for name in ("col_a", "col_b")])
    async with context.database.transaction() as connection:
        await put_definition(connection, "collection", NS, "col_a", "a", {"collection_id": "col_a"})
        await delete_definition(connection, "collection", NS, "col_a")
    async with context.database.transaction(snapshot=True) as connection:
        corpus = await PostgresCorpus.open(connection, NS)
        assert await corpus.collections() == ("col_b",)
