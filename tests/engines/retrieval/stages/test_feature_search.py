"""``feature_search``: queries, fusion, targets, facets and groups (contract section 6, Search)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.prepare import prepare_stage
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import executed, stage


def doc(document_id: str, x: Any = None, y: Any = None, collection: str = "news", **fields: Any) -> Row:
    features = {name: np.array(v, dtype=np.float32) for name, v in (("x", x), ("y", y)) if v is not None}
    return Row(document_id, collection, fields, None, features)


STORED = [
    doc("a", [1, 0], [0, 1], text="flu in town", c="p"),
    doc("b", [3, 4], [1, 0], text="town hall", c="q"),
    doc("c", [0, 1], text="flu flu", c="p"),
    doc("d", [0, 0], text="nothing"),
    doc("e", [1, 0.1], collection="other", text="flu", c="r"),
]


def search(feature: str = "x", value: Any = (1, 0), **more: Any) -> dict[str, Any]:
    value = list(value) if isinstance(value, tuple) else value
    return {"feature_uri": feature, "query": {"input_mode": "vector", "value": value}, **more}


def find(*searches: Any, inputs: Any = None, collections: Any = ("news",), **parameters: Any) -> Execution:
    filters = {key: parameters.pop(key) for key in ("pre_filters", "post_filters") if key in parameters}
    stages = [stage("feature_search", {"searches": list(searches), **parameters}, **filters)]
    return executed(stages, STORED, inputs=inputs, collections=collections)


def found(execution: Execution) -> list[tuple[str, float | None]]:
    assert execution.error is None
    return [(one.document_id, one.score) for one in execution.rows]


def test_one_search_scores_by_similarity() -> None:
    assert found(find(search())) == [("a", 1.0), ("b", 0.6), ("c", 0.0)]
    assert found(find(search(min_score=0.6))) == [("a", 1.0), ("b", 0.6)]
    assert found(find(search(top_k=1))) == [("a", 1.0)]
    assert found(find(search(), final_top_k=1)) == [("a", 1.0)]
    assert found(find(search(), limit=1)) == [("a", 1.0)]
    assert found(find(search(weight=0.1))) == [("a", 1.0), ("b", 0.6), ("c", 0.0)]
    assert find(search()).rows[1].matched == {"x": 0.6}
    assert find(search()).notes.total == 3


def test_several_searches_are_fused() -> None:
    both = (search(), search("y", (1, 0), weight=0.5))
    weighted = found(find(*both, fusion="weighted"))
    assert weighted == [("b", pytest.approx(1.1)), ("a", 1.0), ("c", 0.0)]
    ranked = found(find(*both))
    assert [name for name, _ in ranked] == ["a", "b", "c"]
    assert [score for _, score in ranked] == pytest.approx([1 / 61 + 0.5 / 62, 1 / 62 + 0.5 / 61, 1 / 63])
    assert found(find(*both, fusion="max")) == [("a", 1.0), ("b", 1.0), ("c", 0.0)]
    assert find(*both, fusion="max").rows[1].matched == {"x": 0.6, "y": 1.0}
    assert [name for name, _ in found(find(*both, fusion="dbsf"))][:2] in (["a", "b"], ["b", "a"])
    first = search(min_score=0.9)
    assert found(find(first, search("y", (1, 0), min_score=0.9), fusion="weighted")) == [("a", 1.0), ("b", 1.0)]


def test_filters_and_collections_of_a_search() -> None:
    assert found(find(search(filters={"c": "p"}))) == [("a", 1.0), ("c", 0.0)]
    assert found(find(search(filters={"c": "{{INPUT.c}}"}), inputs={"c": "q"})) == [("b", 0.6)]
    assert found(find(search(), pre_filters={"c": "q"})) == [("b", 0.6)]
    assert found(find(search(), post_filters={"field": "score", "operator": "gt", "value": 0.5})) == [
        ("a", 1.0),
        ("b", 0.6),
    ]
    other = [("e", 0.995037)]
    assert found(find(search(collection_identifiers=["other"]))) == other
    assert found(find(search(), collection_identifiers=["other"])) == other
    aimed = find(search(collection_identifiers=["other"]), collection_identifiers=["news"])
    assert found(aimed) == other
    assert [name for name, _ in found(find(search(), collections=None))] == ["a", "e", "b", "c"]
    assert "no collection 'nope'" in str(find(search(collection_identifiers=["nope"])).error)


def test_queries() -> None:
    assert found(find(search(value=[[1, 0], [0, 1]]))) == [("a", 1.0), ("c", 1.0), ("b", 0.8)]
    assert found(find(search(value="{{INPUT.v}}"), inputs={"v": [0, 2]}))[0] == ("c", 1.0)
    assert found(find({"feature_uri": "x", "query": [0, 1]}))[0] == ("c", 1.0)
    stored = {"feature_uri": "x", "query": {"input_mode": "document", "document_ref": {"document_id": "c"}}}
    assert found(find(stored))[0] == ("c", 1.0)
    stored["query"]["document_ref"]["collection_id"] = "other"  # type: ignore[index]
    assert "no document 'c'" in str(find(stored).error)
    text = {"feature_uri": HashingEmbedder.URI, "query": "flu flu", "min_score": 0.5}
    assert found(find(text)) == [("c", 1.0), ("a", pytest.approx(0.57735))]
    guide = [{"uri": "x", "input": {"vector": [0, 1]}, "min_score": 0.9}]
    assert found(find(feature_uris=guide)) == [("c", 1.0)]


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (search("nope"), "no document has the feature 'nope'; there are x, y"),
        (search(value=[1, 0, 0]), "have 2 dimensions, the query 3"),
        (search(value="{{INPUT.none}}"), "its query is empty"),
        (search(value="{{INPUT.text}}"), "list of 1 to"),
        (search(value="{{INPUT.zero}}"), "no direction"),
        ({"feature_uri": "x", "query": "{{INPUT.text}}"}, "needs a hosted model"),
        ({"feature_uri": "x", "query": {"input_mode": "content", "value": "https://a/b"}}, "needs a hosted model"),
        ({"feature_uri": "x", "query": {"input_mode": "multi_content", "values": ["u"]}}, "needs a hosted model"),
        ({"feature_uri": "x", "query": [1, 0], "lexical": True}, "takes a text"),
        (search(min_score="{{INPUT.text}}"), "min_score"),
    ],
)
def test_what_a_search_cannot_do_is_its_stages_error(one: Any, says: str) -> None:
    execution = find(one, inputs={"text": "words", "zero": [0, 0]})
    assert execution.status == "failed"
    assert says in str(execution.error)
    assert "feature_search" in str(execution.error)


def test_an_empty_query() -> None:
    empty = search(value="{{INPUT.v}}", on_empty="skip")
    assert found(find(empty, search(), fusion="weighted"))[0] == ("a", 1.0)
    assert "every search was skipped" in str(find(empty).error)
    some = found(find({**empty, "on_empty": "random"}))
    assert {name for name, _ in some} == {"a", "b", "c"}
    assert some == found(find({**empty, "on_empty": "random"}))


def test_an_empty_index() -> None:
    nothing = list[Row]()
    required = executed([stage("feature_search", {"searches": [search()]})], nothing)
    assert (required.rows, required.error) == ([], None)
    both = [search(optional=True), search("y", optional=True)]
    optional = executed([stage("feature_search", {"searches": both})], nothing)
    assert "every search was skipped" in str(optional.error)
    assert [(entry["resource"], entry["id"], entry["stage"]) for entry in optional.notes.degraded] == [
        ("feature", "x", "feature_search"),
        ("feature", "y", "feature_search"),
    ]


def test_lexical_search_ranks_by_words() -> None:
    words = {"feature_uri": "x", "query": "flu", "lexical": True}
    assert [name for name, _ in found(find(words))] == ["c", "a"]
    assert [name for name, _ in found(find(words, search(), fusion="rrf"))] == ["a", "c", "b"]


def test_without_searches_it_scans() -> None:
    assert found(find(pre_filters={"c": "p"})) == [("a", None), ("c", None)]
    empty: list[Any] = [None, {}, {"AND": []}, {"case_sensitive": True}]
    for nothing in empty:
        with pytest.raises(PlanError, match="searches are empty"):
            prepare_stage(stage("feature_search", {}, pre_filters=nothing))


def test_groups_and_facets() -> None:
    grouped = find(search(), group_by={"field": "c", "output_mode": "first"})
    assert found(grouped) == [("a", 1.0), ("b", 0.6)]
    assert found(find(search(), group_by={"field": "c", "output_mode": "flatten", "max_per_group": 2})) == [
        ("a", 1.0),
        ("c", 0.0),
        ("b", 0.6),
    ]
    one = find(search(), group_by={"field": "c", "limit": 1, "max_per_group": 2}).rows
    assert [(group.fields["key"], group.fields["count"]) for group in one] == [("p", 2)]
    counted = find(search(top_k=1), facets=[{"key": "c"}, {"key": "none", "exact": True}])
    assert counted.notes.facets == [
        {"key": "c", "buckets": [{"value": "p", "count": 2}, {"value": "q", "count": 1}]},
        {"key": "none", "buckets": []},
    ]


VECTORS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=2, max_size=2)


@given(st.lists(st.tuples(VECTORS, st.sampled_from(["flu", "town flu", ""])), max_size=6), VECTORS, st.booleans())
def test_a_later_search_ranks_its_rows_as_a_first_one_does(
    documents: list[tuple[list[float], str]], query: list[float], fused: bool
) -> None:
    if not any(query):
        query = [1.0, 0.0]
    stored = [doc(f"d{at}", vector, text=text) for at, (vector, text) in enumerate(documents)]
    searches = [search(value=query), {"feature_uri": "x", "query": "flu", "lexical": True}]
    asked = stage("feature_search", {"searches": searches if fused else searches[:1]})
    everything = stage("attribute_filter", {"field": "document_id", "operator": "exists", "value": True})
    first = executed([asked], stored)
    later = executed([everything, {**asked, "stage_name": "later"}], stored)
    assert [(one.document_id, one.score) for one in later.rows] == [
        (one.document_id, one.score) for one in first.rows
    ]


def test_rows_with_the_same_ids_stay_apart() -> None:
    stored = [row("a", None, [1, 0], tags=["x", "y"])]
    searches = [search("words"), search("words", (0, 1))]
    stages = [stage("unwind", {"field": "tags"}), stage("feature_search", {"searches": searches, "fusion": "max"})]
    assert [(one.fields["tags"], one.score) for one in executed(stages, stored).rows] == [("x", 1.0), ("y", 1.0)]
