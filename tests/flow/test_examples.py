"""Every example of the OpenAPI document, one after the other, against the whole system: each request works, and is
answered as the document shows.

``TIDEWATCH_RECORD_EXAMPLES=1`` writes what is answered into the examples.
"""

import os
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import httpx
import orjson

from schemas.topics import TOPICS
from streams.act.station import build as act
from streams.runtime.agent import Context
from streams.runtime.http import openapi
from streams.runtime.http.openapi.examples import FILE, read_examples
from streams.trigger.station import build as trigger
from tests.api.answers import answers, described
from tests.flow.system import EVERYTHING, system
from tests.log import read_topic
from tests.records import problems
from tests.support import TestBroker, eventually

TAKEN = {
    ("get_execution_alerts", "execution_id"): ("get_latest_result_alerts", "execution_id"),
    ("get_execution_retrievers", "execution_id"): ("execute_retriever", "execution_id"),
    ("get_execution_status_retrievers", "execution_id"): ("execute_retriever", "execution_id"),
    ("get_execution_profile_retrievers", "execution_id"): ("execute_retriever", "execution_id"),
    ("get_adhoc_execution_retrievers", "execution_id"): ("execute_adhoc_retriever", "execution_id"),
    ("upsert_documents_byo_namespaces", "namespace_id"): ("create_standalone_namespace", "namespace_id"),
    ("get_document_byo_namespaces", "namespace_id"): ("create_standalone_namespace", "namespace_id"),
    ("get_cluster_execution_by_run", "run_id"): ("get_cluster_execution", "run_id"),
    ("cancel_execution_clusters_id_run", "run_id"): ("get_cluster_execution", "run_id"),
    ("execute_taxonomy_taxonomies", "taxonomy_identifier"): ("create_taxonomy_taxonomies", "taxonomy_id"),
    # What the rest of the walk needs stays; its copies go.
    ("delete_retriever", "retriever_id"): ("clone_retriever", "retriever.retriever_id"),
    ("delete_collection", "collection_identifier"): ("clone_collection", "collection.collection_id"),
    ("get_task", "task_id"): ("execute_trigger_now", "task_id"),
    ("kill_task", "task_id"): ("execute_trigger_now", "task_id"),
}
"""Identifiers that an answer gave: operation and name, by whose answer and the field in it."""


class Walk:
    """The examples on their way."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._operations = {
            operation["operationId"]: (method, path, operation)
            for path, item in described()["paths"].items()
            for method, operation in item.items()
        }
        self._given: dict[tuple[str, str], Any] = {}

    async def step(self, name: str, example: dict[str, Any]) -> None:
        """Send one request until it works, and keep what its answer is in ``example``."""
        method, path, operation = self._operations[name]
        inside = example.get("path", {})
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                given = self._given.get((name, parameter["name"]))
                inside = {
                    **inside,
                    parameter["name"]: inside.get(parameter["name"], given) if given is None else given,
                }
        if inside:
            example["path"] = inside
        body = orjson.dumps(example["request"]) if "request" in example else None
        last: list[httpx.Response] = []

        async def works() -> bool:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            answer = await self._http.request(
                method, path.format(**inside), params=example.get("query"), content=body, headers=headers
            )
            last[:] = [answer]
            # What was just written may not be there yet.
            assert answer.is_success or answer.status_code == 404, f"{name}: {answer.text}"
            return answer.is_success

        await eventually(works, timeout=30, every=0.1, what=f"{name} is answered")
        assert answers().problems(last[0].request, last[0]) == [], name
        if last[0].headers.get("content-type", "").startswith("application/json"):
            example["response"] = last[0].json()
            self._remember(name, operation, example["response"])

    def _remember(self, name: str, operation: dict[str, Any], answer: Any) -> None:
        for status, response in operation["responses"].items():
            for link in response.get("links", {}).values() if status.startswith("2") else ():
                for parameter, expression in link["parameters"].items():
                    if (link["operationId"], parameter) not in TAKEN and expression.startswith("$response.body#/"):
                        self._given[link["operationId"], parameter] = answer[expression.rpartition("/")[2]]
        for place, (source, field) in TAKEN.items():
            if source == name:
                self._given[place] = reduce(getitem, field.split("."), answer)


async def test_every_example_works(context: Context, real_kafka: TestBroker) -> None:
    examples = read_examples()
    async with system(context, (*EVERYTHING, trigger, act)) as http:
        walk = Walk(http)
        for name, example in examples.items():
            before = orjson.dumps(example.get("response"))
            await walk.step(name, example)
            after = orjson.dumps(example.get("response"))
            if not os.environ.get("TIDEWATCH_RECORD_EXAMPLES"):
                assert _kind(orjson.loads(before)) == _kind(orjson.loads(after)), (
                    f"{name}: record the examples anew"
                )
    if os.environ.get("TIDEWATCH_RECORD_EXAMPLES"):
        file = Path(str(openapi.__file__)).with_name(FILE)
        file.write_bytes(orjson.dumps(examples, option=orjson.OPT_INDENT_2) + b"\n")
    for topic in TOPICS:
        for record in await read_topic(context, topic):
            assert problems(topic, record) == [], (topic.name, record.value)


def _kind(value: Any) -> Any:
    """An answer without what differs from run to run: which fields an object has."""
    return sorted(value) if isinstance(value, dict) else type(value).__name__
