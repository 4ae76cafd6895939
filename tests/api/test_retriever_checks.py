"""Definitions that could never run are refused when they are made, at the place that is wrong."""

from typing import Any

import httpx
import pytest

from tests.api import make
from tests.api.make import refused

HASHING = "mixpeek://hashing@v1/words"
IN_PARAMETERS = ["body", "stages", 0, "config", "parameters"]
QUERY = [*IN_PARAMETERS, "searches", 0, "query"]


def stage(stage_id: str, **parameters: Any) -> dict[str, Any]:
    return {"stage_name": stage_id, "config": {"stage_id": stage_id, "parameters": parameters}}


def search(query: Any, feature_uri: str = "own", **more: Any) -> dict[str, Any]:
    return stage("feature_search", searches=[{"feature_uri": feature_uri, "query": query, **more}])


def given(mode: str, **more: Any) -> dict[str, Any]:
    return search({"input_mode": mode, **more})


async def made(api: httpx.AsyncClient, *stages: dict[str, Any], **more: Any) -> httpx.Response:
    return await api.post("/v1/retrievers", json={"retriever_name": "r", "stages": list(stages), **more})


@pytest.mark.parametrize(
    ("one", "kind", "place"),
    [
        (given("vector", value="abc"), "ValidationError", [*QUERY, "value"]),
        (given("vector", value=None), "ValidationError", [*QUERY, "value"]),
        (given("vector", value=[]), "ValidationError", [*QUERY, "value"]),
        (given("vector"), "ValidationError", [*QUERY, "value"]),
        (given("telepathy", value="x"), "ValidationError", [*QUERY, "input_mode"]),
        (given("document"), "ValidationError", [*QUERY, "document_ref"]),
        (given("document", document_ref={}), "ValidationError", [*QUERY, "document_ref"]),
        (given("text", value="flu"), "NotEnabledError", [*QUERY, "value"]),
        (given("text", value="{{INPUT.q}}"), "NotEnabledError", [*QUERY, "value"]),
        (given("content", value="https://a/b"), "NotEnabledError", [*QUERY, "input_mode"]),
        (given("multi_content", values=["a"]), "NotEnabledError", [*QUERY, "input_mode"]),
        (search("", HASHING), "ValidationError", QUERY),
        (search([1, 2], lexical=True), "ValidationError", QUERY),
        (
            stage("feature_search", query_preprocessing={}),
            "NotEnabledError",
            [*IN_PARAMETERS, "query_preprocessing"],
        ),
        (stage("rerank"), "NotEnabledError", ["body", "stages", 0, "config", "stage_id"]),
        (stage("limit", limit="{{ 1/0 }}"), "ValidationError", [*IN_PARAMETERS, "limit"]),
        (stage("limit", limit="{{ 'a'*1000000000 }}"), "ValidationError", [*IN_PARAMETERS, "limit"]),
        (stage("limit", limit="{{ 'x' }}"), "ValidationError", IN_PARAMETERS),
        (stage("json_transform", template="[1]"), "ValidationError", [*IN_PARAMETERS, "template"]),
        (stage("json_transform", template="{{ [1] }}"), "ValidationError", [*IN_PARAMETERS, "template"]),
        (stage("json_transform", template="a {{DOC.b}}"), "ValidationError", [*IN_PARAMETERS, "template"]),
        (
            stage("document_enrich", retriever_config={"stages": [given("vector", value="abc")]}),
            "ValidationError",
            [*IN_PARAMETERS, "retriever_config", *QUERY[1:], "value"],
        ),
        (
            stage("document_enrich", retriever_config={"stages": [stage("rerank")]}),
            "NotEnabledError",
            [*IN_PARAMETERS, "retriever_config", "stages", 0, "config", "stage_id"],
        ),
    ],
)
async def test_what_can_never_run_is_refused_at_its_place(
    api: httpx.AsyncClient, one: dict[str, Any], kind: str, place: list[Any]
) -> None:
    error = refused(await made(api, one), 422, kind)
    assert make.places(error)[0][1] == place
    assert f"stage {one['stage_name']}" in error["message"]


async def test_what_only_inputs_decide_is_accepted(api: httpx.AsyncClient) -> None:
    stages = [
        search("{{INPUT.q}}"),
        search([], on_empty="skip"),
        search({"value": "{{INPUT.q}}"}),
        given("document", document_ref="{{INPUT.q}}"),
        search({"input_mode": "text", "value": "flu"}, lexical=True),
        stage("feature_search", searches=["{{INPUT.search}}"]),
        search("{{INPUT.q}}", collection_identifiers=[{"type": "dynamic", "field": "inputs.c"}]),
        stage("limit", limit="{{ 2 * 5 }}"),
        stage("json_transform", template='{"a": {{ DOC.a | tojson }}}'),
        stage("json_transform", template="{{ {'a': DOC.a} }}"),
    ]
    for number, one in enumerate(stages):
        await make.retriever(api, f"r{number}", stages=[one])


