from typing import Any

import pytest

from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import Defined, applied, event_of, stage

PEOPLE = [
    Row("p1", "people", {"name": "Ada", "team": {"id": 7, "city": "London"}, "email": "ada@x.org"}),
    Row("p2", "people", {"name": "Grace", "team": {"id": 8}}),
    Row("p3", "people", {"name": "Alan", "team": {"id": 7}}),
]
ROWS = [
    row("a", 0.5, author="Ada", name="a title"),
    row("b", author="Nobody"),
    row("c", author=["Grace", "Ada"]),
    row("d"),
    row("e", author={"deep": 1}),
]
BY_NAME: dict[str, Any] = {"target_collection_id": "people", "source_field": "author", "target_field": "name"}


def enriched(*, rows: list[Row] = ROWS, definitions: Defined | None = None, **parameters: Any) -> list[Row]:
    return applied("document_enrich", parameters, rows, stored=[*PEOPLE, *rows], definitions=definitions)


def test_fields_come_to_the_root_where_ids_and_score_stay() -> None:
    found = enriched(**BY_NAME)
    assert [one.document_id for one in found] == ["a", "b", "c", "d", "e"]
    assert found[0].root() == {
        "document_id": "a",
        "collection_id": "news",
        "score": 0.5,
        "author": "Ada",
        **PEOPLE[0].fields,
    }
    assert found[1] == ROWS[1]
    assert found[2].fields["name"] == "Grace"
    assert ROWS[0].fields == {"author": "Ada", "name": "a title"}
    (listed,) = enriched(rows=ROWS[:1], **BY_NAME, fields_to_merge=["document_id", "team.id", "missing"])
    assert listed.document_id == "p1"
    assert listed.fields == {**ROWS[0].fields, "team": {"id": 7}}


def test_an_output_field_and_the_guides_names() -> None:
    (found,) = enriched(
        rows=ROWS[:1],
        collection_id="people",
        source_field="author",
        lookup_field="name",
        result_field="enrichments.author",
        select_fields=["name", "team.city"],
    )
    assert found.fields["enrichments"] == {"author": {"name": "Ada", "team": {"city": "London"}}}
    (whole,) = enriched(rows=ROWS[:1], **BY_NAME, output_field="author_doc")
    assert whole.fields["author_doc"] == event_of(PEOPLE[0]).root()


def test_strategies() -> None:
    one = [row("a", 0.5, team=7, seen=["x"])]
    by_team: dict[str, Any] = {
        "target_collection_id": "people",
        "source_field": "team",
        "target_field": "team.id",
        "fields_to_merge": ["name"],
    }
    (replaced,) = enriched(rows=one, **by_team, strategy="replace")
    assert (replaced.fields, replaced.document_id, replaced.score) == ({"name": "Ada"}, "a", 0.5)
    (appended,) = enriched(rows=one, **by_team, strategy="append", output_field="seen")
    assert appended.fields["seen"] == ["x", {"name": "Ada"}]
    (default,) = enriched(rows=one, **by_team, strategy="append")
    assert default.fields["enrichments"] == [{"name": "Ada"}]
    (several,) = enriched(rows=one, **by_team, multiple=True, output_field="people")
    assert several.fields["people"] == [{"name": "Ada"}, {"name": "Alan"}]
    (limited,) = enriched(rows=one, **by_team, multiple=True, limit=1, output_field="people")
    assert limited.fields["people"] == [{"name": "Ada"}]


def test_missing_ones_are_dropped_when_asked_and_when_lets_others_pass() -> None:
    assert [one.document_id for one in enriched(**BY_NAME, allow_missing=False)] == ["a", "c"]
    when = {"field": "author", "operator": "eq", "value": "{{ DOC.author }}"}
    found = enriched(rows=ROWS[:2], **BY_NAME, allow_missing=False, when={"NOT": [{"author": "Nobody"}]})
    assert [(one.document_id, "email" in one.fields) for one in found] == [("a", True), ("b", False)]
    assert enriched(rows=ROWS[:1], **BY_NAME, when=when)[0].fields["name"] == "Ada"


def test_by_a_retriever() -> None:
    retriever = {
        "stages": [
            stage("attribute_filter", {"field": "name", "operator": "starts_with", "value": "{{INPUT.n}}"})
        ],
        "input_schema": {"n": {"type": "string", "required": True}},
    }
    inputs = {"n": "{{ DOC.author }}"}
    asked: dict[str, Any] = {"retriever_inputs": inputs, "target_collection_id": "people", "output_field": "who"}
    rows = [row("a", author="A"), row("b", author="Gra"), row("c", author="Zed")]
    found = enriched(rows=rows, retriever_config=retriever, **asked)
    assert [one.fields.get("who", {}).get("name") for one in found] == ["Ada", "Grace", None]
    named = enriched(rows=rows, retriever_id="r", definitions=Defined({"r": retriever}), **asked)
    assert named == found
    with pytest.raises(StageError, match="there is no retriever 'gone'"):
        enriched(rows=rows, retriever_id="gone", **asked)


def test_an_unknown_collection_is_named() -> None:
    with pytest.raises(StageError, match="there is no collection 'gone'"):
        enriched(target_collection_id="gone")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "target_collection_id: needs the collection"),
        ({"retriever_id": "r", "retriever_config": {"stages": [1]}}, "retriever_config: give retriever_id or"),
        ({"retriever_config": {}}, r"retriever_config.stages"),
        ({"target_collection_id": "people", "multiple": True}, "output_field: several documents"),
        ({"target_collection_id": "people", "strategy": "merge"}, "strategy"),
        ({"target_collection_id": "people", "when": {"AND": [None]}}, r"when.AND\[0\]"),
        ({"target_collection_id": "people", "retriever_inputs": {}}, "retriever_inputs"),
    ],
)
def test_bad_parameters_are_refused_with_their_place(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=f"stage document_enrich: {message}"):
        enriched(**bad)
