"""Answers that an index had a part in say so, and a caller may forbid it."""

import httpx
from mixpeek.models.execute_retriever_response import ExecuteRetrieverResponse

from streams.index.building import Builder
from streams.runtime.agent import Context
from tests.api.conftest import NOW
from tests.api.make import refused
from tests.api.retrieval.test_execute import FACE, FRONT, alike, executed, ids, people


async def test_an_answer_by_an_index_says_so(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, http)
    await alike(http)
    exact = await executed(http, inputs=FRONT)
    assert exact["completeness"] is None
    assert await Builder(here.database, large=20).tick(NOW) == 1
    found = await executed(http, inputs=FRONT)
    assert found["completeness"] == {FACE: "approximate"}
    parsed = ExecuteRetrieverResponse.from_dict(found)
    assert parsed is not None
    assert parsed.completeness == {FACE: "approximate"}
    assert (ids(found), found["documents"]) == (ids(exact), exact["documents"])
    detail = (await http.get(f"/v1/retrievers/alike/executions/{found['execution_id']}")).json()
    assert detail["completeness"] == {FACE: "approximate"}
    asked = await executed(http, inputs=FRONT, settings={"exact": True})
    assert (asked["completeness"], asked["documents"]) == (None, exact["documents"])
    body = {"queries": [{"inputs": FRONT}], "settings": {"exact": True, "limit": 3}}
    (one,) = (await http.post("/v1/retrievers/alike/execute/batch", json=body)).json()["results"]
    assert (one["completeness"], len(one["documents"])) == (None, 3)
    wrong = await http.post("/v1/retrievers/alike/execute", json={"inputs": FRONT, "settings": {"exact": "yes"}})
    refused(wrong, 422, "ValidationError")
