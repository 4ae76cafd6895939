"""Taxonomies over HTTP: made, read by the SDK, changed, listed, refused, and kept while others need them."""

from typing import Any

import httpx
import pytest
from mixpeek.models.join_response import JoinResponse
from mixpeek.models.list_taxonomies_response import ListTaxonomiesResponse
from mixpeek.models.taxonomy_response import TaxonomyResponse

from schemas.events.document import UPSERTED, DocumentEvent
from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context
from tests.api import make
from tests.api.conftest import NOW
from tests.api.make import places, refused
from tests.retrieval.storing import store

MAPPINGS = [{"input_key": "code", "source_type": "payload", "path": "code"}]
FIELDS = [{"field_path": "label", "target_field": "topic", "merge_mode": "replace"}]


def flat(**more: Any) -> dict[str, Any]:
    source = {"collection_id": "codes", "enrichment_fields": FIELDS}
    return {
        "taxonomy_type": "flat",
        "retriever_id": "by code",
        "input_mappings": MAPPINGS,
        "source_collection": source,
        **more,
    }


def tree(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"retriever_id": "by code", "input_mappings": MAPPINGS, "hierarchical_nodes": list(nodes), **more}


def node(name: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {"collection_id": name, "parent_collection_id": parent, **more}


async def prepared(api: httpx.AsyncClient) -> dict[str, str]:
    """Collections codes and groups, and the retriever by code; name → id."""
    ids = {name: (await make.collection(api, name))["collection_id"] for name in ("codes", "groups")}
    condition = {"field": "code", "operator": "eq", "value": "{{INPUT.code}}"}
    made = await make.retriever(api, "by code", stages=[make.filter_stage(condition)])
    return {**ids, "by code": made["retriever_id"]}


async def taxonomy(
    api: httpx.AsyncClient, config: dict[str, Any] | None = None, name: str = "topics", **more: Any
) -> dict[str, Any]:
    body = {"taxonomy_name": name, "config": config or flat(), **more}
    return await make.made(api, "/v1/taxonomies", body)


def enrich(**parameters: Any) -> dict[str, Any]:
    config = {"stage_id": "taxonomy_enrich", "parameters": {"taxonomy_id": "topics", **parameters}}
    return {"stage_name": "enrich", "config": config}


async def test_create_get_patch_delete_and_the_sdk_reads_it(api: httpx.AsyncClient) -> None:
    ids = await prepared(api)
    one = await taxonomy(api, description="d", metadata={"a": 1})
    read = TaxonomyResponse.from_dict(one)
    assert read is not None
    assert read.taxonomy_id is not None
    assert read.taxonomy_id.startswith("tax_")
    # Names became ids, defaults are filled in, the type is said.
    assert one["config"] == {
        **flat(),
        "top_k": 1,
        "retriever_id": ids["by code"],
        "source_collection": {"collection_id": ids["codes"], "enrichment_fields": FIELDS},
    }
    assert (one["version"], one["ready"], one["nodes"]) == (1, True, None)
    assert (one["retriever_id"], one["input_mappings"]) == (ids["by code"], MAPPINGS)
    for path in ("topics", one["taxonomy_id"], "topics?version=1"):
        assert (await api.get(f"/v1/taxonomies/{path}")).json() == one
    refused(await api.get("/v1/taxonomies/topics?version=2"), 404, "NotFoundError")
    changed = await api.patch("/v1/taxonomies/topics", json={"taxonomy_name": "t2", "metadata": {"b": 2}})
    assert changed.status_code == 200
    assert TaxonomyResponse.from_dict(changed.json()) is not None
    shown = (await api.get("/v1/taxonomies/t2")).json()
    assert (shown["metadata"], shown["description"], shown["config"]) == ({"b": 2}, "d", one["config"])
    refused(await api.patch("/v1/taxonomies/t2", json={}), 400, "BadRequestError")
    error = refused(await api.patch("/v1/taxonomies/t2", json={"config": flat()}), 422, "ValidationError")
    assert places(error) == [("extra_forbidden", ["body", "config"])]
    assert (await api.delete("/v1/taxonomies/t2")).status_code == 200
    for call in (api.get, api.delete):
        refused(await call("/v1/taxonomies/t2"), 404, "NotFoundError")


async def test_a_hierarchy_without_its_type_said(api: httpx.AsyncClient) -> None:
    ids = await prepared(api)
    config = tree(node("groups", label="Groups"), node("codes", "groups", retriever_id="by code"))
    one = await taxonomy(api, config)
    assert TaxonomyResponse.from_dict(one) is not None
    assert one["config"]["taxonomy_type"] == "hierarchical"
    assert one["config"]["hierarchical_nodes"] == [
        {"collection_id": ids["groups"], "label": "Groups"},
        {
            "collection_id": ids["codes"],
            "parent_collection_id": ids["groups"],
            "retriever_id": ids["by code"],
        },
    ]


async def test_lists(api: httpx.AsyncClient) -> None:
    await prepared(api)
    for name in ("one", "two words", "three"):
        await taxonomy(api, name=name)
    page = (await api.post("/v1/taxonomies/list", json={"limit": 2})).json()
    assert ListTaxonomiesResponse.from_dict(page) is not None
    assert [item["taxonomy_name"] for item in page["results"]] == ["three", "two words"]
    assert page["total_count"] == 3
    rest = (await api.get("/v1/taxonomies", params={"cursor": page["pagination"]["next_cursor"]})).json()
    assert [item["taxonomy_name"] for item in rest["results"]] == ["one"]
    # No id, which is drawn at random and searched as well, holds a space.
    found = (await api.get("/v1/taxonomies", params={"search": "t*o w*s"})).json()["results"]
    assert [item["taxonomy_name"] for item in found] == ["two words"]
    assert (await api.post("/v1/taxonomies/list")).json()["total_count"] == 3


CONFIG = ["body", "config"]
TWICE = [[*CONFIG, "hierarchical_nodes", 1, "collection_id"]]
PARENTLESS = [[*CONFIG, "hierarchical_nodes", 0, "parent_collection_id"]]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"taxonomy_type": "flat"}, [[*CONFIG, "retriever_id"], [*CONFIG, "input_mappings"]]),
        (flat(top_k=51), [[*CONFIG, "top_k"]]),
        (flat(colour=1), [[*CONFIG, "colour"]]),
        (flat(input_mappings=[]), [[*CONFIG, "input_mappings"]]),
        (flat(input_mappings=[{"input_key": "a", "source_type": "magic"}]), [[*CONFIG, "input_mappings", 0]]),
        (flat(input_mappings=[{"input_key": "a", "source_type": "literal"}]), [[*CONFIG, "input_mappings", 0]]),
        (flat(source_collection={}), [[*CONFIG, "source_collection", "collection_id"]]),
        ("flat", [CONFIG]),
        ({"taxonomy_type": "round"}, [[*CONFIG, "taxonomy_type"]]),
        (tree(), [[*CONFIG, "hierarchical_nodes"]]),
        (tree(node("codes"), node("codes")), TWICE),
        (tree(node("codes", "groups")), PARENTLESS),
        (
            tree(node("codes", "groups"), node("groups", "codes")),
            PARENTLESS,
        ),
        (
            {"hierarchical_nodes": [node("codes", input_mappings=MAPPINGS)]},
            [[*CONFIG, "hierarchical_nodes", 0, "retriever_id"]],
        ),
        (
            {"hierarchical_nodes": [node("codes", retriever_id="by code")]},
            [[*CONFIG, "hierarchical_nodes", 0, "input_mappings"]],
        ),
        # Where no document can have a field, and where it keeps its identity.
        *(
            (
                flat(source_collection={"collection_id": "codes", "enrichment_fields": [field]}),
                [[*CONFIG, "source_collection", "enrichment_fields", 0, "target_field"]],
            )
            for field in (
                {"field_path": "label", "target_field": "a..b"},
                {"field_path": "label", "target_field": ".a"},
                {"field_path": "label", "target_field": "a."},
                {"field_path": "label", "target_field": "occurred_at"},
                {"field_path": "occurred_at"},
                {"field_path": "label", "target_field": "document_id.x"},
            )
        ),
        # A field that no path is: the engine's own rule.
        (
            flat(source_collection={"collection_id": "codes", "enrichment_fields": [{"field_path": "a." * 40}]}),
            [CONFIG],
        ),
    ],
)
async def test_a_wrong_config_is_refused_with_its_place(api: httpx.AsyncClient, config: Any, where: Any) -> None:
    await prepared(api)
    answer = await api.post("/v1/taxonomies", json={"taxonomy_name": "t", "config": config})
    # A tree that is none is no fault of a part of it.
    no_tree = where in (PARENTLESS, TWICE)
    refusal = (409, "ConflictError") if no_tree else (422, "ValidationError")
    found = [location for _, location in places(refused(answer, *refusal))]
    for expected in where:
        assert any(location[: len(expected)] == expected for location in found), found


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"taxonomy_name": "list"}, 422, "ValidationError"),
        ({"taxonomy_name": "a/b"}, 422, "ValidationError"),
        ({"taxonomy_name": "topics"}, 409, "AlreadyExistsError"),
        ({"colour": 1}, 422, "ValidationError"),
        ({"config": flat(retriever_id="nobody")}, 404, "NotFoundError"),
        ({"config": flat(source_collection={"collection_id": "nowhere"})}, 404, "NotFoundError"),
        ({"config": tree(node("nowhere"))}, 404, "NotFoundError"),
        ({"config": tree(node("codes", retriever_id="nobody"))}, 404, "NotFoundError"),
        ({"config": {"inference_strategy": "llm"}}, 403, "NotEnabledError"),
        ({"config": {"path_field": "folder"}}, 403, "NotEnabledError"),
        ({"config": flat(step_analytics={"a": 1})}, 403, "NotEnabledError"),
    ],
)
async def test_what_cannot_be_is_refused(
    api: httpx.AsyncClient, body: dict[str, Any], status: int, kind: str
) -> None:
    await prepared(api)
    await taxonomy(api)
    answer = await api.post("/v1/taxonomies", json={"taxonomy_name": "t", "config": flat(), **body})
    refused(answer, status, kind)


