"""Look-up alerts against a watch list that lives: people who come, move and go while photographs arrive."""

import math
from typing import Any

import httpx
from mixpeek.models.alert_execution_result import AlertExecutionResult
from mixpeek.models.execution_detail import ExecutionDetail

from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.flow.system import changed, created, fired, system
from tests.match.support import committed, document_ends
from tests.support import eventually

FACE = "mixpeek://passthrough_extractor@v1/face"
UNCONFIGURED = {"channels": [{"channel_type": "webhook"}]}
FROM_DOCUMENT = [{"input_key": "face", "source": {"source_type": "document_field", "path": "features.face"}}]


def collection(name: str, **more: Any) -> dict[str, Any]:
    extractor = {
        "feature_extractor_name": "passthrough_extractor",
        "version": "v1",
        "parameters": {
            "extractor_type": "passthrough_extractor",
            "vector_fields": [{"field": "face", "name": "face", "dimensions": 2}],
        },
    }
    return {
        "collection_name": name,
        "source": {"type": "direct_upsert"},
        "feature_extractor": extractor,
        **more,
    }


def similar(min_score: float = 0.95, **more: Any) -> dict[str, Any]:
    search = {
        "feature_uri": FACE,
        "query": {"input_mode": "vector", "value": "{{INPUT.face}}"},
        "min_score": min_score,
        **more,
    }
    return {
        "stage_name": "alike",
        "config": {"stage_id": "feature_search", "parameters": {"searches": [search], "final_top_k": 50}},
    }


