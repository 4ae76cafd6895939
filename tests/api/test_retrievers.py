from typing import Any

import httpx
import pytest
from mixpeek.models.list_retrievers_response import ListRetrieversResponse
from mixpeek.models.retriever_config import RetrieverConfig
from mixpeek.models.retriever_model_output import RetrieverModelOutput

from tests.api import make
from tests.api.make import refused

URI = "mixpeek://hashing@v1/words"


def search_stage(**search: Any) -> dict[str, Any]:
    one = {"feature_uri": URI, "query": {"input_mode": "text", "value": "flu"}, "min_score": 0.3, **search}
    return {"stage_name": "search", "config": {"stage_id": "feature_search", "parameters": {"searches": [one]}}}


async def test_create_get_and_the_sdk_reads_it(api: httpx.AsyncClient) -> None:
    news = await make.collection(api)
    made = await make.retriever(
        api,
        collection_identifiers=["news"],
        stages=[make.filter_stage(make.EBOLA), search_stage(collection_identifiers=["news"])],
        input_schema={"properties": {"q": {"type": "string", "required": True}}},
        budget_limits={"max_time_ms": 100},
    )
    assert (await api.get(f"/v1/retrievers/{made['retriever_id']}")).json() == made
    for model in (RetrieverConfig, RetrieverModelOutput):
        assert model.from_dict(made) is not None
    assert made["collection_identifiers"] == made["collection_ids"] == [news["collection_id"]]
    assert [stage["stage_type"] for stage in made["stages"]] == ["filter", "filter"]
    assert all(stage["parameters"] == stage["config"]["parameters"] for stage in made["stages"])
    assert made["stages"][1]["parameters"]["searches"][0]["collection_identifiers"] == [news["collection_id"]]
    assert made["fusion"] == "rrf"
    assert made["feature_dependencies"] == [
        {"scheme": "mixpeek", "extractor": "hashing", "version": "v1", "output": "words"}
    ]
    assert made["input_schema"] == {"q": {"type": "string", "required": True}}
    assert made["version"] == 1


async def test_the_flat_form_of_the_guides_is_normalised(api: httpx.AsyncClient) -> None:
    flat = {"stage_type": "filter", "stage_id": "attribute_filter", "parameters": {"conditions": make.EBOLA}}
    made = await make.retriever(api, stages=[flat, flat])
    assert [stage["stage_name"] for stage in made["stages"]] == ["attribute_filter", "attribute_filter_2"]
    assert made["stages"][0]["config"] == {
        "stage_id": "attribute_filter",
        "parameters": {"conditions": make.EBOLA},
    }
    # What a response shows can be sent back: the mirror beside config is ignored.
    again = await make.retriever(api, "again", stages=made["stages"])
    assert again["stages"] == made["stages"]


@pytest.mark.parametrize(
    ("stage", "status", "kind"),
    [
        ({"stage_name": "s", "config": {"stage_id": "nope"}}, 422, "ValidationError"),
        ({"stage_name": "s", "config": {}}, 422, "ValidationError"),
        ({"stage_name": "s"}, 422, "ValidationError"),
        ({"config": {"stage_id": "limit"}}, 422, "ValidationError"),
        ({"stage_name": "s", "config": {"stage_id": "limit"}, "on_error": "panic"}, 422, "ValidationError"),
        ({"stage_name": "s", "config": {"stage_id": "rerank"}}, 422, "NotEnabledError"),
        (make.filter_stage({"AND": [None]}), 422, "ValidationError"),
        (make.filter_stage({"field": "a", "operator": "regex", "value": "("}), 422, "ValidationError"),
    ],
)
async def test_a_wrong_stage_is_refused(
    api: httpx.AsyncClient, stage: dict[str, Any], status: int, kind: str
) -> None:
    body = {"retriever_name": "r", "stages": [stage]}
    refused(await api.post("/v1/retrievers", json=body), status, kind)


def search_of(*searches: dict[str, Any], **config: Any) -> dict[str, Any]:
    parameters = {"searches": list(searches)}
    return {"stage_name": "search", "config": {"stage_id": "feature_search", "parameters": parameters, **config}}


def nested(depth: int, leaf: dict[str, Any]) -> dict[str, Any]:
    return leaf if depth == 0 else {"AND": [nested(depth - 1, leaf)]}


