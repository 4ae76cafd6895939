"""Which collections standing alerts read, through the retrievers and taxonomies that their stages name."""

from collections.abc import Mapping
from typing import Any

import pytest

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.prepare import prepare
from streams.engines.retrieval.execution.reading import retriever_reads
from streams.engines.retrieval.execution.standing import reference_collections
from streams.engines.retrieval.percolate.compile import compile_plan
from tests.engines.retrieval.stages.running import Defined, stage

MAPPINGS = [{"input_key": "a", "source_type": "payload"}]


def over(*collections: str, stages: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"collection_identifiers": list(collections), "stages": stages or [stage("limit")]}


def flat(collection: str, retriever: str) -> dict[str, Any]:
    source = {"collection_id": collection}
    return {"config": {"retriever_id": retriever, "input_mappings": MAPPINGS, "source_collection": source}}


def tree(*nodes: tuple[str, str | None, str]) -> dict[str, Any]:
    written = [
        {"collection_id": name, "parent_collection_id": parent, "retriever_id": retriever}
        for name, parent, retriever in nodes
    ]
    config = {"taxonomy_type": "hierarchical", "input_mappings": MAPPINGS, "hierarchical_nodes": written}
    return {"config": config}


def enrich(**parameters: Any) -> dict[str, Any]:
    return stage("document_enrich", parameters)


def matched(taxonomy: str) -> dict[str, Any]:
    return stage("taxonomy_enrich", {"taxonomy_id": taxonomy})


KNOWN = Defined(
    retrievers={
        "plain": over(),
        "joining": over("news", stages=[stage("limit"), enrich(target_collection_id="brands")]),
        "everywhere": {"stages": [stage("limit")]},
        "circle": over("news", stages=[stage("limit"), enrich(retriever_id="circle")]),
        "asking": over("other", stages=[enrich(retriever_id="joining")]),
    },
    taxonomies={
        "flat": flat("topics", "plain"),
        "tree": tree(("topics", None, "plain"), ("models", "topics", "joining")),
        "lost": flat("topics", "gone"),
        "nowhere": flat("gone", "plain"),
        "broken": {"config": {"taxonomy_type": "hierarchical"}},
    },
)


def read(*stages: dict[str, Any], over_: tuple[str, ...] = ("people",)) -> set[str]:
    return set(retriever_reads(prepare({"collection_identifiers": over_, "stages": list(stages)}), KNOWN))


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([stage("limit")], set()),
        ([enrich(target_collection_id="brands")], {"brands"}),
        ([enrich(target_collection_id="{{COLLECTION_ID}}", retriever_id="joining")], {"news", "brands"}),
        ([enrich(target_collection_id="topics", retriever_id="everywhere")], {"topics"}),
        ([enrich(retriever_config=over("models", stages=[matched("flat")]))], {"models", "topics"}),
        ([enrich(retriever_id="asking")], {"other", "news", "brands"}),
        ([matched("flat")], {"topics"}),
        # The node's retriever searches the node's collection, and joins what it joins.
        ([matched("tree")], {"topics", "models", "brands"}),
        ([stage("limit"), matched("flat"), enrich(target_collection_id="brands")], {"topics", "brands"}),
    ],
)
def test_what_is_read(stages: list[dict[str, Any]], expected: set[str]) -> None:
    assert read(*stages) == {"people", *expected}


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (matched("none"), "stage taxonomy_enrich: taxonomy_id: there is no taxonomy 'none'"),
        (matched("{{INPUT.which}}"), "there is no taxonomy"),
        (matched("lost"), "the taxonomy's retriever 'gone' does not exist"),
        (matched("nowhere"), "there is no collection 'gone'"),
        (matched("broken"), "hierarchical_nodes: levels are matched by nodes"),
        (enrich(target_collection_id="gone"), "there is no collection 'gone'"),
        (enrich(target_collection_id="{{INPUT.which}}"), "a template cannot"),
        (enrich(retriever_id="none"), "there is no retriever 'none'"),
        (enrich(retriever_id="everywhere"), "give it collection_identifiers"),
        (enrich(retriever_id="circle"), "in a circle"),
        (
            enrich(retriever_config={"stages": [{"stage_id": "nope"}]}),
            "its retriever: stage nope: unknown stage_id",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(one: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(one)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "expected"), [({"which": "flat"}, {"topics"}), ({"which": "tree"}, {"topics", "models", "brands"})]
)
def test_a_plan_reads_what_its_constants_name(inputs: Mapping[str, str], expected: set[str]) -> None:
    condition = stage("attribute_filter", {"conditions": {"field": "a", "operator": "eq", "value": 1}})
    retriever = {"stages": [condition, matched("{{INPUT.which}}")]}
    plan = compile_plan(retriever, {"inputs": inputs}, None)
    assert reference_collections(plan, KNOWN) == expected
