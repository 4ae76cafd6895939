from typing import Any

import pytest

from schemas.manifest import ManifestError, ManifestObject, Place, Step, expand

HASHING = "mixpeek://hashing@v1/words"
LEAF = {"field": "text", "operator": "text", "value": "ebola"}


def objects(*contents: Any) -> list[ManifestObject]:
    return [ManifestObject(Place("m.yaml", number, number * 10), item) for number, item in enumerate(contents, 1)]


def bodies(steps: list[Step], kind: str) -> list[dict[str, Any]]:
    return [step.body for step in steps if step.kind == kind]


def stage(name: str, stage_id: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage_name": name,
        "stage_type": "filter",
        "config": {"stage_id": stage_id, "parameters": parameters},
    }


FILTER = stage("filter", "attribute_filter", {"conditions": LEAF, "case_insensitive": True})


def search(mode: str, value: Any, **more: Any) -> dict[str, Any]:
    one = {"feature_uri": HASHING, "query": {"input_mode": mode, "value": value}, **more}
    return stage("search", "feature_search", {"searches": [one]})


@pytest.mark.parametrize(
    ("asks", "stages"),
    [
        ({"filter": LEAF}, [FILTER]),
        ({"query": {"text": "flu", "min_score": 0.3}}, [search("text", "flu", min_score=0.3)]),
        ({"query": {"feature_uri": HASHING, "vector": [1, 0]}}, [search("vector", [1, 0])]),
        ({"filter": LEAF, "query": {"text": "flu"}}, [FILTER, search("text", "flu")]),
        ({"retriever": {"stages": [FILTER]}}, [FILTER]),
    ],
)
def test_a_question_inside_an_alert_becomes_a_retriever(asks: dict[str, Any], stages: list[Any]) -> None:
    steps = expand(objects({"kind": "alert", "name": "A", "collections": ["news"], **asks}))
    assert [step.kind for step in steps] == ["retriever", "alert", "attachment"]
    assert steps[0].body == {"retriever_name": "A retriever", "stages": stages}
    assert steps[1].body == {
        "name": "A",
        "retriever_id": "A retriever",
        "notification_config": {"channels": [{"channel_type": "webhook"}]},
    }
    assert steps[2].name == "news"
    assert steps[2].body["alert_id"] == "A"
    assert steps[2].body["execution_mode"] == "on_ingest"
    assert len(steps[2].body["input_mappings"]) == 1


def test_the_order_in_which_things_can_be_made() -> None:
    interval = {"trigger_type": "interval", "schedule_config": {"interval_seconds": 60}}
    action = {"action_type": "cluster", "action_config": {"cluster_id": "c"}}
    config = {"clustering_method": "kmeans"}
    steps = expand(
        objects(
            {"kind": "cluster_trigger", "description": "ct", "cluster_id": "c", **interval},
            {"kind": "trigger", "name": "t", **action, **interval},
            {"kind": "alert", "name": "a", "filter": LEAF, "collections": ["news", "news"]},
            {"kind": "cluster", "cluster_name": "c", "collection_ids": ["news"], "vector_config": config},
            {"kind": "retriever", "retriever_name": "r", "stages": [FILTER]},
            {"kind": "collection", "collection_name": "news"},
            {"kind": "namespace", "namespace_name": "desk"},
        )
    )
    assert [(step.kind, step.name) for step in steps] == [
        ("namespace", "desk"),
        ("collection", "news"),
        ("retriever", "a retriever"),
        ("retriever", "r"),
        ("cluster", "c"),
        ("alert", "a"),
        ("attachment", "news"),
        ("trigger", "t"),
        ("cluster_trigger", "ct"),
    ]
    assert steps[1].body["source"] == {"type": "direct_upsert"}


