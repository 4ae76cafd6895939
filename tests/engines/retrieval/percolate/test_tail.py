"""Standing alerts whose last stages run on the matching row: percolation and execution agree."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.execute import execute, execute_tail
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.execution.verdict import decide
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.reference import check
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.running import NOW, event_of, stage

ENGLISH = stage("attribute_filter", {"conditions": {"lang": "en"}})
COMPARED = stage("attribute_filter", {"field": "price", "operator": "gt", "value": "{{DOC.limit}}"})


def rows_of(retriever: Any, alert: Any, event: DocumentEvent) -> list[Row] | None:
    """What a standing alert makes of a document; ``None`` when it does not match."""
    plan = compile_plan(retriever, alert)
    if check(plan, event) is None:
        return None
    row = row_of(event)
    if not plan.tail:
        return [row]
    run = execute_tail(plan.tail, row, MemoryCorpus(), plan.inputs, now=NOW, clock=lambda: 0.0)
    return asyncio.run(run)


def event(**fields: Any) -> DocumentEvent:
    return event_of(Row("d", "news", fields))


def test_a_template_of_the_document_runs_on_the_row() -> None:
    retriever = {"stages": [ENGLISH, COMPARED]}
    plan = compile_plan(retriever, {})
    assert [one.name for one in plan.tail] == ["attribute_filter_2"]
    assert rows_of(retriever, {}, event(lang="en", price=3, limit=2)) != []
    assert rows_of(retriever, {}, event(lang="en", price=3, limit=3)) == []
    assert rows_of(retriever, {}, event(lang="de", price=3, limit=2)) is None


def test_what_follows_a_changed_row_runs_on_it() -> None:
    retriever = {
        "stages": [
            ENGLISH,
            stage("unwind", {"field": "tags"}),
            stage("attribute_filter", {"field": "tags", "operator": "eq", "value": "{{INPUT.want}}"}),
        ]
    }
    alert = {"inputs": {"want": "b"}}
    assert compile_plan(retriever, alert).inputs == {"want": "b"}
    found = rows_of(retriever, alert, event(lang="en", tags=["a", "b", "b"]))
    assert found is not None
    assert len(found) == 2
    assert rows_of(retriever, alert, event(lang="en", tags=["a"])) == []


def test_the_time_is_read_when_the_document_comes() -> None:
    fresh = stage("attribute_filter", {"field": "at", "operator": "gt", "value": "{{time_ago(hours=1)}}"})
    retriever = {"stages": [ENGLISH, fresh]}
    assert rows_of(retriever, {}, event(lang="en", at="2026-03-02T12:00:00Z"))
    assert rows_of(retriever, {}, event(lang="en", at="2026-03-02T11:00:00Z")) == []


def test_a_threshold_is_decided_on_the_rows_of_the_tail() -> None:
    retriever = {"stages": [ENGLISH, stage("json_transform", {"template": '{"double": {{ DOC.n * 2 }}}'})]}
    alert = {"threshold": {"field": "double", "operator": "gte", "value": 10}}
    assert decide(alert, rows_of(retriever, alert, event(lang="en", n=5)) or []) is not None
    assert decide(alert, rows_of(retriever, alert, event(lang="en", n=4)) or []) is None


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([COMPARED], "every document"),
        ([stage("unwind", {"field": "tags"})], "every document"),
        ([ENGLISH, COMPARED, stage("mmr")], "other documents"),
        (
            [ENGLISH, COMPARED, stage("feature_search", {"searches": [{"feature_uri": "x", "query": [1]}]})],
            "follow",
        ),
        ([{**ENGLISH, "output_alias": "e"}, stage("limit", {"limit": "{{CONTEXT.e | length}}"})], "CONTEXT.e"),
        ([ENGLISH, stage("limit", {"limit": "{{STAGE.attribute_filter.output_count}}"})], "STAGE"),
        ([ENGLISH, stage("limit", {"limit": "{{INPUT.none}}"})], "input 'none'"),
        ([ENGLISH, stage("limit", {"limit": "{{ 1 // INPUT.zero }}"})], "division"),
        ([stage("attribute_filter", {"conditions": {"a": {"gt": "{{INPUT.list}}"}}})], "conditions.a"),
    ],
)
def test_refusals(stages: Any, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        compile_plan({"stages": stages}, {"inputs": {"zero": 0, "list": [1]}})
    assert says in str(caught.value)


def test_inputs_are_typed() -> None:
    retriever = {"stages": [ENGLISH], "input_schema": {"n": {"type": "integer", "required": True}}}
    for inputs in ({}, {"n": "x"}):
        with pytest.raises(PlanError, match="input n"):
            compile_plan(retriever, {"inputs": inputs})


LAST = st.sampled_from(
    [
        COMPARED,
        stage("unwind", {"field": "tags"}),
        stage("json_transform", {"template": '{"t": {{ DOC.tags | tojson }}, "price": {{ DOC.price | tojson }}}'}),
        stage("limit", {"limit": 1}, post_filters={"price": {"gt": "{{DOC.limit}}"}}),
        stage("attribute_filter", {"field": "price", "operator": "exists", "value": True}),
        stage("sort_attribute", {"field": "tags"}),
    ]
)
VALUES = st.sampled_from([0, 1, 2.5, "1", None, True])


@given(
    st.lists(LAST, max_size=3),
    st.fixed_dictionaries(
        {"lang": st.sampled_from(["en", "de"])},
        optional={"price": VALUES, "limit": VALUES, "tags": st.lists(st.sampled_from(["a", "b"]), max_size=3)},
    ),
)
def test_percolation_is_execution_over_the_one_document(last: list[Any], fields: dict[str, Any]) -> None:
    retriever = {"stages": [ENGLISH, *last]}
    arrived = event(**fields)
    corpus = MemoryCorpus()
    corpus.apply(arrived)
    plain = asyncio.run(execute(retriever, {}, corpus, now=NOW, clock=lambda: 0.0))
    assert plain.error is None
    found = rows_of(retriever, {}, arrived)
    assert [row.root() for row in found or []] == [row.root() for row in plain.rows]
