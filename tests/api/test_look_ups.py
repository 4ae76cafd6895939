"""What may be attached on ingest: what is percolated, what is looked up, what is refused and in which words."""

from typing import Any

import httpx
import pytest

from streams.api import references
from streams.runtime.agent import Context
from tests.api import make
from tests.api.make import CONSTANT, refused

FACE = "mixpeek://passthrough_extractor@v1/face"
FROM_DOCUMENT = [{"input_key": "face", "source": {"source_type": "document_field", "path": "features.face"}}]


def stage(stage_id: str, **parameters: Any) -> dict[str, Any]:
    return {"stage_name": stage_id, "config": {"stage_id": stage_id, "parameters": parameters}}


def alike(**more: Any) -> dict[str, Any]:
    return stage(
        "feature_search", searches=[{"feature_uri": FACE, "query": "{{INPUT.face}}", "min_score": 0.9, **more}]
    )


async def feeds(context: Context) -> dict[str, str]:
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT collection_id, state FROM reference_feeds")
        return dict(await cursor.fetchall())


async def watching(api: httpx.AsyncClient, **alert: Any) -> tuple[str, str]:
    """Collections people and photos, and an alert that looks photos up; the ids of people and of the alert."""
    people = (await make.collection(api, "people"))["collection_id"]
    await make.collection(api, "photos")
    await make.retriever(api, "faces", stages=[alike()], collection_identifiers=["people"])
    made = await make.alert(api, "faces", "Wanted", **alert)
    return people, made["alert_id"]


async def attach(api: httpx.AsyncClient, alert: str, mappings: Any = FROM_DOCUMENT, **more: Any) -> httpx.Response:
    application = {"alert_id": alert, "input_mappings": mappings, **more}
    return await api.patch("/v1/collections/photos", json={"alert_applications": [application]})


async def test_a_look_up_is_attached_and_its_collection_is_fed(api: httpx.AsyncClient, here: Context) -> None:
    people, alert = await watching(api, min_count=3, trigger_on="results")
    assert (await attach(api, alert)).status_code == 200
    assert await feeds(here) == {people: "following"}
    error = refused(await api.delete("/v1/collections/people"), 409, "ConflictError")
    assert "Wanted" in error["message"]
    # What an on-demand attachment names is nobody's business until it is asked for.
    async with here.database.connection() as connection:
        await connection.execute("UPDATE reference_feeds SET kept_until = now() - interval '1 s'")
    assert (await attach(api, alert, execution_mode="on_demand")).status_code == 200
    assert await feeds(here) == {people: "draining"}
    assert (await attach(api, alert)).status_code == 200
    assert await feeds(here) == {people: "following"}


@pytest.mark.parametrize("mode", ["scheduled", "on_demand"])
async def test_what_is_not_checked_on_arrival_is_kept_whatever_it_asks(api: httpx.AsyncClient, mode: str) -> None:
    _, alert = await watching(api, trigger_on="no_results")
    made = (await attach(api, alert, CONSTANT, execution_mode=mode)).json()
    assert made["alert_applications"][0]["execution_mode"] == mode


@pytest.mark.parametrize(
    ("stages", "alert", "mappings", "words"),
    [
        # Percolated: what needs other documents.
        ([make.filter_stage(make.EBOLA)], {"min_count": 2}, CONSTANT, "min_count 2 needs other documents"),
        ([make.filter_stage(make.EBOLA)], {"trigger_on": "no_results"}, CONSTANT, "no_results"),
        ([make.filter_stage(make.EBOLA), stage("mmr")], {}, CONSTANT, "mmr"),
        ([make.filter_stage(make.EBOLA), stage("sample")], {}, CONSTANT, "sample"),
        ([stage("limit", limit=3)], {}, CONSTANT, "every document"),
        ([alike()], {}, CONSTANT, "face"),
        # A tail must say beforehand what it reads.
        (
            [make.filter_stage(make.EBOLA), stage("document_enrich", target_collection_id="{{DOC.where}}")],
            {},
            CONSTANT,
            "DOC",
        ),
    ],
)
async def test_what_one_document_cannot_decide_is_refused(
    api: httpx.AsyncClient, stages: list[dict[str, Any]], alert: dict[str, Any], mappings: Any, words: str
) -> None:
    await make.collection(api, "photos")
    answer = await api.post("/v1/retrievers", json={"retriever_name": "r", "stages": stages})
    if answer.status_code == 422:
        # Refused as soon as it is written.
        assert words in answer.text
        return
    made = await make.alert(api, "r", "A", **alert)
    error = refused(await attach(api, made["alert_id"], mappings), 422, "ValidationError")
    assert "cannot be attached on ingest" in error["message"]
    assert words in error["message"]
    assert error["details"]["validation_errors"][0]["location"] == ["body", "alert_applications", 0]


async def test_a_look_up_needs_to_know_where(api: httpx.AsyncClient) -> None:
    await make.collection(api, "photos")
    await make.retriever(api, "anywhere", stages=[alike()])
    made = await make.alert(api, "anywhere", "A")
    error = refused(await attach(api, made["alert_id"]), 422, "ValidationError")
    assert "collection_identifiers" in error["message"]


async def test_a_change_that_would_break_a_look_up_is_refused(api: httpx.AsyncClient) -> None:
    _, alert = await watching(api)
    assert (await attach(api, alert)).status_code == 200
    nowhere: dict[str, list[str]] = {"collection_identifiers": []}
    error = refused(await api.patch("/v1/retrievers/faces", json=nowhere), 409, "ConflictError")
    assert "'Wanted' is attached on ingest to collection 'photos'" in error["message"]
    # What a percolation could not do, a look-up can.
    for change in ({"min_count": 4}, {"trigger_on": "no_results"}):
        assert (await api.patch(f"/v1/alerts/{alert}", json=change)).status_code == 200


async def test_a_call_waits_until_stored_documents_are_fed(
    api: httpx.AsyncClient, here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without stations that feed, an attachment is refused, and nothing of it has happened."""
    people, alert = await watching(api)
    async with here.database.connection() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, occurred_at, appended_at, partition,"
            " record_offset, created_at) SELECT namespace_id, %s, 'ann', now(), now(), 0, 0, now()"
            " FROM definitions WHERE id = %s",
            (people, people),
        )
    monkeypatch.setattr(references, "WAIT_SECONDS", 0.3)
    answer = await attach(api, alert)
    error = refused(answer, 503, "ServiceUnavailableError")
    assert answer.headers["Retry-After"]
    assert people in error["message"]
    assert await feeds(here) == {people: "seeding"}
    assert (await api.get("/v1/collections/photos")).json()["alert_applications"] is None
    async with here.database.connection() as connection:
        await connection.execute("UPDATE reference_feeds SET state = 'following'")
    assert (await attach(api, alert)).status_code == 200


async def test_feeds_go_with_their_namespace(api: httpx.AsyncClient, here: Context) -> None:
    made = (await api.post("/v1/namespaces", json={"namespace_name": "other"})).json()
    api.headers["X-Namespace"] = made["namespace_id"]
    people, alert = await watching(api)
    assert (await attach(api, alert)).status_code == 200
    assert await feeds(here) == {people: "following"}
    del api.headers["X-Namespace"]
    assert (await api.delete(f"/v1/namespaces/{made['namespace_id']}?force=true")).status_code == 200
    assert await feeds(here) == {}
