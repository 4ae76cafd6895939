"""Every stage, executed over HTTP on stored documents, gives what it gives over the same documents in memory."""

import random
import time
from typing import Any, Final

import httpx
import orjson
import pytest
from mixpeek.models.execute_retriever_response import ExecuteRetrieverResponse

from streams.engines.retrieval.execution.detail import document
from streams.engines.retrieval.execution.execute import Execution, execute
from streams.engines.retrieval.stages.registry import STAGES
from streams.runtime.agent import Context
from streams.runtime.definitions import find_definition, put_definition
from streams.runtime.named import named_definitions
from tests.api.conftest import NOW
from tests.api.make import collection
from tests.engines.retrieval.stages.running import stage
from tests.engines.retrieval.stages.test_conformance import CASES, SEARCH, TAXONOMY, parameters
from tests.retrieval.storing import in_memory, people, store, varied

NAMES: Final = ("news", "other", "people")


async def prepared(here: Context, http: httpx.AsyncClient) -> str:
    """Collections with documents, and the retriever and the taxonomy that cases name; the namespace's id."""
    collections = {name: str((await collection(http, name))["collection_id"]) for name in NAMES}
    namespace_id = str((await http.get("/v1/namespaces/default")).json()["namespace_id"])
    every = {"stages": [stage("attribute_filter", {"field": "name", "operator": "exists", "value": True})]}
    taxonomy = orjson.loads(orjson.dumps(TAXONOMY))
    taxonomy["config"]["source_collection"]["collection_id"] = collections["people"]
    async with here.database.transaction() as connection:
        await put_definition(connection, "retriever", namespace_id, "ret_r", "r", every)
        await put_definition(connection, "taxonomy", namespace_id, "tax_t", "t", taxonomy)
    others = [collections[name] for name in ("news", "other")]
    made = varied(random.Random(7), 60, namespace_id, others)
    await store(here.database, [*people(namespace_id, collections["people"]), *made])
    return namespace_id


async def in_memory_too(here: Context, namespace_id: str, retriever: dict[str, Any], seed: str) -> Execution:
    async with here.database.transaction(snapshot=True) as connection:
        return await execute(
            retriever,
            {},
            await in_memory(connection, namespace_id),
            now=NOW,
            clock=time.monotonic,
            definitions=await named_definitions(connection, namespace_id, retriever["stages"]),
            seed=seed,
        )


def compared(found: dict[str, Any], expected: Execution) -> None:
    assert found["status"] == expected.status
    assert found.get("error") == expected.error
    assert found["documents"] == orjson.loads(orjson.dumps([document(row) for row in expected.rows]))
    assert found["facets"] == expected.notes.facets
    counts = {name: (stat.input_count, stat.output_count) for name, stat in expected.stages.items()}
    shown = found["stage_statistics"]["stages"]
    assert {name: (stat["input_count"], stat["output_count"]) for name, stat in shown.items()} == counts
    assert found["budget"]["credits_used"] == expected.budget["credits_used"]
    assert [item["name"] for item in found["limits"]] == [item["name"] for item in expected.notes.limits]


SEARCHES: Final[list[dict[str, Any]]] = [
    {"searches": [SEARCH, {"feature_uri": "words", "query": "flu city", "lexical": True}], "final_top_k": 30},
    {
        "searches": [{**SEARCH, "min_score": 0.2, "top_k": 20}],
        "facets": [{"key": "a"}, {"key": "tags", "exact": True}],
        "group_by": {"field": "a", "max_per_group": 2},
    },
    {"searches": [{"feature_uri": "mixpeek://hashing@v1/words", "query": "flu in the city"}], "fusion": "max"},
]


@pytest.mark.parametrize("stage_id", sorted(STAGES))
async def test_stored_documents_give_what_documents_in_memory_give(
    here: Context, http: httpx.AsyncClient, stage_id: str
) -> None:
    namespace_id = await prepared(here, http)
    first = {**stage("feature_search", {"searches": [SEARCH], "final_top_k": 500}), "stage_name": "first"}
    cases = [parameters(name, more) for name, more in CASES if name == stage_id]
    completed = 0
    for number, given in enumerate([*cases, *(SEARCHES if stage_id == "feature_search" else ())]):
        last = stage(stage_id, given)
        for at, stages in enumerate(([last], [first, last])):
            body = {"retriever_name": f"case {number} {at}", "stages": stages}
            answer = await http.post("/v1/retrievers", json=body)
            assert answer.status_code == 200, answer.text
            identifier = answer.json()["retriever_id"]
            answer = await http.post(f"/v1/retrievers/{identifier}/execute", json={"limit": 500})
            assert answer.status_code == 200, answer.text
            found = answer.json()
            ExecuteRetrieverResponse.from_dict(found)
            async with here.database.connection() as connection:
                stored = await find_definition(connection, "retriever", namespace_id, identifier)
            assert stored is not None
            compared(found, await in_memory_too(here, namespace_id, stored.body, found["execution_id"]))
            completed += found["status"] == "completed"

            once = (await http.post("/v1/retrievers/execute", json={"stages": stages, "limit": 500})).json()
            compared(once, await in_memory_too(here, namespace_id, stored.body, once["execution_id"]))
    assert completed, "no case of the stage came to an end"
