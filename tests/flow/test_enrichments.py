"""Enrichments of one document at the same time, over the whole system: none undoes another, nor a producer."""

from typing import Any

import httpx

from streams.runtime.agent import Context
from tests.flow.system import created, system
from tests.flow.test_loops import STATIONS, at_rest, collection, jobs, on_event, put, stage


async def taxonomy(http: httpx.AsyncClient, name: str, collection_id: str, field: str) -> None:
    source: dict[str, Any] = {"collection_id": collection_id, "enrichment_fields": [{"field_path": field}]}
    config = {
        "retriever_id": "by word",
        "input_mappings": [{"input_key": "word", "source_type": "payload", "path": "word"}],
        "source_collection": source,
    }
    await created(http, "/v1/taxonomies", {"taxonomy_name": name, "config": config})


async def test_two_enrichments_and_a_producer_write_one_document(context: Context) -> None:
    async with system(context, STATIONS) as http:
        news, words = await collection(http, "news"), await collection(http, "words")
        await put(http, "words", "ebola", word="ebola", topic="outbreaks", place="liberia")
        await at_rest(context)
        await stage(http, "by word", {"field": "word", "operator": "eq", "value": "{{INPUT.word}}"})
        for name, field in (("topics", "topic"), ("places", "place")):
            await taxonomy(http, name, words, field)
            # Both read the document as it was added: neither waits for the other.
            await on_event(
                http, "documents_added", news, "taxonomy_enrichment", taxonomy_id=name, collection_id=news
            )
        for number in range(10):
            await put(http, "news", f"d{number}", word="ebola", n=0)
        for number in range(10):
            await put(http, "news", f"d{number}", word="ebola", n=1)
        await at_rest(context)
        assert {status for _, status, _ in await jobs(context)} == {"completed"}
        # A producer's later write replaces the document; the next run gives it its fields again.
        for name in ("topics", "places"):
            body = {
                "action_type": "taxonomy_enrichment",
                "action_config": {"taxonomy_id": name, "collection_id": news},
                "trigger_type": "interval",
                "schedule_config": {"interval_seconds": 86_400},
            }
            trigger = (await created(http, "/v1/triggers", body))["trigger_id"]
            answer = await http.post(f"/v1/triggers/{trigger}/execute")
            assert answer.status_code == 200, answer.text
        await at_rest(context)
        for number in range(10):
            found = (await http.get(f"/v1/collections/news/documents/d{number}")).json()
            assert (found["n"], found["topic"], found["place"]) == (1, "outbreaks", "liberia")
