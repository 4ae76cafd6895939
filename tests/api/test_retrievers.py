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
        ({"stage_name": "s", "config": {"stage_id": "rerank"}}, 403, "NotEnabledError"),
        (make.filter_stage({"AND": [None]}), 422, "ValidationError"),
        (make.filter_stage({"field": "a", "operator": "regex", "value": "("}), 422, "ValidationError"),
    ],
)
async def test_a_wrong_stage_is_refused(
    api: httpx.AsyncClient, stage: dict[str, Any], status: int, kind: str
) -> None:
    body = {"retriever_name": "r", "stages": [stage]}
    refused(await api.post("/v1/retrievers", json=body), status, kind)


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
