"""One suite for every stage of the registry: its parameters are the contract's (section 6), and it behaves."""

import asyncio
from copy import deepcopy
from typing import Any, Final

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from schemas.api.stages import CATEGORIES
from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.execute import execute_tail
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.reference import check
from streams.engines.retrieval.stages.registry import STAGES
from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.validation import accepted, read
from tests.engines.retrieval.stages.rows import any_rows, row
from tests.engines.retrieval.stages.running import NOW, Defined, applied, corpus_of, event_of, executed, stage

SEARCH: Final = {"feature_uri": "words", "query": {"input_mode": "vector", "value": [0.6, 0.8]}}
COUNT: Final = {"function": "count", "alias": "total"}

LEAST: Final[dict[str, dict[str, Any]]] = {
    "feature_search": {"searches": [SEARCH]},
    "attribute_filter": {"field": "a", "operator": "exists", "value": True},
    "deduplicate": {"fields": ["a"]},
    "aggregate": {"aggregations": [COUNT]},
    "score_threshold": {"threshold": 0.5},
    "unwind": {"field": "tags"},
    "json_transform": {"template": '{"a": {{ DOC.a | tojson }}}'},
    "document_enrich": {"target_collection_id": "people"},
    "taxonomy_enrich": {"taxonomy_id": "t"},
}
"""What a stage cannot do without."""

DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "feature_search": {
        "final_top_k": 25,
        "fusion": "rrf",
        "group_by": None,
        "facets": None,
        "collection_identifiers": None,
        "hard_timeout_ms": None,
        "interactive": False,
        "auto_preprocess": True,
        "query_preprocessing": None,
        "cache_behavior": "auto",
        "cache_ttl_seconds": None,
    },
    "attribute_filter": {"batch_size": 100, "case_insensitive": False},
    "sort_relevance": {"score_field": "score", "direction": "desc", "missing_score": "bottom"},
    "sort_attribute": {"field": "metadata.created_at", "direction": "desc", "nulls_last": True},
    "limit": {"limit": 10, "offset": 0},
    "sample": {
        "count": 10,
        "strategy": "random",
        "stratify_by": None,
        "min_per_stratum": 1,
        "seed": None,
        "preserve_top_k": 0,
    },
    "deduplicate": {
        "strategy": "field",
        "content_field": "content",
        "similarity_threshold": 0.95,
        "keep": "first",
        "case_sensitive": True,
    },
    "group_by": {"group_by_field": "source_object_id", "max_per_group": 10, "output_mode": "all"},
    "aggregate": {
        "group_by": None,
        "sort_by": None,
        "sort_order": "desc",
        "limit": None,
        "include_documents": False,
    },
    "mmr": {
        "lambda": 0.7,
        "top_k": 25,
        "diversity_feature_uri": None,
        "diversity_features": None,
        "diversity_fields": None,
        "diversity_field_weights": None,
        "score_field": "score",
        "mmr_score_field": "scores.mmr",
        "similarity_metric": "cosine",
    },
    "score_normalize": {
        "method": "min_max",
        "score_field": "score",
        "output_field": None,
        "min_value": None,
        "max_value": None,
    },
    "score_threshold": {"score_field": "score"},
    "cluster": {
        "algorithm": "hdbscan",
        "n_clusters": None,
        "min_cluster_size": 5,
        "feature_uri": None,
        "output_mode": "clusters",
        "include_centroids": True,
        "max_members_per_cluster": 50,
    },
    "unwind": {"preserve_null_and_empty": False, "include_array_index": None, "output_field": None},
    "json_transform": {"fail_on_error": False},
    "document_enrich": {
        "source_field": "source_object_id",
        "target_field": "document_id",
        "fields_to_merge": None,
        "output_field": None,
        "strategy": "enrich",
        "when": None,
        "allow_missing": True,
        "retriever_id": None,
        "retriever_config": None,
        "retriever_inputs": None,
    },
    "taxonomy_enrich": {"fields": None, "top_k": 3, "min_score": 0.0, "when": None},
}
"""Defaults of the contract's table."""