def test_attachments_of_a_collection_wait_for_the_alerts() -> None:
    attached = {"alert_id": "a", "input_mappings": [{"input_key": "k", "source": {"source_type": "constant"}}]}
    steps = expand(
        objects({"kind": "collection", "collection_name": "news", "alert_applications": [attached, {**attached}]})
    )
    assert [step.kind for step in steps] == ["collection", "attachment", "attachment"]
    assert "alert_applications" not in steps[0].body
    assert bodies(steps, "attachment") == [attached, attached]


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        ("text", "", "object with kind"),
        ({"name": "x"}, "kind", "one of namespace, collection"),
        ({"kind": "taxonomies", "taxonomy_name": "x"}, "kind", "found 'taxonomies'"),
        ({"kind": "taxonomy", "taxonomy_name": "x"}, "config", "required"),
        ({"kind": "alert", "filter": LEAF}, "name", "needs a name"),
        ({"kind": "cluster_trigger", "cluster_id": "c"}, "description", "known by"),
        ({"kind": "alert", "name": "a"}, "", "found none"),
        ({"kind": "alert", "name": "a", "filter": LEAF, "retriever_id": "r"}, "", "found retriever_id, filter"),
        ({"kind": "alert", "name": "a", "filter": []}, "filter", "filter tree"),
        ({"kind": "alert", "name": "a", "query": {"text": "x", "vector": [1]}}, "query", "text or vector"),
        ({"kind": "alert", "name": "a", "query": {"vector": [1]}}, "query.feature_uri", "which feature"),
        ({"kind": "alert", "name": "a", "query": {"texts": "x"}}, "query.texts", "accepted are feature_uri"),
        ({"kind": "alert", "name": "a", "filter": LEAF, "collections": "news"}, "collections", "list"),
        ({"kind": "alert", "name": "a", "filter": LEAF, "colour": 1}, "colour", "Accepted keys"),
        ({"kind": "alert", "name": "a", "filter": LEAF, "min_count": 0}, "min_count", "greater than"),
        ({"kind": "collection", "collection_name": "a b"}, "collection_name", "pattern"),
    ],
)
def test_an_error_names_file_object_line_and_field(content: Any, field: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        expand(objects({"kind": "collection", "collection_name": "fine"}, content))
    assert caught.value.field == field
    assert words in caught.value.problem
    assert str(caught.value).startswith("m.yaml: object 2 (line 20): ")


def test_the_same_thing_twice_names_both_places() -> None:
    twice = {"kind": "collection", "collection_name": "news"}
    with pytest.raises(ManifestError, match=r"object 2 .*defined already in m\.yaml: object 1 \(line 10\)"):
        expand(objects(twice, twice))


def by_stage(name: str, stage_id: str, **parameters: Any) -> dict[str, Any]:
    stage = {"stage_name": "s", "config": {"stage_id": stage_id, "parameters": parameters}}
    return {"kind": "retriever", "retriever_name": name, "stages": [stage]}


def taxonomy(name: str, retriever: str) -> dict[str, Any]:
    config = {
        "retriever_id": retriever,
        "input_mappings": [{"input_key": "a", "source_type": "payload"}],
        "source_collection": {"collection_id": "codes"},
    }
    return {"kind": "taxonomy", "taxonomy_name": name, "config": config}


def test_what_is_named_is_made_first() -> None:
    written = [
        by_stage("outer", "taxonomy_enrich", taxonomy_id="topics"),
        taxonomy("plain", "elsewhere"),
        taxonomy("topics", "by code"),
        by_stage("outermost", "document_enrich", retriever_id="outer"),
        by_stage("by code", "attribute_filter", conditions=LEAF),
        by_stage("free", "document_enrich", target_collection_id="codes", retriever_id="null"),
        {"kind": "collection", "collection_name": "codes"},
    ]
    assert [step.name for step in expand(objects(*written))] == [
        "codes",
        "by code",
        "free",
        "plain",
        "topics",
        "outer",
        "outermost",
    ]


def test_names_in_a_circle_are_said() -> None:
    circle = [by_stage("r", "taxonomy_enrich", taxonomy_id="t"), taxonomy("t", "r")]
    with pytest.raises(ManifestError, match=r"in a circle: .*taxonomy 't' names retriever 'r'"):
        expand(objects(*circle))