async def test_what_is_named_stays_and_a_rename_breaks_nothing(api: httpx.AsyncClient) -> None:
    await prepared(api)
    one = await taxonomy(api)
    refused(
        await api.post("/v1/retrievers", json={"retriever_name": "r", "stages": [enrich(taxonomy_id="none")]}),
        404,
        "NotFoundError",
    )
    # The placeholder of the SDK's model is no taxonomy.
    missing = {"retriever_name": "r", "stages": [enrich(taxonomy_id="{{TAXONOMY_ID}}")]}
    assert (
        "taxonomy_id" in refused(await api.post("/v1/retrievers", json=missing), 422, "ValidationError")["message"]
    )
    made = await make.retriever(api, "enriching", stages=[make.filter_stage(make.EBOLA), enrich()])
    assert made["stages"][1]["parameters"]["taxonomy_id"] == one["taxonomy_id"]
    assert (await api.patch("/v1/taxonomies/topics", json={"taxonomy_name": "other"})).status_code == 200
    for path, user in (
        ("/v1/taxonomies/other", "retriever 'enriching'"),
        ("/v1/retrievers/by code", "taxonomy 'other'"),
        ("/v1/collections/codes", "taxonomy 'other'"),
    ):
        error = refused(await api.delete(path), 409, "ConflictError")
        assert user in error["message"]
    for path in (
        "/v1/retrievers/enriching",
        "/v1/taxonomies/other",
        "/v1/retrievers/by code",
        "/v1/collections/codes",
    ):
        assert (await api.delete(path)).status_code == 200, path