BOUNDS: Final = [
    ("feature_search", "final_top_k", 1, 5_000),
    ("attribute_filter", "batch_size", 1, 1_000),
    ("limit", "limit", 1, 10_000),
    ("limit", "offset", 0, 10_000),
    ("sample", "count", 1, 1_000),
    ("sample", "min_per_stratum", 0, None),
    ("sample", "preserve_top_k", 0, None),
    ("deduplicate", "similarity_threshold", 0, 1),
    ("group_by", "max_per_group", 1, 1_000),
    ("aggregate", "limit", 1, 1_000),
    ("mmr", "lambda", 0, 1),
    ("mmr", "top_k", 1, 500),
    ("cluster", "n_clusters", 2, 100),
    ("cluster", "min_cluster_size", 2, 100),
    ("cluster", "max_members_per_cluster", 1, 500),
    ("taxonomy_enrich", "top_k", 1, 50),
    ("taxonomy_enrich", "min_score", 0, 1),
]
WORDS: Final = [
    ("feature_search", "fusion", ["rrf", "dbsf", "weighted", "max", "learned"]),
    ("sort_relevance", "direction", ["asc", "desc"]),
    ("sort_relevance", "missing_score", ["bottom", "top", "preserve"]),
    ("sort_attribute", "direction", ["asc", "desc"]),
    ("sample", "strategy", ["random", "reservoir", "systematic"]),
    ("deduplicate", "strategy", ["field", "content"]),
    ("deduplicate", "keep", ["first", "last"]),
    ("group_by", "output_mode", ["first", "all", "flatten"]),
    ("aggregate", "sort_order", ["asc", "desc"]),
    ("mmr", "similarity_metric", ["cosine", "dot", "euclidean"]),
    ("score_normalize", "method", ["min_max", "z_score", "softmax", "l2"]),
    (
        "cluster",
        "algorithm",
        ["hdbscan", "kmeans", "dbscan", "agglomerative", "spectral", "gaussian_mixture"],
    ),
    ("cluster", "output_mode", ["clusters", "labeled", "representatives"]),
    ("document_enrich", "strategy", ["enrich", "replace", "append"]),
]
ALIASES: Final = [
    ("feature_search", "limit", "final_top_k", 7),
    ("sort_relevance", "order", "direction", "asc"),
    ("sort_attribute", "sort_field", "field", "title"),
    ("sort_attribute", "order", "direction", "asc"),
    ("sample", "method", "strategy", "reservoir"),
    ("sample", "size", "count", 7),
    ("sample", "group_field", "stratify_by", "c"),
    ("sample", "samples_per_group", "min_per_stratum", 2),
    ("group_by", "field", "group_by_field", "c"),
    ("group_by", "docs_per_group", "max_per_group", 3),
    ("mmr", "top_n", "top_k", 7),
    ("mmr", "embedding_field", "diversity_feature_uri", "words"),
    ("cluster", "num_clusters", "n_clusters", 3),
    ("cluster", "embedding_field", "feature_uri", "words"),
    ("document_enrich", "collection_id", "target_collection_id", "people"),
    ("document_enrich", "lookup_field", "target_field", "name"),
    ("document_enrich", "result_field", "output_field", "who"),
    ("document_enrich", "select_fields", "fields_to_merge", ["name"]),
    ("taxonomy_enrich", "min_confidence", "min_score", 0.5),
]

