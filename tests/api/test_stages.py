import httpx
import pytest
from mixpeek.models.retriever_stage_definition import RetrieverStageDefinition

from schemas.api.stages import CATEGORIES
from streams.runtime.agent import Context
from tests.api.conftest import caller


async def test_stages_are_listed_without_a_key_as_the_sdk_reads_them(here: Context) -> None:
    async with caller(here) as client:
        del client.headers["Authorization"]
        answer = await client.get("/v1/retrievers/stages")
    assert answer.status_code == 200
    listed = answer.json()
    assert {stage["stage_id"]: stage["category"] for stage in listed} == CATEGORIES
    for stage in listed:
        read = RetrieverStageDefinition.from_dict(stage)
        assert read is not None
        assert read.icon
        assert read.description
        assert (read.parameter_schema or {})["type"] == "object"


@pytest.mark.parametrize("category", ["filter", "sort", "reduce", "apply", "enrich"])
async def test_one_category(api: httpx.AsyncClient, category: str) -> None:
    listed = (await api.get("/v1/retrievers/stages", params={"category": category})).json()
    assert {stage["stage_id"] for stage in listed} == {
        name for name, kind in CATEGORIES.items() if kind == category
    }


async def test_an_unknown_category_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/retrievers/stages", params={"category": "group"})
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "ValidationError"