def angle(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


async def put(http: httpx.AsyncClient, where: str, name: str, degrees: float | None, **fields: Any) -> None:
    vectors = {} if degrees is None else {"vectors": {"face": angle(degrees)}}
    await created(http, f"/v1/collections/{where}/documents", {"document_id": name, **vectors, **fields})


async def readable(http: httpx.AsyncClient, where: str, name: str, **expected: Any) -> None:
    """Wait until a document was stored as it was written: until then only who reads it by HTTP sees it."""

    async def there() -> bool:
        shown = (await http.get(f"/v1/collections/{where}/documents/{name}")).json()
        return bool(shown.get("searchable_at")) and all(shown.get(key) == item for key, item in expected.items())

    await eventually(there, what=f"{name} is stored")


async def stored(context: Context) -> None:
    """Wait until every write over HTTP is stored."""

    async def done() -> bool:
        async with context.database.connection() as connection:
            return bool(await fetch_value(connection, "SELECT count(*) = 0 FROM document_writes"))

    await eventually(done, what="all writes are stored")


async def checked(context: Context) -> None:
    """Wait until everything that was published has been checked and the outbox is empty."""

    async def done() -> bool:
        async with context.database.connection() as connection:
            waiting = await fetch_value(connection, "SELECT count(*) FROM outbox WHERE topic = 'documents'")
        return waiting == 0 and await committed(context) == await document_ends(context)

    await eventually(done, timeout=30, every=0.1, what="everything is checked")


async def watch(http: httpx.AsyncClient, people: str, *stages: dict[str, Any], **alert: Any) -> str:
    """A retriever over people and an alert that asks it; returns the alert's id."""
    name = alert.pop("name", "Wanted")
    retriever = {
        "retriever_name": f"{name} people",
        "collection_identifiers": [people],
        "stages": list(stages) or [similar()],
        "input_schema": {"face": {"type": "array", "required": True}},
    }
    await created(http, "/v1/retrievers", retriever)
    body = {"name": name, "retriever_id": f"{name} people", "notification_config": UNCONFIGURED, **alert}
    return str((await created(http, "/v1/alerts", body))["alert_id"])


async def attach(http: httpx.AsyncClient, where: str, *alerts: str) -> None:
    applications = [{"alert_id": alert, "input_mappings": FROM_DOCUMENT} for alert in alerts]
    await changed(http, f"/v1/collections/{where}", {"alert_applications": applications})


async def test_a_watch_list_that_lives(context: Context) -> None:
    async with system(context) as http:
        people = (await created(http, "/v1/collections", collection("people")))["collection_id"]
        await created(http, "/v1/collections", collection("photos"))
        for number, name in enumerate(("ann", "bob", "cyd")):
            await put(http, "people", name, number * 60.0, role="suspect")
            await readable(http, "people", name)
        before = metrics.REFERENCES._value.get()
        await put(http, "photos", "early", 0)
        await checked(context)
        # Nothing looks anything up yet: the topic holds nothing and nobody reads it.
        assert metrics.REFERENCES._value.get() == before
        alert = await watch(http, people)
        await attach(http, "photos", alert)

        # Everything stored before the alert is at hand when the call that attached it has answered.
        await put(http, "photos", "one", 1.0, place="station")
        await put(http, "photos", "none", 30.0)
        await checked(context)
        results = await fired(context)
        assert set(results) == {"one"}
        (hit,) = results["one"].hits
        assert hit.found is not None
        assert [(item["document_id"], item["score"]) for item in hit.found.matches] == [("ann", 0.999848)]
        assert hit.found.matches[0]["matched_features"] == {FACE: 0.999848}
        assert hit.found.matches[0]["metadata"]["role"] == "suspect"
        assert sum(hit.found.position.values()) == 3
        assert results["one"].document["place"] == "station"

        # A document whose writer has seen a new, moved or deleted person is checked against it.
        await put(http, "people", "dan", 30.0)
        await readable(http, "people", "dan")
        await put(http, "photos", "two", 30.0)
        await put(http, "people", "ann", 180.0, role="moved")
        await readable(http, "people", "ann", role="moved")
        await put(http, "photos", "three", 1.0)
        await put(http, "photos", "four", 180.0)
        assert (await http.delete("/v1/collections/people/documents/bob")).status_code == 200
        await stored(context)
        await put(http, "photos", "five", 60.0)
        await checked(context)
        found = {
            name: [match["document_id"] for match in record.hits[0].found.matches]
            for name, record in (await fired(context)).items()
            if record.hits[0].found is not None
        }
        assert found == {"one": ["ann"], "two": ["dan"], "four": ["ann"]}

        # What HTTP says of it: the result, and the execution of the retriever under the same id.
        async def served() -> bool:
            return bool((await http.get(f"/v1/alerts/{alert}/executions")).json()["total_count"] == 3)

        await eventually(served, what="the view holds the executions")
        (identifier, _), *_ = results["one"].executions()
        shown = (await http.get(f"/v1/alerts/executions/{identifier}")).json()
        AlertExecutionResult.from_dict(shown)
        assert (shown["match_count"], shown["source_documents"]) == (1, ["one"])
        assert [match["document_id"] for match in shown["matches"]] == ["ann"]
        assert sum(shown["reference_position"].values()) == 3
        path = f"/v1/retrievers/Wanted people/executions/{identifier}"
        detail = (await http.get(path)).json()
        ExecutionDetail.from_dict(detail)
        assert [document["document_id"] for document in detail["documents"]] == ["ann"]
        assert detail["stage_statistics"]["stages"]["alike"] == {
            **detail["stage_statistics"]["stages"]["alike"],
            "input_count": 3,
            "output_count": 1,
        }
        assert detail["alert_id"] == alert

        # The list cannot be deleted under the alert; without the alert nothing is read any more.
        answer = await http.delete("/v1/collections/people")
        assert answer.status_code == 409, answer.text
        assert "Wanted" in answer.json()["error"]["message"]
        await attach(http, "photos")
        await put(http, "photos", "six", 30.0)
        await checked(context)
        taken = metrics.REFERENCES._value.get()
        await put(http, "people", "eve", 1.0)
        await readable(http, "people", "eve")
        await put(http, "photos", "seven", 30.0)
        await checked(context)
        assert metrics.REFERENCES._value.get() == taken
        assert "six" not in await fired(context)
        assert (await http.delete("/v1/collections/people")).status_code == 200


async def test_conditions_of_look_ups(context: Context) -> None:
    """min_count, no_results, thresholds on an aggregate, phases, and a document in the list it is looked up in."""
    async with system(context) as http:
        people = (await created(http, "/v1/collections", collection("people")))["collection_id"]
        await created(http, "/v1/collections", collection("photos"))
        figures = {
            "stage_name": "figures",
            "config": {
                "stage_id": "aggregate",
                "parameters": {"aggregations": [{"function": "sum", "field": "points", "alias": "danger"}]},
            },
        }
        crowd = await watch(http, people, name="Crowd", min_count=3)
        nobody = await watch(http, people, name="Nobody", trigger_on="no_results")
        danger = await watch(
            http,
            people,
            similar(),
            figures,
            name="Danger",
            threshold={"field": "danger", "operator": "gte", "value": 10},
        )
        applications = [
            {"alert_id": crowd, "input_mappings": FROM_DOCUMENT, "priority": 1},
            {"alert_id": nobody, "input_mappings": FROM_DOCUMENT, "execution_phase": 1},
            {"alert_id": danger, "input_mappings": FROM_DOCUMENT, "priority": 9},
        ]
        await changed(http, "/v1/collections/photos", {"alert_applications": applications})
        # An empty list finds nobody.
        await put(http, "photos", "first", 0)
        await checked(context)
        for number, (name, points) in enumerate({"ann": 4, "bob": 5, "cyd": 6}.items()):
            await put(http, "people", name, number * 1.0, points=points)
            await readable(http, "people", name)
        await put(http, "photos", "three", 1.0)
        await put(http, "photos", "two", -17.6)
        await put(http, "photos", "nobody", 90.0)
        await put(http, "photos", "faceless", None)
        await checked(context)
        found = {
            name: [(hit.alert_id, hit.found.count, hit.reason) for hit in record.hits if hit.found is not None]
            for name, record in (await fired(context)).items()
        }
        assert found == {
            "first": [(nobody, 0, "no results")],
            "three": [(danger, 1, "1 result; danger gte 10"), (crowd, 3, "3 results, at least 3 wanted")],
            "nobody": [(nobody, 0, "no results")],
        }

        # A document is never found by its own look-up, now or when it comes again.
        same = await watch(http, people, name="Same", trigger_on="results")
        await attach(http, "people", same)
        await put(http, "people", "eve", 90.0)
        await readable(http, "people", "eve")
        await put(http, "people", "eve", 90.0, again=True)
        await readable(http, "people", "eve", again=True)
        await put(http, "people", "fay", 90.0)
        await checked(context)
        results = await fired(context)
        assert "eve" not in results
        assert [match["document_id"] for match in results["fay"].hits[0].found.matches] == ["eve"]  # type: ignore[union-attr]


async def test_a_plan_goes_on_with_the_matching_document(context: Context) -> None:
    """A percolated alert whose retriever enriches what matched: the match carries what was joined in, and one that
    has nothing to join does not fire."""
    async with system(context) as http:
        await created(http, "/v1/collections", collection("people"))
        photos = (await created(http, "/v1/collections", collection("photos")))["collection_id"]
        await put(http, "people", "ann", 0, role="suspect")
        await readable(http, "people", "ann")
        parameters = {
            "target_collection_id": "people",
            "source_field": "person",
            "fields_to_merge": ["role"],
            "allow_missing": False,
        }
        severe = {"field": "level", "operator": "gte", "value": 5}
        retriever = {
            "retriever_name": "severe",
            "collection_identifiers": [photos],
            "stages": [
                {
                    "stage_name": "severe",
                    "config": {"stage_id": "attribute_filter", "parameters": {"conditions": severe}},
                },
                {"stage_name": "who", "config": {"stage_id": "document_enrich", "parameters": parameters}},
            ],
        }
        await created(http, "/v1/retrievers", retriever)
        body = {"name": "Severe", "retriever_id": "severe", "notification_config": UNCONFIGURED}
        alert = (await created(http, "/v1/alerts", body))["alert_id"]
        constant = [{"input_key": "x", "source": {"source_type": "constant", "value": 1}}]
        application = {"alert_id": alert, "input_mappings": constant}
        await changed(http, "/v1/collections/photos", {"alert_applications": [application]})
        await put(http, "photos", "known", None, level=7, person="ann")
        await put(http, "photos", "unknown", None, level=7, person="zoe")
        await put(http, "photos", "mild", None, level=1, person="ann")
        await checked(context)
        results = await fired(context)
        assert set(results) == {"known"}
        (hit,) = results["known"].hits
        assert hit.found is not None
        assert hit.found.matches[0]["document_id"] == "known"
        assert hit.found.matches[0]["metadata"]["role"] == "suspect"
        assert hit.found.matches[0]["metadata"]["level"] == 7