TAXONOMY: Final = {
    "config": {
        "taxonomy_type": "flat",
        "retriever_id": "r",
        "input_mappings": [{"input_key": "a", "source_type": "payload", "path": "a"}],
        "source_collection": {"collection_id": "people", "enrichment_fields": [{"field_path": "name"}]},
    }
}
DEFINITIONS: Final = Defined(
    {"r": {"stages": [stage("attribute_filter", {"field": "name", "operator": "exists", "value": True})]}},
    {"t": TAXONOMY},
)
PEOPLE: Final = [
    Row(f"p{at}", "people", {"name": name, "tags": ["x"], "metadata": {"a": at}})
    for at, name in enumerate(["flu", 0.5, True, "", "10", "東京", *range(-5, 6)])
]
CASES: Final[list[tuple[str, dict[str, Any]]]] = [
    ("feature_search", {}),
    ("attribute_filter", {}),
    ("sort_relevance", {}),
    ("sort_relevance", {"score_field": "a", "missing_score": "preserve", "normalize": True}),
    ("sort_attribute", {"field": "a", "nulls_last": False, "direction": "asc"}),
    ("limit", {"limit": 2, "offset": 1}),
    ("sample", {"count": 3, "preserve_top_k": 1}),
    ("sample", {"count": 4, "strategy": "stratified", "stratify_by": "a", "seed": 1}),
    ("sample", {"count": 3, "strategy": "systematic"}),
    ("sample", {"count": 3, "strategy": "reservoir"}),
    ("deduplicate", {"fields": ["a", "metadata.a"], "case_sensitive": False}),
    ("deduplicate", {"strategy": "content", "content_field": "a", "keep": "last", "similarity_threshold": 0.5}),
    ("group_by", {"group_by_field": "a"}),
    ("group_by", {"field": "tags", "output_mode": "flatten", "sort_docs_by": "a", "sort_groups_by": "key"}),
    ("group_by", {"group_by_field": "content", "output_mode": "first", "sort_groups_by": "score"}),
    (
        "aggregate",
        {
            "aggregations": [
                {"function": name, "field": "a", "field_b": "metadata.a", "alias": name}
                for name in (
                    *("count", "count_distinct", "sum", "avg", "min", "max", "first", "last", "collect"),
                    *("collect_distinct", "percentile", "stddev", "variance", "frequency", "co_occurrence"),
                    *("correlation", "cardinality", "histogram"),
                )
            ],
            "group_by": "tags",
            "sort_by": "max",
            "include_documents": True,
        },
    ),
    ("mmr", {"diversity_feature_uri": "words", "score_field": "a"}),
    ("mmr", {"diversity_feature_uri": "words", "similarity_metric": "euclidean", "lambda": 0, "top_k": 3}),
    ("mmr", {"diversity_fields": ["a", "tags"], "diversity_field_weights": {"a": 2}}),
    ("score_normalize", {"score_field": "a", "output_field": "scores.a"}),
    ("score_normalize", {"method": "z_score"}),
    ("score_normalize", {"method": "softmax", "score_field": "metadata.a"}),
    ("score_normalize", {"method": "l2", "score_field": "a", "output_field": "metadata.a.b"}),
    ("score_threshold", {}),
    ("score_threshold", {"score_field": "a", "threshold": -1}),
    ("cluster", {"algorithm": "kmeans", "feature_uri": "words", "output_mode": "labeled"}),
    ("cluster", {"algorithm": "agglomerative", "feature_uri": "words"}),
    ("cluster", {"feature_uri": "words", "output_mode": "representatives"}),
    ("unwind", {"field": "a", "include_array_index": "tags.at"}),
    ("unwind", {"field": "metadata.a", "output_field": "content", "preserve_null_and_empty": True}),
    ("json_transform", {}),
    ("json_transform", {"template": "{{ DOC.metadata }}"}),
    ("document_enrich", {"source_field": "a", "target_field": "name"}),
    ("document_enrich", {"source_field": "a", "target_field": "name", "strategy": "append"}),
    ("document_enrich", {"source_field": "a", "target_field": "name", "allow_missing": False}),
    ("document_enrich", {"retriever_id": "r", "output_field": "metadata.who", "when": {"a": {"exists": True}}}),
    ("taxonomy_enrich", {}),
    ("taxonomy_enrich", {"top_k": 1, "result_field": "tags.0", "when": {"field": "a", "operator": "exists"}}),
]
"""Parameters that are tried on random documents."""
NAMES: Final = [f"{name}-{at}" for at, (name, _) in enumerate(CASES)]

ORDERED: Final = frozenset(("attribute_filter", "limit", "sample", "deduplicate", "score_threshold"))
"""Give some of the rows as they were, in their order."""
PERMUTED: Final = frozenset(("sort_attribute",))
"""Give the rows as they were, in another order."""
EVERY_ID: Final = frozenset(("sort_relevance", "sort_attribute", "score_normalize"))
"""Keep every row."""
REPEATED: Final = frozenset(("unwind", "taxonomy_enrich"))
"""May give several rows of one document; every other stage gives a document once."""
MADE: Final = frozenset(("aggregate",))
"""Give rows that are no documents."""
EXAMPLES: Final = {"cluster": 10, "json_transform": 20, "document_enrich": 20}
"""How many random sets of documents the slow stages are tried on; the others on 40."""


