"""Documents through the real stations, then a retriever run over them, and its execution through the topic."""

from mixpeek.models.execution_detail import ExecutionDetail

from schemas.events.retriever_execution import RetrieverExecutionRecord
from schemas.topics import RETRIEVER_EXECUTIONS
from streams.runtime.agent import Context
from tests.flow.system import created, system
from tests.flow.test_watch_list import FACE, angle, collection, put, readable, similar
from tests.log import read_topic
from tests.support import eventually


async def test_documents_written_are_found_and_the_execution_is_kept(context: Context) -> None:
    async with system(context) as http:
        await created(http, "/v1/collections", collection("people"))
        for number, name in enumerate(("ann", "bob", "cyd")):
            await put(http, "people", name, number * 10.0, level=number)
            await readable(http, "people", name)
        retriever = {
            "retriever_name": "alike",
            "collection_identifiers": ["people"],
            "stages": [similar(0.9)],
            "input_schema": {"face": {"type": "array", "required": True}},
        }
        await created(http, "/v1/retrievers", retriever)
        body = {"inputs": {"face": angle(2)}, "filters": {"level": {"gte": 1}}}
        found = await created(http, "/v1/retrievers/alike/execute", body)
        assert [(item["document_id"], item["level"]) for item in found["documents"]] == [("bob", 1), ("cyd", 2)]
        assert found["documents"][0]["matched_features"] == {FACE: found["documents"][0]["score"]}
        assert sum(found["position"].values()) == 3

        async def published() -> bool:
            records = await read_topic(context, RETRIEVER_EXECUTIONS)
            known = [RetrieverExecutionRecord.decode(record.value).execution_id for record in records]
            return known == [found["execution_id"]]

        await eventually(published, timeout=30, every=0.1, what="the execution is in its topic")
        detail = (await http.get(f"/v1/retrievers/alike/executions/{found['execution_id']}")).json()
        ExecutionDetail.from_dict(detail)
        assert detail["documents"] == found["documents"]
        listed = (await http.post("/v1/retrievers/alike/executions/list", json={})).json()
        assert [item["execution_id"] for item in listed["results"]] == [found["execution_id"]]

        # A document that is gone is found no more.
        assert (await http.delete("/v1/collections/people/documents/bob")).status_code == 200

        async def without() -> bool:
            again = await created(http, "/v1/retrievers/alike/execute", body)
            return [item["document_id"] for item in again["documents"]] == ["cyd"]

        await eventually(without, timeout=30, every=0.1, what="a deleted document is found no more")