TEMPLATE = {"field": "a", "operator": "eq", "value": "{{INPUT.q}}"}
BROKEN: dict[str, dict[str, Any]] = {
    "unknown operator": make.filter_stage({"field": "a", "operator": "is", "value": 1}, "broken"),
    "its value a template": make.filter_stage({"field": "a", "operator": "is", "value": "{{INPUT.q}}"}, "broken"),
    "beside a template": make.filter_stage({"OR": [TEMPLATE, {"field": "", "value": 1}]}, "broken"),
    "shorthand": make.filter_stage({"a": {"gte": "{{INPUT.q}}", "is": "{{INPUT.q}}"}}, "broken"),
    "nothing": {"stage_name": "broken", "config": {"stage_id": "attribute_filter"}},
    "deep": make.filter_stage(nested(11, make.EBOLA), "broken"),
    "deep to a template": make.filter_stage(nested(11, TEMPLATE), "broken"),
    "no field": make.filter_stage({"field": "", "operator": "eq", "value": "x"}, "broken"),
    "simple form": {
        "stage_name": "broken",
        "config": {
            "stage_id": "attribute_filter",
            "parameters": {"field": "a", "operator": "regex", "value": "("},
        },
    },
    "in parameters": {
        "stage_name": "broken",
        "config": {"stage_id": "attribute_filter", "parameters": {"AND": [{"field": "a", "operator": "is"}]}},
    },
    "no searches": {**search_of(), "stage_name": "broken"},
    "no feature": {**search_of({"query": "flu"}), "stage_name": "broken"},
    "no query": {**search_of({"feature_uri": URI}), "stage_name": "broken"},
    "min_score": {**search_stage(min_score=2), "stage_name": "broken"},
    "zero vector": {**search_stage(feature_uri="own", query=[0, 0]), "stage_name": "broken"},
    "filters of a search": {**search_stage(filters={"a": {"is": 1}}), "stage_name": "broken"},
    "pre_filters": search_of(pre_filters={"field": "a", "operator": "is"}) | {"stage_name": "broken"},
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_stage_that_can_never_run_is_refused_by_name(api: httpx.AsyncClient, case: str) -> None:
    await make.retriever(api)
    stages = [make.filter_stage(make.EBOLA), BROKEN[case]]
    for answer in (
        await api.post("/v1/retrievers", json={"retriever_name": "r", "stages": stages}),
        await api.patch("/v1/retrievers/ebola", json={"stages": stages}),
    ):
        error = refused(answer, 422, "ValidationError")
        assert "stage broken" in answer.text
        assert make.places(error)[0][1][:3] == ["body", "stages", 1]


@pytest.mark.parametrize(
    "stage",
    [
        make.filter_stage(TEMPLATE),
        make.filter_stage(nested(10, TEMPLATE)),
        make.filter_stage({"a": "{{INPUT.q}}", "b": {"type": "dynamic", "field": "inputs.q"}}),
        make.filter_stage({"field": "a", "operator": "in", "value": {"type": "dynamic", "field": "inputs.q"}}),
        make.filter_stage({"NOT": [{"field": "{{INPUT.f}}", "operator": "regex", "value": "{{INPUT.q}}"}]}),
        make.filter_stage({"AND": "{{INPUT.all}}", "case_sensitive": "{{INPUT.exact}}"}),
        search_stage(lexical=True),
        search_stage(feature_uri="own", query=[[1, 2], [3, 4]]),
        search_stage(query={"input_mode": "vector", "value": "{{INPUT.v}}"}, min_score="{{INPUT.s}}"),
        search_stage(query={"input_mode": "document", "document_ref": {"document_id": "d"}}),
        search_of(pre_filters=make.EBOLA),
        search_of(pre_filters={"field": "a", "operator": "eq", "value": "{{INPUT.q}}"}),
        {"stage_name": "s", "config": {"stage_id": "sample"}},
    ],
)
async def test_what_only_an_alert_on_ingest_cannot_run_is_accepted(
    api: httpx.AsyncClient, stage: dict[str, Any]
) -> None:
    await make.retriever(api, stages=[stage])


async def test_patch_is_wrapped_and_raises_the_version(api: httpx.AsyncClient) -> None:
    await make.retriever(api, input_schema={"q": {"type": "string"}})
    path = "/v1/retrievers/ebola"
    answer = (await api.patch(path, json={"description": "d", "stages": [search_stage()]})).json()
    assert set(answer) == {"retriever"}
    assert RetrieverConfig.from_dict(answer["retriever"]) is not None
    assert answer["retriever"]["version"] == 2
    assert answer["retriever"]["stages"][0]["stage_name"] == "search"
    assert (await api.patch(path, json={"description": "d"})).json()["retriever"]["version"] == 2
    refused(await api.patch(path, json={"budget_limits": {"max_time_ms": 1}}), 422, "ValidationError")
    for schema, fine in (
        ({"q": {"type": "string", "default": "x"}, "n": {"type": "integer"}}, True),
        ({"q": {"type": "string"}}, False),  # n was removed
        ({"q": {"type": "integer"}, "n": {"type": "integer"}}, False),
        ({"q": {"type": "string", "required": True}, "n": {"type": "integer"}}, False),
        ({"q": {"type": "string"}, "n": {"type": "integer"}, "m": {"type": "text", "required": True}}, False),
    ):
        answer = await api.patch(path, json={"input_schema": schema})
        assert (answer.status_code == 200) is fine, answer.text


async def test_list_and_delete(api: httpx.AsyncClient) -> None:
    await make.retriever(api)
    await make.retriever(api, "second")
    page = (await api.post("/v1/retrievers/list")).json()
    assert ListRetrieversResponse.from_dict(page) is not None
    assert page["total"] == 2
    assert page == (await api.get("/v1/retrievers")).json()
    body = {"retriever_name": "ebola", "stages": [make.filter_stage(make.EBOLA)]}
    refused(await api.post("/v1/retrievers", json=body), 409, "AlreadyExistsError")
    refused(
        await api.post("/v1/retrievers", json={**body, "retriever_name": "x", "collection_identifiers": ["no"]}),
        404,
        "NotFoundError",
    )
    refused(await api.post("/v1/retrievers", json={**body, "retriever_name": "stages"}), 422, "ValidationError")
    assert (await api.delete("/v1/retrievers/ebola")).status_code == 200
    refused(await api.delete("/v1/retrievers/ebola"), 404, "NotFoundError")


async def test_a_reserved_name_is_refused_in_words(api: httpx.AsyncClient) -> None:
    made = await make.retriever(api)
    body = {"name": "list", "retriever_id": made["retriever_id"], "notification_config": make.UNCONFIGURED}
    assert "cannot name an alert" in (await api.post("/v1/alerts", json=body)).text


EXTRACTOR = {
    "feature_extractor_name": "passthrough_extractor",
    "version": "v1",
    "parameters": {"vector_fields": [{"field": "v", "name": "embedding", "dimensions": 3, "distance": "cosine"}]},
}
INDEX = "mixpeek://passthrough_extractor@v1/embedding"
FITS, LONG = [1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]
AT = ["config", "parameters", "searches", 0, "query"]


@pytest.mark.parametrize(
    ("query", "below"),
    [
        ({"input_mode": "vector", "value": LONG}, ["value"]),
        (LONG, []),
        ([FITS, FITS[:2]], None),
        ([LONG, LONG], [0]),
    ],
)
@pytest.mark.parametrize("named", [["news"], []])
async def test_a_query_of_the_wrong_size_is_refused_with_its_place(
    api: httpx.AsyncClient, query: Any, below: list[Any] | None, named: list[str]
) -> None:
    await make.collection(api, feature_extractor=EXTRACTOR)
    await make.collection(api, "undeclared")
    body = {"collection_identifiers": named, "stages": [search_stage(feature_uri=INDEX, query=query)]}
    await make.retriever(api, "r", **{**body, "stages": [search_stage(feature_uri=INDEX, query=FITS)]})
    for answer in (
        await api.post("/v1/retrievers", json={"retriever_name": "wrong", **body}),
        await api.patch("/v1/retrievers/r", json={"stages": body["stages"]}),
    ):
        error = refused(answer, 422, "ValidationError")
        if below is not None:
            assert make.places(error) == [("value_error", ["body", "stages", 0, *AT, *below])]
            assert "3 dimensions" in error["message"]
            assert "not 4" in error["message"]
            assert "stages[0].config.parameters.searches[0].query" in error["message"]
    if below is not None:
        await make.retriever(api, "elsewhere", **{**body, "collection_identifiers": ["undeclared"]})


@pytest.mark.parametrize("at", ["input_schema", "stages"])
async def test_unknown_types_and_operators_are_refused_with_their_place(api: httpx.AsyncClient, at: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "input_schema": {"input_schema": {"q": {"type": "vector"}}, "stages": [make.filter_stage(make.EBOLA)]},
        "stages": {"stages": [make.filter_stage({"field": "a", "operator": "is", "value": 1})]},
    }
    wrong = bodies[at]
    places: dict[str, list[object]] = {
        "input_schema": ["body", "input_schema", "q", "type"],
        "stages": ["body", "stages", 0, "config"],
    }
    place = places[at]
    await make.retriever(api)
    for answer in (
        await api.post("/v1/retrievers", json={"retriever_name": "r", **wrong}),
        await api.patch("/v1/retrievers/ebola", json=wrong),
    ):
        assert make.places(refused(answer, 422, "ValidationError"))[0][1][: len(place)] == place