async def test_an_input_that_the_schema_has_not_is_refused(api: httpx.AsyncClient) -> None:
    schema = {"q": {"type": "string"}}
    wrong = stage("limit", limit="{{INPUT.nope}}")
    error = refused(await made(api, wrong, input_schema=schema), 409, "ConflictError")
    assert make.places(error)[0][1] == [*IN_PARAMETERS, "limit"]
    assert "INPUT.nope is not in the input_schema; there are q" in error["message"]
    # Without a schema inputs are free.
    await make.retriever(api, "free", stages=[wrong])
    refused(await api.patch("/v1/retrievers/free", json={"input_schema": schema}), 409, "ConflictError")
    fitting = {"input_schema": {"nope": {"type": "integer"}}}
    assert (await api.patch("/v1/retrievers/free", json=fitting)).status_code == 200


async def test_a_feature_that_no_collection_declares_is_refused(api: httpx.AsyncClient) -> None:
    fields = {"vector_fields": [{"name": "face", "dimensions": 2}]}
    extractor = {"feature_extractor_name": "faces", "version": "v1", "parameters": fields}
    await make.collection(api, "people", feature_extractor=extractor)
    await make.collection(api, "open")
    wrong, right = search([1, 2], "voice"), search([1, 2], "face")
    error = refused(await made(api, wrong, collection_identifiers=["people"]), 422, "ValidationError")
    assert make.places(error)[0][1] == [*IN_PARAMETERS, "searches", 0, "feature_uri"]
    assert "mixpeek://faces@v1/face" in error["message"]
    await make.retriever(api, stages=[right], collection_identifiers=["people"])
    refused(await api.patch("/v1/retrievers/ebola", json={"stages": [wrong]}), 422, "ValidationError")
    await make.retriever(api, "either", stages=[wrong], collection_identifiers=["people", "open"])
    refused(
        await api.patch("/v1/retrievers/either", json={"collection_identifiers": ["people"]}),
        422,
        "ValidationError",
    )


async def test_a_document_of_an_unknown_collection_is_refused(api: httpx.AsyncClient) -> None:
    news = await make.collection(api, "news")
    reference = {"document_id": "d", "collection_id": "news"}
    one = await make.retriever(api, stages=[given("document", document_ref=reference)])
    assert one["stages"][0]["parameters"]["searches"][0]["query"]["document_ref"] == {
        "document_id": "d",
        "collection_id": news["collection_id"],
    }
    other = (await api.post("/v1/namespaces", json={"namespace_name": "other"})).json()
    api.headers["X-Namespace"] = other["namespace_id"]
    for foreign in ("news", news["collection_id"]):
        reference["collection_id"] = foreign
        refused(await made(api, given("document", document_ref=reference)), 404, "NotFoundError")


async def test_a_retriever_that_reaches_itself_is_refused(api: httpx.AsyncClient) -> None:
    await make.collection(api, "codes")
    await make.retriever(api, "a")
    enrich = stage("document_enrich", retriever_id="a")
    await make.retriever(api, "b", stages=[enrich])
    config = {
        "taxonomy_type": "flat",
        "retriever_id": "b",
        "input_mappings": [{"input_key": "x", "source_type": "payload", "path": "x"}],
        "source_collection": {"collection_id": "codes"},
    }
    await make.made(api, "/v1/taxonomies", {"taxonomy_name": "t", "config": config})
    for one, circle in (
        (enrich, "retriever 'a' → retriever 'a'"),
        (stage("document_enrich", retriever_id="b"), "retriever 'a' → retriever 'b' → retriever 'a'"),
        (
            stage("taxonomy_enrich", taxonomy_id="t"),
            "retriever 'a' → taxonomy 't' → retriever 'b' → retriever 'a'",
        ),
        (
            stage("document_enrich", retriever_config={"stages": [enrich]}),
            "retriever 'a' → retriever 'a'",
        ),
    ):
        answer = await api.patch("/v1/retrievers/a", json={"stages": [one]})
        error = refused(answer, 422, "ValidationError")
        assert circle in error["message"]
        assert make.places(error)[0][1][:5] == IN_PARAMETERS
