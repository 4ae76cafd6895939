"""Alerts that match arriving documents against taxonomies, while what they match against changes."""

from typing import Any

import httpx

from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.flow.system import changed, created, fired, system
from tests.flow.test_watch_list import (
    FACE,
    UNCONFIGURED,
    attach,
    checked,
    collection,
    put,
    readable,
)

CONSTANT = [{"input_key": "x", "source": {"source_type": "constant", "value": 1}}]
BY_FACE = [{"input_key": "face", "source_type": "vector", "path": FACE}]
FIELDS = [{"field_path": "label", "target_field": "role"}]


def stage(stage_id: str, name: str, **parameters: Any) -> dict[str, Any]:
    return {"stage_name": name, "config": {"stage_id": stage_id, "parameters": parameters}}


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    condition = {"field": field, "operator": operator, "value": value}
    return stage("attribute_filter", f"{field} {operator}", conditions=condition)


def alike(min_score: float = 0.9) -> dict[str, Any]:
    query = {"input_mode": "vector", "value": "{{INPUT.face}}"}
    search = {"feature_uri": FACE, "query": query, "min_score": min_score}
    return stage("feature_search", "alike", searches=[search])


async def retriever(http: httpx.AsyncClient, name: str, *stages: dict[str, Any], **more: Any) -> None:
    await created(http, "/v1/retrievers", {"retriever_name": name, "stages": list(stages), **more})


async def alert(http: httpx.AsyncClient, name: str, retriever: str, **more: Any) -> str:
    body = {"name": name, "retriever_id": retriever, "notification_config": UNCONFIGURED, **more}
    return str((await created(http, "/v1/alerts", body))["alert_id"])


async def feeds(context: Context) -> set[str]:
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT collection_id FROM reference_feeds WHERE state = 'following'")
        return {row[0] for row in await cursor.fetchall()}


async def roles(context: Context) -> dict[str, Any]:
    """Document → the role that its first match carries."""
    return {
        name: record.hits[0].found.matches[0]["metadata"].get("role")
        for name, record in (await fired(context)).items()
        if record.hits[0].found is not None
    }


async def test_a_flat_taxonomy_decides_an_alert(context: Context) -> None:
    """Only documents of one node fire; what the node holds may change, and how it is matched."""
    async with system(context) as http:
        kinds = (await created(http, "/v1/collections", collection("kinds")))["collection_id"]
        others = (await created(http, "/v1/collections", collection("others")))["collection_id"]
        photos = (await created(http, "/v1/collections", collection("photos")))["collection_id"]
        for name, degrees, label in (("s", 0.0, "suspect"), ("w", 90.0, "witness")):
            await put(http, "kinds", name, degrees, label=label)
            await readable(http, "kinds", name)
        await retriever(http, "nearest kind", alike())
        source = {"collection_id": "kinds", "enrichment_fields": FIELDS}
        config = {"retriever_id": "nearest kind", "input_mappings": BY_FACE, "source_collection": source}
        await created(http, "/v1/taxonomies", {"taxonomy_name": "people", "config": config})
        await retriever(
            http,
            "severe suspects",
            where("level", "gte", 5),
            stage("taxonomy_enrich", "who", taxonomy_id="people", top_k=1),
            where("role", "eq", "suspect"),
            collection_identifiers=[photos],
        )
        severe = await alert(http, "Severe", "severe suspects")
        application = {"alert_id": severe, "input_mappings": CONSTANT}
        await changed(http, "/v1/collections/photos", {"alert_applications": [application]})
        assert await feeds(context) == {kinds}
        await put(http, "photos", "one", 3.0, level=7)
        await put(http, "photos", "mild", 3.0, level=1)
        await put(http, "photos", "witness", 88.0, level=7)
        await put(http, "photos", "nobody", 45.0, level=7)
        await put(http, "photos", "faceless", None, level=7)
        await checked(context)
        assert await roles(context) == {"one": "suspect"}

        # A new document of the taxonomy, and one that changes.
        await put(http, "kinds", "t", 45.0, label="suspect")
        await readable(http, "kinds", "t")
        await put(http, "kinds", "s", 0.0, label="cleared")
        await readable(http, "kinds", "s", label="cleared")
        await put(http, "photos", "two", 44.0, level=7)
        await put(http, "photos", "three", 1.0, level=7)
        await checked(context)
        assert await roles(context) == {"one": "suspect", "two": "suspect"}

        # The taxonomy's retriever begins to read another collection; the alert follows with the answer.
        await put(http, "others", "o", None, kind="witness", role="suspect")
        await readable(http, "others", "o")
        relabel = stage(
            "document_enrich",
            "relabel",
            target_collection_id="others",
            source_field="label",
            target_field="kind",
            fields_to_merge=["role"],
            output_field="other",
        )
        as_label = stage("json_transform", "as label", template='{"label": {{ DOC.other.role | tojson }}}')
        await changed(http, "/v1/retrievers/nearest kind", {"stages": [alike(), relabel, as_label]})
        assert await feeds(context) == {kinds, others}
        await put(http, "photos", "four", 89.0, level=7)
        await checked(context)
        assert await roles(context) == {"one": "suspect", "two": "suspect", "four": "suspect"}

        # What the alert needs cannot be taken away under it, nor changed so that it would not work.
        for path in ("taxonomies/people", "collections/kinds", "collections/others", "retrievers/nearest kind"):
            answer = await http.delete(f"/v1/{path}")
            assert answer.status_code == 409, answer.text
        whole = stage("document_enrich", "any", retriever_config={"stages": [alike()]})
        answer = await http.patch("/v1/retrievers/nearest kind", json={"stages": [alike(), whole]})
        assert answer.status_code == 409, answer.text
        assert "Severe" in answer.json()["error"]["message"]


