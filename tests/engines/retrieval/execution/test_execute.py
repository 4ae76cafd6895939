"""Stages in order: filters around them, errors, budgets, statistics, names, nesting (contract 4.5 and 4.6)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from streams.engines.retrieval.errors import InputError, PlanError
from streams.engines.retrieval.execution.execute import Execution, execute, execute_tail
from streams.engines.retrieval.execution.prepare import prepare, prepare_stage
from streams.engines.retrieval.execution.rows import shown
from streams.engines.retrieval.stages.stage import Row
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import NOW, Defined, corpus_of, executed, stage

STORED = [
    row("a", lang="en", price=3, tags=["x", "y"]),
    row("b", lang="de", price=2, tags=[]),
    row("c", lang="en", price=1, tags=["z"]),
]
ENGLISH = stage("attribute_filter", {"conditions": {"lang": "en"}})


def named(stage_: Mapping[str, Any], name: str, **more: Any) -> dict[str, Any]:
    return {**stage_, "stage_name": name, **more}


def ids(execution: Execution) -> list[str]:
    return [one.document_id for one in execution.rows]


def ran(retriever: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, **more: Any) -> Execution:
    ticks = iter(range(1_000_000))
    options: dict[str, Any] = {"now": NOW, "clock": lambda: next(ticks) / 1_000, "definitions": Defined(), **more}
    return asyncio.run(execute(retriever, inputs or {}, corpus_of(STORED), **options))


def test_stages_run_in_order_and_say_what_they_did() -> None:
    execution = ran({"stages": [ENGLISH, stage("sort_attribute", {"field": "price", "direction": "asc"})]})
    assert ids(execution) == ["c", "a"]
    assert execution.status == "completed"
    assert (execution.stages_completed, execution.total_stages) == (2, 2)
    statistics = execution.statistics()
    first, second = statistics["stages"]["attribute_filter"], statistics["stages"]["sort_attribute"]
    assert (first["input_count"], first["output_count"]) == (3, 2)
    assert first["efficiency"] == pytest.approx(2 / 3)
    assert first["duration_ms"] > 0
    assert (second["input_count"], second["output_count"], second["efficiency"]) == (2, 2, 1.0)
    assert statistics["credits_used"] == execution.budget["credits_used"] > 0
    assert execution.budget["credits_remaining"] is None


def test_filters_around_a_stage() -> None:
    around = stage("attribute_filter", {"conditions": {"lang": "en"}}, pre_filters={"price": {"lt": 3}})
    assert ids(ran({"stages": [around]})) == ["c"]
    later = stage("limit", {"limit": 1}, pre_filters={"price": 1}, post_filters={"lang": "en"})
    assert ids(ran({"stages": [ENGLISH, later]})) == ["c"]
    by_row = stage("limit", {}, post_filters={"field": "tags", "operator": "contains", "value": "{{DOC.want}}"})
    with_want = [row("a", tags=["x"], want="x"), row("b", tags=["x"], want="y")]
    assert ids(executed([by_row], with_want)) == ["a"]


def test_the_requests_filters_and_collections() -> None:
    assert ids(ran({"stages": [ENGLISH]}, {"p": 1}, filters={"price": "{{INPUT.p}}"})) == ["c"]
    assert ids(ran({"stages": [ENGLISH]}, collections=["other"])) == []
    assert ids(ran({"stages": [ENGLISH], "collection_identifiers": ["other"]})) == []
    assert ids(ran({"stages": [ENGLISH], "collection_identifiers": ["other"]}, collections=["news"])) == ["a", "c"]
    with pytest.raises(PlanError, match="filters"):
        ran({"stages": [ENGLISH]}, filters={"AND": [None]})


def test_a_first_stage_that_finds_nothing_itself_gets_the_collection() -> None:
    assert ids(ran({"stages": [stage("limit", {"limit": 2}, pre_filters={"lang": "en"})]})) == ["a", "c"]


def test_an_error_stops_the_execution_or_is_skipped() -> None:
    broken = stage("document_enrich", {"target_collection_id": "nowhere"})
    failed = ran({"stages": [ENGLISH, broken, stage("limit")]})
    assert failed.status == "failed"
    assert "nowhere" in str(failed.error)
    assert failed.rows == []
    assert set(failed.stages) == {"attribute_filter", "document_enrich"}
    assert (failed.stages_completed, failed.total_stages) == (1, 3)
    skipped = ran({"stages": [ENGLISH, {**broken, "on_error": "skip"}, stage("limit", {"limit": 1})]})
    assert skipped.status == "completed"
    assert ids(skipped) == ["a"]
    assert "nowhere" in str(skipped.statistics()["stages"]["document_enrich"]["error"])
    assert skipped.stages["document_enrich"].output_count == 2


def test_a_budget_ends_it_with_what_there_is() -> None:
    stages = [ENGLISH, named(ENGLISH, "again"), named(ENGLISH, "more")]
    limit = ran({"stages": stages}).budget["time_used_ms"] // 2
    timed = ran({"stages": stages, "budget_limits": {"max_time_ms": limit}})
    assert timed.status == "failed"
    assert str(timed.error).startswith("Budget exceeded: ")
    assert f"of {limit:g} ms" in str(timed.error)
    assert timed.stages_completed < 3
    assert timed.budget["time_limit_ms"] == limit
    charged = ran({"stages": stages, "budget_limits": {"max_credits": 0.006}})
    assert charged.status == "failed"
    assert "credits" in str(charged.error)
    assert ids(charged) == ["a", "c"]
    assert charged.budget["credits_remaining"] == 0
    assert ran({"stages": stages, "budget_limits": {"max_credits": 1}}).status == "completed"
    skipping = [{**one, "on_error": "skip"} for one in stages]
    assert ran({"stages": skipping, "budget_limits": {"max_credits": 0}}).status == "failed"


def test_results_of_stages_have_names() -> None:
    stages = [
        named(stage("limit", {"limit": 1}), "top", output_alias="best"),
        named(
            stage("attribute_filter", {"field": "lang", "operator": "eq", "value": "{{CONTEXT.best[0].lang}}"}),
            "f",
        ),
        named(stage("limit", {"limit": "{{STAGE.top.output_count + 4}}"}), "last"),
    ]
    execution = ran({"stages": stages})
    assert ids(execution) == ["a"]
    assert execution.error is None


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"limit": "{{CONTEXT.later[0].n}}"}, "CONTEXT.later is not an output_alias of a stage before"),
        ({"limit": "{{STAGE.second.output_count}}"}, "STAGE.second is not the name of a stage before"),
        ({"limit": "{{DOC.n}}"}, "DOC is known row by row"),
        ({"limit": "{{SECRET.key}}"}, "no secret is available"),
        ({"limit": "{{INPUT.n"}, "cannot be read"),
        ({"limit": 0}, "limit: "),
        ({"limit": "x"}, "limit: "),
        ({"limit": True}, "limit: "),
        ({"limt": 3}, "unknown parameter limt; accepted are limit, offset"),
        ({"{{INPUT.x}}": 3}, "cannot be the name of a key"),
    ],
)
def test_bad_definitions_are_refused_by_place(second: Mapping[str, Any], says: str) -> None:
    body = {"stages": [ENGLISH, named(stage("limit", second), "second", output_alias="later")]}
    with pytest.raises(PlanError) as caught:
        prepare(body)
    assert str(caught.value).startswith("stage second: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"config": {"stage_id": "rerank"}}, "rerank needs a hosted model"),
        ({"config": {"stage_id": "web_scrape"}}, "the web"),
        ({"config": {"stage_id": "nope"}}, "unknown stage_id 'nope'"),
        ({"config": {"stage_id": ["a"]}}, "unknown stage_id"),
        ({"config": {}}, "unknown stage_id None"),
        ({"config": {"stage_id": "limit", "parameters": [1]}}, "an object"),
        ({"config": {"stage_id": "limit", "pre_filters": {"AND": [None]}}}, "pre_filters.AND[0]"),
        ({"config": {"stage_id": "limit", "post_filters": {"a": {"is": "{{INPUT.x}}"}}}}, "post_filters.a"),
        ({"config": {"stage_id": "limit"}, "on_error": "panic"}, "on_error"),
        ({"config": {"stage_id": "attribute_filter", "parameters": {"natural_language": "x"}}}, "hosted model"),
        ({"config": {"stage_id": "document_enrich", "parameters": {"when": {"AND": [1]}}}}, "when.AND[0]"),
        (
            {
                "config": {
                    "stage_id": "attribute_filter",
                    "parameters": {"conditions": {"a": "{{DOC.x}}", "b": {"": 1}}},
                }
            },
            "conditions.b",
        ),
    ],
)
def test_bad_stages_are_refused(raw: Mapping[str, Any], says: str) -> None:
    with pytest.raises(PlanError) as caught:
        prepare_stage({"stage_name": "s", **raw})
    assert str(caught.value).startswith("stage s: ")
    assert says in str(caught.value)


def test_both_ways_to_write_stages_and_names_of_their_own() -> None:
    flat = {"stage_type": "reduce", "stage_id": "limit", "parameters": {"limit": 2}}
    prepared = prepare({"stages": [flat, flat, stage("limit")]})
    assert [one.name for one in prepared.stages] == ["limit", "limit_2", "limit_3"]
    with pytest.raises(PlanError, match="at most 50"):
        prepare({"stages": [flat] * 51})
    with pytest.raises(PlanError, match="a stage is an object"):
        prepare({"stages": ["limit"]})


def test_inputs_are_typed_and_fill_parameters() -> None:
    body = {
        "stages": [stage("limit", {"limit": "{{INPUT.n}}"})],
        "input_schema": {"n": {"type": "integer", "required": True}},
    }
    assert ids(ran(body, {"n": 1})) == ["a"]
    with pytest.raises(InputError, match="input n: it is required"):
        ran(body)
    with pytest.raises(InputError, match="whole number"):
        ran(body, {"n": "1"})
    free = {**body, "input_schema": {"n": {"type": "integer"}}}
    assert len(ran(free).rows) == 3
    assert "limit: " in str(ran(free, {"n": 99_999}).error)


def test_a_template_failing_on_a_value_is_the_stages_error() -> None:
    body = {"stages": [stage("limit", {"limit": "{{ 10 // INPUT.n }}"})]}
    assert "by zero" in str(ran(body, {"n": 0}).error)
    assert "stage limit" in str(ran(body, {"n": "x"}).error)


def joined(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"stages": [stage("attribute_filter", {"conditions": {"lang": "de"}})]}
    for _ in range(depth):
        inner = {"stages": [ENGLISH, enriched(inner)]}
    return inner


def enriched(retriever: Mapping[str, Any]) -> dict[str, Any]:
    return stage("document_enrich", {"retriever_config": dict(retriever), "output_field": "other"})


def test_retrievers_inside_retrievers_end() -> None:
    assert ran(joined(3)).error is None
    assert "nested more than 3 deep" in str(ran(joined(4)).error)
    circle: dict[str, Any] = {
        "stages": [ENGLISH, stage("document_enrich", {"retriever_id": "r", "output_field": "other"})]
    }
    execution = ran(circle, definitions=Defined({"r": circle}))
    assert "in a circle" in str(execution.error)


def test_a_nested_retriever_spends_its_callers_budget() -> None:
    spent = ran(joined(1)).budget["credits_used"]
    execution = ran({**joined(1), "budget_limits": {"max_credits": spent - 0.001}})
    assert execution.status == "failed"
    assert str(execution.error).startswith("Budget exceeded")
    assert set(execution.stages) == {"attribute_filter", "document_enrich"}


def test_the_seed_decides_what_is_random() -> None:
    stored = [row(f"d{number}") for number in range(40)]
    body = {"stages": [stage("sample", {"count": 5})]}

    def sampled(seed: str) -> list[str]:
        run = execute(body, {}, corpus_of(stored), now=NOW, clock=lambda: 0.0, seed=seed)
        return ids(asyncio.run(run))

    assert sampled("one") == sampled("one")
    assert sampled("one") != sampled("two")


def test_a_tail_runs_on_one_row() -> None:
    tail = prepare(
        {
            "stages": [
                stage("unwind", {"field": "tags"}),
                stage("attribute_filter", {"field": "tags", "operator": "eq", "value": "{{INPUT.want}}"}),
            ]
        }
    ).stages

    def left(one: Row, inputs: Mapping[str, Any]) -> Sequence[Row]:
        run = execute_tail(tail, one, corpus_of([]), inputs, now=NOW, clock=lambda: 0.0)
        return asyncio.run(run)

    assert [one.fields["tags"] for one in left(STORED[0], {"want": "y"})] == ["y"]
    assert left(STORED[1], {"want": "y"}) == []


def test_rows_as_results_show_them() -> None:
    assert shown(row("a", 0.5, metadata={"m": 1}, x=2)) == {
        "document_id": "a",
        "collection_id": "news",
        "score": 0.5,
        "metadata": {"m": 1},
        "x": 2,
        "payload": {"metadata": {"m": 1}, "x": 2},
    }
    assert shown(row("a"))["score"] is None
    assert shown(row("a", payload={"x": 1}))["payload"] == {"x": 1}


def test_a_long_scan_is_cut_and_says_so() -> None:
    stored = [row(f"d{number:04}", lang="en") for number in range(1_003)]
    execution = executed([ENGLISH], stored)
    assert len(execution.rows) == 1_000
    assert execution.notes.total == 1_003
    assert execution.notes.limits == [
        {"name": "scan", "requested": 1_003, "applied": 1_000, "ceiling": 1_000, "stage": "attribute_filter"}
    ]