async def test_taxonomies_of_other_namespaces_are_not_seen(api: httpx.AsyncClient) -> None:
    await prepared(api)
    await taxonomy(api)
    made = (await api.post("/v1/namespaces", json={"namespace_name": "other"})).json()
    api.headers["X-Namespace"] = made["namespace_id"]
    refused(await api.get("/v1/taxonomies/topics"), 404, "NotFoundError")
    assert (await api.get("/v1/taxonomies")).json()["results"] == []


async def test_an_attached_alert_feeds_what_its_taxonomy_matches_against(
    api: httpx.AsyncClient, here: Context
) -> None:
    """Also when the alert's inputs say which taxonomy that is."""
    ids = await prepared(api)
    news = (await make.collection(api, "news"))["collection_id"]
    await taxonomy(api)
    await taxonomy(api, tree(node("groups"), node("codes", "groups")), "tree")
    stages = [make.filter_stage(make.EBOLA), enrich(taxonomy_id="{{INPUT.which}}")]
    await make.retriever(api, "enriching", stages=stages)
    one = await make.alert(api, "enriching", "A", inputs={"which": "topics"})
    application = {"alert_id": one["alert_id"], "input_mappings": make.CONSTANT}
    attached = {"alert_applications": [application]}

    async def following() -> set[str]:
        async with here.database.connection() as connection:
            await connection.execute("UPDATE reference_feeds SET kept_until = now() - interval '1 s'")
            cursor = await connection.execute(
                "SELECT collection_id FROM reference_feeds WHERE state = 'following'"
            )
            return {row[0] for row in await cursor.fetchall()}

    assert (await api.patch(f"/v1/collections/{news}", json=attached)).status_code == 200
    assert await following() == {ids["codes"]}
    changed = await api.patch("/v1/alerts/A", json={"inputs": {"which": "tree"}})
    assert changed.status_code == 200, changed.text
    assert await following() == {ids["codes"], ids["groups"]}
    error = refused(await api.patch("/v1/alerts/A", json={"inputs": {"which": "none"}}), 409, "ConflictError")
    assert "there is no taxonomy 'none'" in error["message"]
    assert (await api.patch("/v1/alerts/A", json={"inputs": {"which": "topics"}})).status_code == 200
    assert await following() == {ids["codes"]}
    # No stage names the taxonomy, the alert does.
    error = refused(await api.delete("/v1/taxonomies/topics"), 409, "ConflictError")
    assert "'A'" in error["message"]
    assert (await api.get("/v1/taxonomies/topics")).status_code == 200
    assert (await api.delete("/v1/taxonomies/tree")).status_code == 200
    assert (await api.delete("/v1/alerts/A")).status_code == 200
    assert (await api.delete("/v1/taxonomies/topics")).status_code == 200


