"""Retrievers as percolation plans, and the words of every refusal (contract 6, design section 4)."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.reference import check
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

URI = "mixpeek://passthrough_extractor@v1/embedding"
VECTOR: dict[str, Any] = {
    "feature_uri": URI,
    "query": {"input_mode": "vector", "value": [3.0, 4.0]},
    "min_score": 0.9,
}


def stage(
    stage_id: str, /, pre_filters: Any = None, post_filters: Any = None, **parameters: Any
) -> dict[str, Any]:
    config: dict[str, Any] = {"stage_id": stage_id, "parameters": parameters}
    if pre_filters is not None:
        config["pre_filters"] = pre_filters
    if post_filters is not None:
        config["post_filters"] = post_filters
    return {"stage_name": "s", "stage_type": "filter", "config": config}


def retriever(*stages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"collection_identifiers": ["col_a"], "stages": list(stages), **fields}


def search(**fields: Any) -> dict[str, Any]:
    return stage("feature_search", searches=[{**VECTOR, **fields}])


ATTRIBUTE = stage("attribute_filter", field="lang", operator="eq", value="en")


def document(payload: Any = None, text: str | None = None, **features: Any) -> DocumentEvent:
    vectors = {URI if name == "vector" else name: np.array(v, dtype=np.float32) for name, v in features.items()}
    now = datetime(2024, 1, 1, tzinfo=UTC)
    return DocumentEvent(
        "document.upserted", "ns", "col_a", "d", now, payload=payload, text=text, features=vectors
    )


@pytest.mark.parametrize(
    ("body", "alert", "says"),
    [
        (retriever(), {}, "every document"),
        (retriever(stage("attribute_filter", conditions={})), {}, "every document"),
        (retriever(search(min_score=None)), {}, "min_score"),
        (retriever(stage("feature_search", searches=[VECTOR, {**VECTOR, "min_score": None}])), {}, "min_score"),
        (retriever(stage("feature_search", searches=[])), {}, "pre_filters to scan by"),
        (retriever(ATTRIBUTE), {"min_count": 2}, "so that it is looked up in the retriever's collections"),
        (retriever(ATTRIBUTE), {"trigger_on": "no_results"}, "no_results"),
        (retriever(ATTRIBUTE), {"source": "system"}, "system"),
        (retriever(ATTRIBUTE, stage("mmr")), {}, "mmr depends on other documents"),
        (retriever(ATTRIBUTE, stage("group_by")), {}, "other documents"),
        (
            retriever(ATTRIBUTE, stage("aggregate", aggregations=[{"function": "count", "alias": "n"}])),
            {},
            "other documents",
        ),
        (retriever(ATTRIBUTE, stage("sample")), {}, "other documents"),
        (retriever(ATTRIBUTE, stage("deduplicate", fields=["a"])), {}, "other documents"),
        (retriever(ATTRIBUTE, stage("score_normalize")), {}, "other documents"),
        (retriever(ATTRIBUTE, stage("rerank")), {}, "hosted model"),
        (retriever(ATTRIBUTE, stage("llm_filter")), {}, "hosted language model"),
        (retriever(ATTRIBUTE, stage("document_enrich")), {}, "target_collection_id"),
        (retriever(ATTRIBUTE, stage("nonsense")), {}, "unknown stage_id"),
        (retriever(ATTRIBUTE, stage("limit", limit=1, offset=1)), {}, "offset"),
        (retriever(stage("attribute_filter", natural_language="spam")), {}, "hosted model"),
        (retriever(stage("attribute_filter")), {}, "conditions"),
        (retriever(stage("attribute_filter", field="a", value=1, conditions={"b": 1})), {}, "either"),
        (
            retriever(stage("attribute_filter", field="a", operator="geo_radius", value={})),
            {},
            "center is missing",
        ),
        (retriever(stage("attribute_filter", field="_internal.created_at", operator="exists")), {}, "set later"),
        (retriever(search(), stage("attribute_filter", field="score", operator="gt", value=1)), {}, "min_score"),
        (retriever(search(), search()), {}, "second feature_search"),
        (retriever(search(lexical=True)), {}, "lexical"),
        (retriever(search(min_score=2)), {}, "searches[0].min_score"),
        (retriever(search(weight=0)), {}, "weight"),
        (retriever(search(feature_uri="")), {}, "feature_uri"),
        (retriever(search(query={"input_mode": "text", "value": "x"})), {}, "hosted model"),
        (retriever(search(query="plain text")), {}, "hosted model"),
        (retriever(search(query={"input_mode": "content", "value": "u"})), {}, "hosted model"),
        (
            retriever(search(query={"input_mode": "document", "document_ref": {"document_id": "d"}})),
            {},
            "stored document",
        ),
        (retriever(search(query={"input_mode": "vector", "value": [0, 0]})), {}, "no direction"),
        (retriever(search(query={"input_mode": "vector", "value": [1, "x"]})), {}, "numbers only"),
        (retriever(search(query=[1, True])), {}, "numbers only"),
        (retriever(search(query=[1, float("inf")])), {}, "finite"),
        (retriever(search(query=[1, float("nan")])), {}, "finite"),
        (retriever(search(query=[1, 10**400])), {}, "too large"),
        (retriever(search(query={"input_mode": "vector", "value": [[1, 2], [2, 1]]})), {}, "several vectors"),
        (retriever(search(query={"input_mode": "vector", "value": []})), {}, "1 to"),
        (retriever(search(query=None)), {}, "query is required"),
        (retriever(search(feature_uri=HashingEmbedder.URI, query="a !")), {}, "no words"),
        (retriever(search(feature_uri=HashingEmbedder.URI)), {}, "1024"),
        (retriever(search(collection_identifiers=["col_b"])), {}, "other collections"),
        (retriever(ATTRIBUTE, collection_identifiers=["col_b"]), {}, "not col_a"),
        (retriever(stage("feature_search", searches=[VECTOR], group_by={"field": "x"})), {}, "other documents"),
        (retriever(stage("feature_search", searches=[VECTOR, VECTOR], fusion="learned")), {}, "hosted model"),
        (retriever(stage("feature_search", searches=[VECTOR, VECTOR], fusion="best")), {}, "fusion: "),
        (
            retriever(stage("feature_search", searches=[VECTOR, VECTOR])),
            {"threshold": {"field": "score", "operator": "gt", "value": 0.5}},
            "rank",
        ),
        (retriever(search()), {"threshold": {"field": "score", "operator": "gt", "value": "x"}}, "a number"),
        (retriever(search()), {"threshold": {"field": "score", "operator": "like", "value": 1}}, "operator of"),
        (retriever(search(query={"input_mode": "vector", "value": "{{INPUT.v}}"})), {}, "input 'v'"),
        (retriever(stage("attribute_filter", field="a", value="{{DOC.x}}")), {}, "every document"),
        (retriever(stage("attribute_filter", field="a", value="{{CONTEXT.x}}")), {}, "CONTEXT.x"),
        (retriever(stage("attribute_filter", field="a", value="{{INPUT.v")), {}, "cannot be read"),
        (
            retriever(stage("attribute_filter", field="created_at", operator="gt", value="{{utc_now()}}")),
            {},
            "told",
        ),
    ],
)
def test_refusals(body: dict[str, Any], alert: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError) as refused:
        compile_plan(body, alert, collection_id="col_a")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("body", "alert", "events"),
    [
        (retriever(ATTRIBUTE), {}, [(document({"lang": "en"}), 1.0), (document({"lang": "EN"}), None)]),
        (
            retriever(stage("attribute_filter", field="lang", value="EN", case_insensitive=True, conditions=None)),
            {},
            [(document({"lang": "en"}), 1.0), (document({"lang": "de"}), None)],
        ),
        (
            retriever(stage("attribute_filter", operator="eq", conditions={"OR": [{"a": 1}, {"b": 2}]})),
            {},
            [(document({"b": 2}), 1.0), (document({"b": 3}), None)],
        ),
        (
            retriever(stage("attribute_filter", AND=[{"a": 1}, {"b": 2}])),
            {},
            [(document({"a": 1, "b": 2}), 1.0), (document({"a": 1}), None)],
        ),
        (
            retriever(
                {"stage_type": "filter", "stage_id": "attribute_filter", "parameters": {"field": "a", "value": 1}}
            ),
            {},
            [(document({"a": 1}), 1.0), (document({}), None)],
        ),
        (
            retriever(ATTRIBUTE, stage("sort_relevance"), stage("sort_attribute"), stage("limit", limit=1)),
            {"min_count": 1, "trigger_on": "results"},
            [(document({"lang": "en"}), 1.0)],
        ),
        (
            retriever(search()),
            {},
            [
                (document(vector=[3, 4]), 1.0),
                (document(vector=[30, 40]), 1.0),
                (document(vector=[4, 3]), 0.96),
                (document(vector=[1, 0]), None),
                (document(vector=[0, 0]), None),
                (document(vector=[3, 4, 0]), None),
                (document(other=[3, 4]), None),
                (document(embedding=[3, 4]), 1.0),
                (document(), None),
            ],
        ),
        (retriever(search(min_score=1)), {}, [(document(vector=[3, 4]), 1.0), (document(vector=[3, 4.1]), None)]),
        (
            retriever(search(), ATTRIBUTE),
            {},
            [(document({"lang": "en"}, vector=[3, 4]), 1.0), (document({"lang": "de"}, vector=[3, 4]), None)],
        ),
        (
            retriever(
                stage("feature_search", searches=[VECTOR], pre_filters={"lang": "EN"}, post_filters={"a": 1})
            ),
            {},
            [
                (document({"lang": "en", "a": 1}, vector=[3, 4]), 1.0),
                (document({"lang": "en"}, vector=[3, 4]), None),
            ],
        ),
        (
            retriever(stage("feature_search", searches=[], pre_filters={"lang": "en"})),
            {},
            [(document({"lang": "en"}), 1.0), (document({}), None)],
        ),
        (
            retriever(search(min_score=None), ATTRIBUTE),
            {},
            [(document({"lang": "en"}, vector=[-3, -4]), 0.0), (document({"lang": "en"}), None)],
        ),
        (
            retriever(search(min_score=None)),
            {"threshold": {"field": "score", "operator": "gte", "value": 0.96}},
            [(document(vector=[4, 3]), 0.96), (document(vector=[5, 3]), None)],
        ),
        (
            retriever(search(min_score=0), stage("score_threshold", threshold=0.97)),
            {},
            [(document(vector=[3, 4]), 1.0), (document(vector=[4, 3]), None)],
        ),
        (
            retriever(ATTRIBUTE),
            {"threshold": {"field": "price", "operator": "gt", "value": 10}},
            [
                (document({"lang": "en", "price": 11}), 1.0),
                (document({"lang": "en", "metadata": {"price": 11}}), 1.0),
                (document({"lang": "en", "price": 9, "metadata": {"price": 11}}), None),
                (document({"lang": "en"}), None),
            ],
        ),
        (
            retriever(ATTRIBUTE),
            {"threshold": {"field": "price", "operator": "ne", "value": 10}},
            [(document({"lang": "en", "price": 11}), 1.0), (document({"lang": "en"}), None)],
        ),
        (
            retriever(stage("attribute_filter", field="a", value="{{ INPUT.x.y }}")),
            {"inputs": {"x": {"y": 7}}},
            [(document({"a": 7}), 1.0), (document({"a": "7"}), None)],
        ),
        (
            retriever(
                stage("attribute_filter", field="a", value={"type": "dynamic", "field": "inputs.x"}),
                input_schema={"x": {"type": "number", "default": 3}},
            ),
            {},
            [(document({"a": 3}), 1.0), (document({"a": 7}), None)],
        ),
        (
            retriever(search(query={"input_mode": "vector", "value": "{{inputs.v}}"})),
            {"inputs": {"v": [3, 4]}},
            [(document(vector=[3, 4]), 1.0), (document(vector=[4, -3]), None)],
        ),
        (
            retriever(search(feature_uri=HashingEmbedder.URI, query="ebola outbreak", min_score=0.5)),
            {},
            [
                (document(text="Ebola outbreak"), 1.0),
                (document({"text": "outbreak ebola"}), 1.0),
                (document(text="weight loss"), None),
                (document(text=""), None),
            ],
        ),
    ],
)
def test_plans(
    body: dict[str, Any], alert: dict[str, Any], events: list[tuple[DocumentEvent, float | None]]
) -> None:
    plan = compile_plan(body, alert, collection_id="col_a")
    for event, expected in events:
        verdict = check(plan, event)
        assert (None if verdict is None else verdict.score) == expected


def several(fusion: str, **second: Any) -> dict[str, Any]:
    other = {"feature_uri": "b", "query": [0, 1], "min_score": 0.9, "weight": 0.5, **second}
    return retriever(stage("feature_search", fusion=fusion, searches=[{**VECTOR, "weight": 1.0}, other]))


def test_several_searches_are_united_and_averaged() -> None:
    plan = compile_plan(several("weighted"), {})
    both = check(plan, document(vector=[3, 4], b=[0, 2]))
    one = check(plan, document(vector=[3, 4], b=[1, 0]))
    missing = check(plan, document(vector=[3, 4]))
    assert both is not None
    assert (both.score, both.matched_features) == (1.0, {URI: 1.0, "b": 1.0})
    assert one is not None
    assert (one.score, one.matched_features) == (0.666667, {URI: 1.0, "b": 0.0})
    assert missing is not None
    assert missing.score == 0.666667
    assert check(plan, document(vector=[1, 0], b=[1, 0])) is None
    optional = check(compile_plan(several("weighted", optional=True), {}), document(vector=[3, 4]))
    assert optional is not None
    assert optional.score == 1.0
    best = check(compile_plan(several("max"), {}), document(vector=[3, 4], b=[1, 0]))
    assert best is not None
    assert best.score == 1.0


def test_constants_of_the_application_win_over_inputs() -> None:
    body = retriever(stage("attribute_filter", field="a", value="{{INPUT.x}}"))
    application = {"input_mappings": [{"input_key": "x", "source": {"source_type": "constant", "value": 2}}]}
    plan = compile_plan(body, {"inputs": {"x": 1}}, application)
    assert check(plan, document({"a": 2})) is not None
    assert check(plan, document({"a": 1})) is None


def test_inputs_from_the_document_are_refused() -> None:
    application = {
        "input_mappings": [{"input_key": "x", "source": {"source_type": "document_field", "path": "a"}}]
    }
    with pytest.raises(PlanError, match="comes from the document"):
        compile_plan(retriever(ATTRIBUTE), {}, application)


def test_the_reason_says_what_matched() -> None:
    plan = compile_plan(retriever(search(), ATTRIBUTE), {})
    verdict = check(plan, document({"lang": "en"}, vector=[4, 3]))
    assert verdict is not None
    assert verdict.reason == 'lang eq "en"; similarity 0.96'


def test_huge_and_tiny_query_vectors_keep_their_direction() -> None:
    for scale in (1e300, 1e-300):
        plan = compile_plan(retriever(search(query=[3 * scale, 4 * scale])), {})
        verdict = check(plan, document(vector=[3, 4]))
        assert verdict is not None
        assert verdict.score == 1.0