async def test_a_hierarchy_in_a_look_up(context: Context) -> None:
    """A look-up whose results are matched against a tree: only those that reach a leaf count."""
    async with system(context) as http:
        ids = {}
        for name in ("people", "photos", "groups", "leaders"):
            ids[name] = (await created(http, "/v1/collections", collection(name)))["collection_id"]
        await put(http, "groups", "g", None, team="red", area="north")
        await put(http, "leaders", "l", None, team="red", chief=True)
        for number, (name, team) in enumerate({"ann": "red", "bob": "blue"}.items()):
            await put(http, "people", name, number * 90.0, team=team)
        for where_, name in (("groups", "g"), ("leaders", "l"), ("people", "ann"), ("people", "bob")):
            await readable(http, where_, name)
        await retriever(http, "by team", where("team", "eq", "{{INPUT.team}}"))
        nodes = [
            {"collection_id": "groups", "enrichment_fields": [{"field_path": "area"}], "label": "Group"},
            {
                "collection_id": "leaders",
                "parent_collection_id": "groups",
                "enrichment_fields": [{"field_path": "chief"}],
                "label": "Leader",
            },
        ]
        config = {
            "taxonomy_type": "hierarchical",
            "retriever_id": "by team",
            "input_mappings": [{"input_key": "team", "source_type": "payload"}],
            "hierarchical_nodes": nodes,
        }
        await created(http, "/v1/taxonomies", {"taxonomy_name": "teams", "config": config})
        await retriever(
            http,
            "chiefs",
            alike(),
            stage("taxonomy_enrich", "teams", taxonomy_id="teams", result_field="team_match"),
            where("chief", "eq", True),
            collection_identifiers=["people"],
            input_schema={"face": {"type": "array", "required": True}},
        )
        chiefs = await alert(http, "Chiefs", "chiefs")
        await attach(http, "photos", chiefs)
        assert await feeds(context) == {ids["people"], ids["groups"], ids["leaders"]}
        await put(http, "photos", "of ann", 2.0)
        await put(http, "photos", "of bob", 88.0)
        await checked(context)
        results = await fired(context)
        assert set(results) == {"of ann"}
        (hit,) = results["of ann"].hits
        assert hit.found is not None
        (match,) = hit.found.matches
        assert (match["document_id"], match["metadata"]["area"]) == ("ann", "north")
        assert match["metadata"]["team_match"]["path"] == ["Group", "Leader"]
        async with context.database.connection() as connection:
            assert await fetch_value(connection, "SELECT count(*) FROM reference_feeds") == 3
        await changed(http, "/v1/collections/photos", {"alert_applications": []})
        for path in ("alerts/Chiefs", "retrievers/chiefs", "taxonomies/teams", "retrievers/by team"):
            assert (await http.delete(f"/v1/{path}")).status_code == 200
