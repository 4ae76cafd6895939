"""Stored documents matched against a taxonomy that was made over HTTP."""

import httpx

from streams.runtime.agent import Context
from tests.api.make import made
from tests.api.retrieval.test_execute import FACE, FRONT, alike, executed, ids, people

MAPPINGS = [{"input_key": "face", "source_type": "vector", "path": FACE}]


async def test_an_execution_gives_documents_the_fields_of_their_node(
    here: Context, http: httpx.AsyncClient
) -> None:
    """Each person's nearest are matched among the people themselves: everybody is nearest to themselves."""
    await people(here, http, 5)
    await alike(http)
    fields = [{"field_path": "name", "target_field": "node"}]
    config = {
        "retriever_id": "alike",
        "input_mappings": MAPPINGS,
        "source_collection": {"collection_id": "people", "enrichment_fields": fields},
    }
    await made(http, "/v1/taxonomies", {"taxonomy_name": "faces", "config": config})
    parameters = {"taxonomy_id": "faces", "top_k": 1}
    enriching = {
        "retriever_name": "enriching",
        "collection_identifiers": ["people"],
        "stages": [
            {
                "stage_name": "few",
                "config": {
                    "stage_id": "attribute_filter",
                    "parameters": {"conditions": {"field": "n", "operator": "gte", "value": 3}},
                },
            },
            {"stage_name": "node", "config": {"stage_id": "taxonomy_enrich", "parameters": parameters}},
        ],
    }
    await made(http, "/v1/retrievers", enriching)
    found = await executed(http, "enriching", inputs=FRONT)
    assert ids(found) == ["p03", "p04"]
    assert [item["node"] for item in found["documents"]] == ["Person 3", "Person 4"]