async def stored_codes(here: Context, api: httpx.AsyncClient) -> dict[str, str]:
    """Two codes and what they stand for, collected."""
    ids, namespace_id = await prepared(api), await ensure_namespace(here.database, here.settings.namespace)
    condition = {"field": "code", "operator": "eq", "value": "{{INPUT.code}}"}
    schema = {"code": {"type": "string"}}
    await make.retriever(api, "coded", stages=[make.filter_stage(condition)], input_schema=schema)
    payloads = {"a1": {"code": "A", "label": "arrivals"}, "b1": {"code": "B", "label": "border"}}
    await store(
        here.database,
        [
            DocumentEvent(UPSERTED, namespace_id, ids["codes"], name, NOW, payload=payload)
            for name, payload in payloads.items()
        ],
    )
    return ids


@pytest.mark.parametrize("path", ["/v1/taxonomies/topics/execute", "/v1/taxonomies/execute/topics"])
async def test_a_taxonomy_is_tried_out_on_documents(here: Context, api: httpx.AsyncClient, path: str) -> None:
    ids = await stored_codes(here, api)
    made = await taxonomy(api, flat(retriever_id="coded"))
    samples = [{"document_id": "one", "code": "A"}, {"code": "C"}, {"code": "B", "topic": "old"}]
    answer = await api.post(path, json={"source_documents": samples, "taxonomy": made})
    assert answer.status_code == 200, answer.text
    joined = answer.json()
    assert JoinResponse.from_dict(joined) is not None
    assert joined["stats"] == {"processed_docs": 3, "batches": 1, "errors": 0, "enriched": 2}
    assert [item.get("topic") for item in joined["results"]] == ["arrivals", None, "border"]
    assert joined["matches"] == [
        {
            "document_id": document,
            "taxonomy_id": made["taxonomy_id"],
            "taxonomy_name": "topics",
            "node_id": hit,
            "label": None,
            "score": None,
            "path": [ids["codes"]],
            "hierarchy_level": 0,
            "enriched_fields": ["topic"],
        }
        for document, hit in (("one", "a1"), ("document_2", "b1"))
    ]


async def test_documents_that_cannot_be_matched_are_told(here: Context, api: httpx.AsyncClient) -> None:
    await prepared(api)
    schema = {"code": {"type": "integer", "required": True}}
    await make.retriever(
        api,
        "by number",
        stages=[make.filter_stage({"field": "code", "operator": "eq", "value": "{{INPUT.code}}"})],
        input_schema=schema,
    )
    await taxonomy(api, flat(retriever_id="by number"))
    answer = await api.post("/v1/taxonomies/topics/execute", json={"source_documents": [{"code": "A"}]})
    joined = answer.json()
    assert (answer.status_code, joined["stats"]["errors"], joined["matches"]) == (200, 1, [])
    assert joined["errors"][0]["document_id"] == "document_0"
    assert "code" in joined["errors"][0]["error"]


async def test_what_cannot_be_tried_out_is_refused(api: httpx.AsyncClient) -> None:
    await prepared(api)
    await taxonomy(api)
    path, good = "/v1/taxonomies/topics/execute", {"source_documents": [{"code": "A"}]}
    refused(await api.post("/v1/taxonomies/none/execute", json=good), 404, "NotFoundError")
    refused(await api.post(f"{path}?version=2", json=good), 404, "NotFoundError")
    wrong: list[dict[str, Any]] = [{}, {"source_documents": []}, {"source_documents": [{"document_id": ""}]}]
    for body in wrong:
        refused(await api.post(path, json=body), 422, "ValidationError")
    for more in ({"join_mode": "batch"}, {"retriever": {"retriever_name": "r"}}):
        refused(await api.post(path, json={**good, **more}), 403, "NotEnabledError")
