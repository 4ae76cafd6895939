"""A document is found by none of the questions that its own look-up asks."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.corpus import EVERYTHING, Corpus, Nearest, Scope
from streams.engines.retrieval.execution.look_up import prepare_look_up
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.tail import tail_rows
from streams.engines.retrieval.execution.without import Without
from streams.engines.retrieval.filters.parse import parse_filter
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.running import NOW, Defined, stage
from tests.engines.retrieval.stages.test_taxonomy_enrich import BY_VECTOR, FLAT

NAMES = ["a", "b", "c", "{{INPUT.x}}"]
COLLECTIONS = ["news", "other"]


def document(collection: str, name: str, vector: list[float], **fields: Any) -> DocumentEvent:
    features = {"words": np.array(vector, dtype=np.float32)}
    return DocumentEvent(UPSERTED, "ns", collection, name, NOW, payload=fields, features=features)


@st.composite
def documents(draw: st.DrawFn) -> list[DocumentEvent]:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(COLLECTIONS), st.sampled_from(NAMES)), min_size=1, max_size=8, unique=True
        )
    )
    return [
        document(where, name, [draw(st.sampled_from([-1.0, 0.5, 1.0])), 1.0], n=draw(st.integers(0, 2)))
        for where, name in keys
    ]


async def answers(corpus: Corpus, scope: Scope, k: int) -> list[Any]:
    asked = Nearest("words", np.array([[0.6, 0.8]]), k)
    groups: list[list[Row]] = [await corpus.nearest(asked, scope), await corpus.scan(scope, k)]
    for where in COLLECTIONS:
        groups.append(await corpus.get(where, NAMES))
        groups += await corpus.lookup(where, "n", [0, 1, 2])
        groups += await corpus.lookup(where, "document_id", NAMES)
    told: list[Any] = [
        [(row.collection_id, row.document_id, row.score, dict(row.fields)) for row in rows] for rows in groups
    ]
    return [*told, await corpus.count(scope)]


@given(
    documents(),
    st.data(),
    st.sampled_from([None, ("news",), ("other",), ("news", "other")]),
    st.sampled_from([EVERYTHING, parse_filter({"field": "n", "operator": "gte", "value": 1})]),
    st.integers(1, 5),
)
def test_it_answers_as_a_corpus_that_never_had_the_document(
    stored: list[DocumentEvent], data: st.DataObject, collections: Any, where: Any, k: int
) -> None:
    left_out = data.draw(st.sampled_from(stored))
    full, rest = MemoryCorpus(), MemoryCorpus()
    for event in stored:
        full.apply(event)
        if event is not left_out:
            rest.apply(event)
    scope = Scope(collections, where)
    expected = asyncio.run(answers(rest, scope, k))
    assert asyncio.run(answers(Without(full, left_out), scope, k)) == expected


FLU = document("topics", "flu", [1, 0, 0], label="Influenza", tags=["virus"], risk={"level": 2})
TOPICS = [FLU, document("topics", "ebola", [0.8, 0.6, 0], label="Ebola", tags=["fever"], risk={"level": 5})]
ASKED = {**BY_VECTOR, "collection_identifiers": ["topics"]}
DEFINED = Defined({"r": ASKED}, {"t": FLAT})


def test_retrievers_inside_and_joins_do_not_find_it_either() -> None:
    asking = {
        "retriever_id": "r",
        "retriever_inputs": {"v": [1, 0, 0]},
        "multiple": True,
        "output_field": "near",
        "fields_to_merge": ["document_id"],
    }
    joining = {
        "target_collection_id": "topics",
        "source_field": "kin",
        "output_field": "kin_found",
        "fields_to_merge": ["label"],
    }
    retriever = {
        "collection_identifiers": ["topics"],
        "stages": [
            stage("limit"),
            stage("document_enrich", asking),
            {**stage("document_enrich", joining), "stage_name": "kin"},
        ],
    }
    look_up = prepare_look_up(retriever, {"alert_id": "x"}, None, DEFINED)
    corpus = MemoryCorpus()
    for event in (FLU, document("topics", "ebola", [0.8, 0.6, 0], label="Ebola", kin="flu")):
        corpus.apply(event)
    execution = asyncio.run(look_up.ask(FLU, Surroundings(corpus, NOW, lambda: 0.0, DEFINED), seed="s"))
    assert execution.error is None
    (row,) = execution.rows
    assert row.document_id == "ebola"
    assert [one["document_id"] for one in row.fields["near"]] == ["ebola"]
    assert "kin_found" not in row.fields


ALL_VIRUSES = stage("attribute_filter", {"field": "tags", "operator": "eq", "value": "virus"})


def test_a_taxonomy_does_not_match_it_with_itself() -> None:
    plan = compile_plan({"stages": [ALL_VIRUSES, stage("taxonomy_enrich", {"taxonomy_id": "t"})]}, {})
    corpus = MemoryCorpus()
    for event in TOPICS:
        corpus.apply(event)
    (row,) = asyncio.run(
        tail_rows(plan, FLU, 1.0, None, Surroundings(corpus, NOW, lambda: 0.0, DEFINED), seed="s")
    )
    assert row.fields["topic"] == "Ebola"


@pytest.mark.parametrize(
    ("limits", "ceiling_ms", "says"),
    [
        ({"max_credits": 0}, None, "credits"),
        ({"max_time_ms": 5}, None, "of 5 ms"),
        ({"max_time_ms": 5}, 1e9, "of 5 ms"),
        ({"max_time_ms": 1e9}, 7.0, "of 7 ms"),
        ({}, 7.0, "of 7 ms"),
        ({}, None, None),
    ],
)
def test_last_stages_have_a_budget(limits: dict[str, Any], ceiling_ms: float | None, says: str | None) -> None:
    retriever = {"stages": [ALL_VIRUSES, stage("unwind", {"field": "tags"})], "budget_limits": limits}
    plan = compile_plan(retriever, {})
    seconds = iter(range(1_000))
    run = tail_rows(
        plan,
        FLU,
        1.0,
        None,
        Surroundings(MemoryCorpus(), NOW, lambda: float(next(seconds))),
        seed="s",
        ceiling_ms=ceiling_ms,
    )
    if says is None:
        assert len(asyncio.run(run)) == 1
    else:
        with pytest.raises(StageError, match=f"Budget exceeded.*{says}"):
            asyncio.run(run)
