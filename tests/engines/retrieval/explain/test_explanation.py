"""An explanation gives the verdict that match gives, and the index it names is necessary for it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.explain.explanation import explain
from streams.engines.retrieval.explain.rows import MAX_SHOWN, MAX_VALUES
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.percolator import Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.percolate.predicate_index import PredicateIndex
from streams.engines.retrieval.percolate.vector_index import VectorIndex
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.engines.retrieval.vectors.feature_batch import blocks
from tests.engines.retrieval.filters.strategies import documents, filters, texts

NOW = datetime(2024, 1, 1, tzinfo=UTC)
URIS = ("mixpeek://x@v1/e", "mixpeek://x@v1/f")

vectors = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=2, max_size=2)
searches = st.lists(
    st.builds(
        lambda uri, query, least, optional: {
            "feature_uri": uri,
            "query": query,
            "min_score": least,
            "optional": optional,
        },
        st.sampled_from(URIS),
        vectors.filter(any),
        st.sampled_from([None, 0.0, 0.5, 0.9]),
        st.booleans(),
    ),
    max_size=2,
)
thresholds = st.one_of(
    st.none(),
    st.builds(
        lambda name, value: {"field": "score", "operator": name, "value": value},
        st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"]),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
)
events = st.builds(
    lambda payload, text, features: DocumentEvent(
        UPSERTED,
        "ns",
        "col",
        "d",
        NOW,
        payload=payload,
        text=text,
        features={uri: np.array(vector, dtype=np.float32) for uri, vector in features.items()},
    ),
    documents(),
    st.one_of(st.none(), texts()),
    st.dictionaries(st.sampled_from(URIS), vectors, max_size=2),
)


@dataclass(frozen=True, eq=False)
class Alert:
    plan: Plan


def nominated(plan: Plan, document: DocumentEvent) -> bool:
    """Whether the percolator's indexes bring the alert up, by the filter or the vectors, as either may be."""
    predicates, vectors_ = PredicateIndex(), VectorIndex()
    found = False
    if plan.bounds is None or predicates.selective(plan.predicate, 1):
        predicates.add(plan.predicate, 0)
        found = len(predicates.holding([document])[1]) > 0
    # What is contradictory is left to the filter, however many there are.
    if plan.bounds is not None and not predicates.selective(plan.predicate, 0):
        for search, bound in zip(plan.searches, plan.bounds, strict=True):
            vectors_.add(search, bound, 0)
        embedder = HashingEmbedder()
        found |= any(
            len(near.documents)
            for uri in vectors_.features
            for question in vectors_.ask(uri, blocks(uri, [document], embedder))
            for near in question.nominations()
        )
    return found


def retriever(conditions: Any, asked: list[dict[str, Any]], fusion: str) -> dict[str, Any]:
    stages = []
    if conditions is not None:
        parameters = {"conditions": conditions, "case_insensitive": True}
        stages.append({"stage_name": "f", "config": {"stage_id": "attribute_filter", "parameters": parameters}})
    if asked:
        parameters = {"searches": asked, "fusion": fusion}
        stages.append({"stage_name": "s", "config": {"stage_id": "feature_search", "parameters": parameters}})
    return {"stages": stages}


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), filters()), searches, st.sampled_from(["weighted", "max"]), thresholds),
        min_size=1,
        max_size=5,
    ),
    events,
)
@settings(max_examples=150)
def test_the_verdict_is_that_of_the_percolator(
    asked: list[tuple[Any, list[dict[str, Any]], str, Any]], document: DocumentEvent
) -> None:
    alerts = []
    for conditions, queries, fusion, threshold in asked:
        try:
            plan = compile_plan(retriever(conditions, queries, fusion), {"threshold": threshold})
        except PlanError:
            continue
        alerts.append(Alert(plan))
    hits = {id(hit.alert): hit for hit in Percolator(alerts, lambda alert: alert.plan).match([document])[0]}
    for alert in alerts:
        told = explain(alert.plan, document)
        hit = hits.get(id(alert))
        assert told.matches == (hit is not None)
        if hit is not None:
            assert told.score == hit.score
            assert told.reason == (hit.reason or told.reason)
        assert told.reason
        root = document.root()
        holds = matches(Filter(alert.plan.predicate), root)
        assert told.conditions is None or told.conditions.holds == holds
        assert told.index.found is nominated(alert.plan, document)
        assert orjson.loads(orjson.dumps(told.to_json())) == told.to_json()


