from typing import Any

import numpy as np
import pytest

from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.taxonomy import roots
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import Defined, applied, stage


def stored(collection_id: str, document_id: str, vector: list[float], **fields: Any) -> Row:
    return Row(document_id, collection_id, fields, None, {"words": np.array(vector, dtype=np.float32)})


TOPICS = [
    stored("topics", "flu", [1, 0, 0], label="Influenza", tags=["virus"], risk={"level": 2}),
    stored("topics", "ebola", [0.8, 0.6, 0], label="Ebola", tags=["virus", "fever"], risk={"level": 5}),
    stored("topics", "sport", [0, 0, 1], label="Sport", tags=[]),
]
BRANDS = [
    stored("brands", "acme", [1, 0, 0], brand="Acme", segment="all"),
    stored("brands", "zeta", [0, 1, 0], brand="Zeta", segment="all"),
]
MODELS = [stored("models", "acme-1", [0.8, 0.6, 0], model="One", segment="small")]
BY_VECTOR = {
    "stages": [
        stage(
            "feature_search",
            {"searches": [{"feature_uri": "words", "query": {"input_mode": "vector", "value": "{{INPUT.v}}"}}]},
        )
    ],
    "input_schema": {"v": {"type": "array", "required": True}},
}
VECTOR = [{"input_key": "v", "source_type": "vector", "path": "words"}]
FLAT = {
    "taxonomy_name": "topics",
    "config": {
        "taxonomy_type": "flat",
        "retriever_id": "r",
        "input_mappings": VECTOR,
        "source_collection": {
            "collection_id": "topics",
            "enrichment_fields": [
                {"field_path": "label", "target_field": "topic"},
                {"field_path": "tags", "merge_mode": "append"},
                {"field_path": "risk.level"},
            ],
        },
    },
}
TREE: dict[str, Any] = {
    "config": {
        "taxonomy_type": "hierarchical",
        "retriever_id": "r",
        "input_mappings": VECTOR,
        "hierarchical_nodes": [
            {
                "collection_id": "models",
                "parent_collection_id": "brands",
                "label": "model",
                "enrichment_fields": [{"field_path": "model"}, {"field_path": "segment"}],
            },
            {
                "collection_id": "brands",
                "label": "brand",
                "enrichment_fields": [{"field_path": "brand"}, {"field_path": "segment"}],
            },
        ],
    }
}


def enriched(rows: list[Row], taxonomy: Any = FLAT, **parameters: Any) -> list[Row]:
    return applied(
        "taxonomy_enrich",
        {"taxonomy_id": "t", **parameters},
        rows,
        stored=[*TOPICS, *BRANDS, *MODELS],
        definitions=Defined({"r": BY_VECTOR}, {"t": taxonomy}),
    )


NEWS = row("n", 0.5, [1, 0, 0], tags=["news"])


def test_the_best_match_gives_its_fields() -> None:
    (found,) = enriched([NEWS], top_k=1)
    assert found.fields == {"tags": ["news", "virus"], "topic": "Influenza", "risk": {"level": 2}}
    assert (found.document_id, found.score) == ("n", 0.5)
    assert NEWS.fields == {"tags": ["news"]}


def test_one_row_per_assignment_best_first_over_the_least_score() -> None:
    assert [one.fields["topic"] for one in enriched([NEWS])] == ["Influenza", "Ebola", "Sport"]
    found = enriched([NEWS], min_confidence=0.5, result_field="match")
    assert [one.fields["match"]["document_id"] for one in found] == ["flu", "ebola"]
    assert found[1].fields["match"] == {
        "taxonomy_id": "t",
        "collection_id": "topics",
        "document_id": "ebola",
        "score": 0.8,
        "path": ["topics"],
    }
    assert found[1].fields["tags"] == ["news", "virus", "fever"]


def test_documents_without_a_match_or_not_meant_pass_unchanged() -> None:
    far = row("far", None, [-1, 0, 0])
    bare = row("bare", title="no vector")
    assert enriched([far, bare], min_score=0.5) == [far, bare]
    assert enriched([NEWS], when={"field": "kind", "operator": "exists"}) == [NEWS]


def test_fields_of_the_stage_come_before_those_of_the_taxonomy() -> None:
    (found,) = enriched([NEWS], top_k=1, fields=[{"field_path": "label", "merge_mode": "replace"}])
    assert found.fields == {"tags": ["news"], "label": "Influenza"}
    bare = {"config": {**FLAT["config"], "source_collection": {"collection_id": "topics"}}}  # type: ignore[dict-item]
    (plain,) = enriched([NEWS], bare, top_k=1)
    assert plain.fields["taxonomy"]["document_id"] == "flu"


def test_levels_run_from_root_to_leaf_and_deeper_ones_override() -> None:
    (found,) = enriched([row("n", None, [0.8, 0.6, 0])], TREE, top_k=1, min_score=0.7, result_field="match")
    assert {key: found.fields[key] for key in ("brand", "model", "segment")} == {
        "brand": "Acme",
        "model": "One",
        "segment": "small",
    }
    assert found.fields["match"]["path"] == ["brand", "model"]
    alone = enriched([row("n", None, [0.8, 0.6, 0])], TREE, top_k=1, min_score=0.7, include_ancestors=False)
    assert "brand" not in alone[0].fields


def test_only_documents_over_the_threshold_pass_down() -> None:
    (found,) = enriched([row("n", None, [0, 1, 0])], TREE, top_k=1, min_score=0.7)
    assert found.fields == {"brand": "Zeta", "segment": "all"}
    lost = row("n", None, [0, 0, 1])
    assert enriched([lost], TREE, min_score=0.7) == [lost]


def test_other_inputs() -> None:
    retriever = {
        "stages": [stage("attribute_filter", {"field": "label", "operator": "eq", "value": "{{INPUT.l}}"})],
        "input_schema": {"l": {"type": "string"}},
    }
    for mapping in (
        {"input_key": "l", "source_type": "payload", "path": "m.topic"},
        {"input_key": "l", "source_type": "literal", "override": "Ebola"},
    ):
        body = {"config": {**FLAT["config"], "input_mappings": [mapping]}}  # type: ignore[dict-item]
        (found,) = applied(
            "taxonomy_enrich",
            {"taxonomy_id": "t", "top_k": 1},
            [row("n", m={"topic": "Ebola"})],
            stored=TOPICS,
            definitions=Defined({"r": retriever}, {"t": body}),
        )
        assert found.fields["topic"] == "Ebola"


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(StageError, match="there is no taxonomy 't'"):
        applied("taxonomy_enrich", {"taxonomy_id": "t"}, [NEWS])
    with pytest.raises(StageError, match="retriever 'r' does not exist"):
        applied("taxonomy_enrich", {"taxonomy_id": "t"}, [NEWS], definitions=Defined({}, {"t": FLAT}))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (None, "there are none"),
        ([{"collection_id": "a", "parent_collection_id": "b"}], "the parent 'b' is no node"),
        ([{"collection_id": "a", "parent_collection_id": "a"}], "its own ancestor"),
        ([{"collection_id": "a"}, {"collection_id": "a"}], "a node once"),
        ([{"label": "x"}], "collection_id"),
        (
            [{"collection_id": "0"}]
            + [{"collection_id": str(at), "parent_collection_id": str(at - 1)} for at in range(1, 11)],
            "more than 10 levels",
        ),
    ],
)
def test_what_is_no_tree_is_refused(nodes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roots({"config": {**TREE["config"], "hierarchical_nodes": nodes}})