def parameters(stage_id: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    return {**LEAST.get(stage_id, {}), **(more or {})}


def test_every_stage_of_the_contract_is_here() -> None:
    assert {name: one.category for name, one in STAGES.items()} == CATEGORIES
    assert {name for name, _ in CASES} == set(DEFAULTS) == set(STAGES)
    assert all(name == one.stage_id for name, one in STAGES.items())


@pytest.mark.parametrize("stage_id", sorted(STAGES))
def test_parameters_have_the_contracts_defaults_and_round_trip(stage_id: str) -> None:
    model = STAGES[stage_id].parameters
    found = read(model, parameters(stage_id))
    written = found.model_dump(mode="json", by_alias=True)
    for name, default in DEFAULTS[stage_id].items():
        assert written[name] == default, name
    assert read(model, written) == found
    nulls = dict.fromkeys(DEFAULTS[stage_id])
    assert read(model, {**nulls, **parameters(stage_id)}) == found
    schema = orjson.loads(orjson.dumps(model.model_json_schema()))
    assert schema["type"] == "object"
    assert set(accepted(model)) == set(schema["properties"])
    assert set(DEFAULTS[stage_id]) <= set(schema["properties"])
    with pytest.raises(ValueError, match="frozen"):
        setattr(found, next(iter(type(found).model_fields)), 1)


@pytest.mark.parametrize("stage_id", sorted(STAGES))
def test_unknown_parameters_are_refused_with_those_there_are(stage_id: str) -> None:
    with pytest.raises(PlanError, match=f"stage {stage_id}: unknown parameter nonsense; accepted are ") as caught:
        applied(stage_id, parameters(stage_id, {"nonsense": 1}), [])
    assert all(name in str(caught.value) for name in DEFAULTS[stage_id])


@pytest.mark.parametrize(("stage_id", "name", "low", "high"), BOUNDS)
def test_bounds(stage_id: str, name: str, low: int, high: int | None) -> None:
    model = STAGES[stage_id].parameters
    for inside in (low, *([] if high is None else [high])):
        assert read(model, parameters(stage_id, {name: inside})).model_dump(by_alias=True)[name] == inside
    for outside in (low - 1, str(low), True, *([] if high is None else [high + 1])):
        with pytest.raises(PlanError, match=f"stage {stage_id}: {name}: "):
            applied(stage_id, parameters(stage_id, {name: outside}), [])


@pytest.mark.parametrize(("stage_id", "name", "words"), WORDS)
def test_words(stage_id: str, name: str, words: list[str]) -> None:
    for word in words:
        assert getattr(read(STAGES[stage_id].parameters, parameters(stage_id, {name: word})), name) == word
    with pytest.raises(PlanError, match=f"stage {stage_id}: {name}: "):
        applied(stage_id, parameters(stage_id, {name: "other"}), [])


@pytest.mark.parametrize(("stage_id", "alias", "name", "given_value"), ALIASES)
def test_names_of_the_guides(stage_id: str, alias: str, name: str, given_value: Any) -> None:
    model = STAGES[stage_id].parameters
    least = {key: item for key, item in parameters(stage_id).items() if key != name}
    assert getattr(read(model, {**least, alias: given_value}), name) == given_value
    same = read(model, {**least, alias: given_value, name: given_value})
    assert getattr(same, name) == given_value
    other = "other" if isinstance(given_value, str) else [] if isinstance(given_value, list) else given_value / 2
    with pytest.raises(ValueError, match=f"{name}: .*mean the same: give one of them"):
        read(model, {**least, alias: given_value, name: other})


@pytest.mark.parametrize(("stage_id", "more"), CASES, ids=NAMES)
def test_of_nothing_comes_nothing(stage_id: str, more: dict[str, Any]) -> None:
    assert applied(stage_id, parameters(stage_id, more), [], stored=PEOPLE, definitions=DEFINITIONS) == []


@pytest.mark.parametrize(("stage_id", "more"), CASES, ids=NAMES)
def test_any_documents(stage_id: str, more: dict[str, Any]) -> None:
    @given(rows=any_rows())
    @settings(max_examples=EXAMPLES.get(stage_id, 40), suppress_health_check=[HealthCheck.too_slow])
    def tried(rows: list[Row]) -> None:
        behaves(stage_id, more, rows)

    tried()


def behaves(stage_id: str, more: dict[str, Any], rows: list[Row]) -> None:
    """As every stage must, whatever the rows."""
    given_rows, before = list(rows), deepcopy(rows)
    try:
        found = outcome(stage_id, more, rows)
    except StageError:
        return
    assert all(left is right for left, right in zip(rows, given_rows, strict=True))
    assert same(rows, before), "a stage changed what it was given"
    assert same(outcome(stage_id, more, rows), found), "the same rows gave something else"
    ids = [one.document_id for one in found]
    if stage_id not in REPEATED:
        assert len(ids) == len(set(ids))
    if stage_id in ORDERED:
        chosen = set(ids)
        assert same(found, [one for one in before if one.document_id in chosen])
    if stage_id in PERMUTED:
        assert same(sorted(found, key=by_id), sorted(before, key=by_id))
    if stage_id in EVERY_ID:
        assert sorted(ids) == sorted(one.document_id for one in before)
    if stage_id not in MADE:
        assert set(ids) <= {one.document_id for one in before}
    for one in found:
        assert one.score is None or np.isfinite(one.score)
        root = one.root()
        assert root["document_id"] == one.document_id or stage_id in MADE
        writable(root)


def outcome(stage_id: str, more: dict[str, Any], rows: list[Row]) -> list[Row]:
    stored = [*PEOPLE, *rows]
    return applied(stage_id, parameters(stage_id, more), rows, stored=stored, definitions=DEFINITIONS)


def by_id(one: Row) -> str:
    return one.document_id


def same(left: list[Row], right: list[Row]) -> bool:
    """Equal, types of values included."""
    return [(repr(one.root()), list(one.features)) for one in left] == [
        (repr(one.root()), list(one.features)) for one in right
    ]


def writable(value: Any) -> None:
    """Of JSON's types, finite numbers only."""
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        for item in value.values():
            writable(item)
    elif isinstance(value, list):
        for item in value:
            writable(item)
    else:
        assert value is None or type(value) in (str, bool, int, float)
        assert type(value) is not float or np.isfinite(value)


PERCOLATING: Final[list[tuple[str, dict[str, Any]]]] = [
    (name, more)
    for name, more in CASES
    if not isinstance(STAGES[name].percolate, str) and not more.get("offset") and "normalize" not in more
]


@pytest.mark.parametrize(
    ("stage_id", "more"), PERCOLATING, ids=[f"{name}-{at}" for at, (name, _) in enumerate(PERCOLATING)]
)
@given(rows=any_rows(least=1, most=1))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_one_document_percolates_as_it_is_executed(stage_id: str, more: dict[str, Any], rows: list[Row]) -> None:
    (document,) = rows
    wanted = {**SEARCH, "min_score": 0.3}
    first = stage("feature_search", {"searches": [wanted]})
    if stage_id == "feature_search":
        stages = [first]
    else:
        stages = [{**first, "stage_name": "first"}, stage(stage_id, parameters(stage_id, more))]
    plan = compile_plan({"stages": stages}, {})
    event = event_of(document)
    verdict = check(plan, event)
    percolated: list[Row] = []
    problem: str | None = None
    if verdict is not None:
        matched = row_of(event)
        matched.score = verdict.score
        tail = execute_tail(
            plan.tail,
            matched,
            corpus_of([*PEOPLE, document]),
            plan.inputs,
            now=NOW,
            clock=lambda: 0.0,
            definitions=DEFINITIONS,
        )
        try:
            percolated = asyncio.run(tail)
        except StageError as error:
            problem = str(error)
    scope = [document.collection_id]
    whole = executed(stages, [*PEOPLE, document], definitions=DEFINITIONS, collections=scope)
    assert whole.error == problem
    assert same(whole.rows, percolated)


@pytest.mark.parametrize("stage_id", sorted(STAGES))
def test_what_one_document_cannot_decide_is_refused_in_words(stage_id: str) -> None:
    reason = STAGES[stage_id].percolate
    stages = [stage("attribute_filter", {"field": "a", "value": 1}), stage(stage_id, parameters(stage_id))]
    stages[0] = {**stages[0], "stage_name": "first"}
    if isinstance(reason, str):
        with pytest.raises(PlanError, match=f"stage {stage_id}: {stage_id} {reason}; it cannot run for an alert"):
            compile_plan({"stages": stages}, {})
    elif stage_id != "score_threshold":
        compile_plan({"stages": stages}, {})


@pytest.mark.parametrize(
    ("stage_id", "more", "message"),
    [
        ("limit", {"offset": 1}, "stage limit: an offset skips the only document there is"),
        ("score_threshold", {}, "stage score_threshold: no feature_search before it gives a score"),
        ("sort_relevance", {"normalize": True}, "stage sort_relevance: normalize depends on other documents"),
    ],
)
def test_what_makes_no_sense_for_one_document_is_refused(
    stage_id: str, more: dict[str, Any], message: str
) -> None:
    first = {**stage("attribute_filter", {"field": "a", "value": 1}), "stage_name": "first"}
    with pytest.raises(PlanError, match=message):
        compile_plan({"stages": [first, stage(stage_id, parameters(stage_id, more))]}, {})


def test_after_unwind_a_limit_and_a_threshold_see_the_rows_it_made() -> None:
    first = {**stage("attribute_filter", {"field": "a", "operator": "exists"}), "stage_name": "first"}
    stages = [
        first,
        stage("unwind", {"field": "a"}),
        stage("sort_attribute", {"field": "a"}),
        stage("limit", {"limit": 1, "offset": 1}),
    ]
    plan = compile_plan({"stages": stages}, {})
    assert [one.name for one in plan.tail] == ["unwind", "sort_attribute", "limit"]
    document = row("d", a=[1, 3, 2])
    tail = execute_tail(
        plan.tail, row_of(event_of(document)), corpus_of([document]), plan.inputs, now=NOW, clock=lambda: 0.0
    )
    assert [one.fields["a"] for one in asyncio.run(tail)] == [2]