def explained(payload: dict[str, Any], conditions: dict[str, Any], **alert: Any) -> Any:
    plan = compile_plan(retriever(conditions, [], "max"), alert)
    return explain(plan, DocumentEvent(UPSERTED, "ns", "col", "d", NOW, payload=payload))


def test_it_says_what_was_seen_and_which_condition_decided() -> None:
    both = {"AND": [{"lang": "en"}, {"NOT": [{"field": "tags", "operator": "contains", "value": "ad"}]}]}
    told = explained({"lang": "en", "tags": ["ad", "x"]}, both)
    assert not told.matches
    assert told.reason == 'tags contains "ad" is true, the document has ["ad", "x"]'
    assert told.conditions.kind == "and"
    lang, no_ad = told.conditions.parts
    assert (lang.holds, lang.condition, lang.values) == (True, 'lang eq "en"', ('"en"',))
    assert (no_ad.kind, no_ad.holds, no_ad.parts[0].holds) == ("not", False, True)
    other = explained({"tags": []}, both)
    assert other.reason == 'lang eq "en" is false, which the document lacks'
    assert not other.index.found
    assert 'lang eq "en"' in other.index.words


def test_a_search_is_shown_against_its_least_score() -> None:
    asked = [{"feature_uri": URIS[0], "query": [1, 0], "min_score": 0.9}]
    plan = compile_plan(retriever(None, asked, "max"), {})

    def told(*vector: float) -> Any:
        features = {URIS[0]: np.array(vector, dtype=np.float32)} if vector else {}
        return explain(plan, DocumentEvent(UPSERTED, "ns", "col", "d", NOW, features=features))

    near, far, none = told(1, 0), told(1, 1), told()
    assert (near.matches, near.score, near.index.kind, near.index.found) == (True, 1.0, "vector", True)
    assert (far.matches, far.score) == (False, None)
    assert far.reason == f"the similarity of {URIS[0]} is 0.707107, min_score is 0.9"
    assert far.index.words == f"ruled out by the similarity of {URIS[0]}: 0.707107, less than 0.9"
    assert "no vector" in none.reason
    assert none.searches[0].similarity is None


@pytest.mark.parametrize(
    "value", ["x" * 100_000, ["y" * 999] * 999, [[[["deep"] * 99] * 9] * 9], {"k": "v" * 5_000}, 10**30]
)
def test_what_is_shown_of_a_value_is_bounded(value: Any) -> None:
    told = explained({"a": [{"b": value}] * 50}, {"field": "a.b", "operator": "exists", "value": True})
    assert told.matches
    assert len(told.conditions.values) == MAX_VALUES
    assert told.conditions.more == 45
    assert all(len(shown) <= MAX_SHOWN for shown in told.conditions.values)


def test_by_vector_or_by_filter_is_told_as_far_as_one_alert_can_tell() -> None:
    asked = [{"feature_uri": URIS[0], "query": [1, 0], "min_score": 0.9}]

    def told(conditions: Any, vector: list[float], **payload: Any) -> Any:
        plan = compile_plan(retriever(conditions, asked, "max"), {})
        features = {URIS[0]: np.array(vector, dtype=np.float32)}
        document = DocumentEvent(UPSERTED, "ns", "col", "d", NOW, payload=payload, features=features)
        return explain(plan, document).index

    near, far = [1.0, 0.0], [0.0, 1.0]
    english = {"lang": "en"}
    for vector, lang, found in ((near, "en", True), (near, "de", True), (far, "en", True), (far, "de", False)):
        index = told(english, vector, lang=lang)
        assert (index.kind, index.found) == ("vector", found)
        assert "similarity" in index.words
        assert "few other alerts ask for the same by their filter, " in index.words
    # Nothing few documents have: only the vector can find it.
    negated = told({"NOT": [english]}, far, lang="de")
    assert (negated.found, "filter" in negated.words) == (False, False)
    never = told({"AND": [english, {"NOT": [english]}]}, near, lang="en")
    assert (never.kind, never.found) == ("attribute", False)
