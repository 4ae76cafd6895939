"""The newest result of an alert, in the shape the official SDK parses."""

from datetime import timedelta

from mixpeek.models.alert_execution_list_response import AlertExecutionListResponse
from mixpeek.models.alert_execution_result import AlertExecutionResult

from schemas.events.notification import DeliveryRecord
from schemas.ids import execution_id
from schemas.topics import MATCH_PROGRESS, NOTIFICATIONS
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version
from tests.query.asking import URI, body, missing, parsed, put
from tests.query.support import (
    NAMESPACE,
    NOON,
    apply,
    client,
    define_alert,
    define_collection,
    define_namespace,
    define_retriever,
    hit,
    progress,
    result,
)


async def test_the_latest_result_is_the_newest_execution(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await define_collection(context, "alt_a")
    newest = result(5, hit(alert, 0.5), at=NOON + timedelta(days=2))
    await put(context, result(1, hit(alert)), newest, result(2, hit(alert), at=NOON + timedelta(days=1)))
    await apply(context, MATCH_PROGRESS, progress(9, next_offset=6).encode())
    identifier = execution_id(newest.base, alert.record.number)
    delivery = DeliveryRecord(
        namespace_id=NAMESPACE,
        alert_id="alt_a",
        execution_id=identifier,
        channel_index=0,
        channel_type="webhook",
        status="failed",
        attempt=2,
        at=NOON,
        error="connection refused",
    )
    await apply(context, NOTIFICATIONS, delivery.encode())
    async with client(context) as http:
        found = await body(http, "/v1/alerts/alt_a/results")
        assert await body(http, "/v1/alerts/a/results") == found
        through = found.pop("checked_through")
        assert await body(http, f"/v1/alerts/executions/{identifier}") == found
    read = parsed(AlertExecutionResult, found)
    assert (read.execution_id, read.triggered, read.match_count) == (identifier, True, 1)
    assert found["executed_at"] == "2024-05-03T12:00:00.007Z"
    assert found["source_documents"] == ["doc_5"]
    assert found["collection_id"] == "col_a"
    assert found["reason"] == "severity is 5"
    assert found["deliveries"] == [{"channel_type": "webhook", "status": "failed", "error": "connection refused"}]
    assert found["matches"] == [
        {
            "document_id": "doc_5",
            "score": 0.5,
            "asset_id": None,
            "matched_features": {URI: 0.5},
            "metadata": {"title": "Title 5", "severity": 5},
        }
    ]
    assert through["position"] == {"col_a": {"0": 6}}
    assert through["occurred_at"] == "2024-05-01T11:59:00.000Z"


async def test_an_alert_without_matches_in_its_results_has_none(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a", include_matches=False)
    await put(context, result(1, hit(alert)))
    async with client(context) as http:
        found = await body(http, "/v1/alerts/alt_a/results")
    assert found["matches"] is None
    assert found["match_count"] == 1
    parsed(AlertExecutionResult, found)


async def test_a_score_outside_the_contract_is_brought_inside(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "a")
    await put(context, result(1, hit(alert, 1.0000001)), result(2, hit(alert, -0.25)))
    async with client(context) as http:
        listed = await body(http, "/v1/alerts/executions")
    parsed(AlertExecutionListResponse, listed)
    assert sorted(item["matches"][0]["score"] for item in listed["results"]) == [0.0, 1.0]


async def test_only_a_checked_alert_that_never_fired_has_a_derived_result(context: Context) -> None:
    await define_namespace(context)
    fired, silent = await define_alert(context, "a"), await define_alert(context, "b")
    await define_alert(context, "c")
    async with client(context) as http:
        attached = await define_collection(context, "alt_a", "alt_b")
        version = attached.record.version.number
        await apply(context, MATCH_PROGRESS, progress(version - 1).encode())
        assert await missing(http, "/v1/alerts/alt_b/results")
        await put(context, result(1, hit(fired)))
        await apply(context, MATCH_PROGRESS, progress(version, next_offset=12).encode())

        found = await body(http, "/v1/alerts/alt_b/results")
        read = parsed(AlertExecutionResult, found)
        assert (read.triggered, read.match_count, read.matches) == (False, 0, [])
        assert found["deliveries"] is None
        assert found["checked_through"]["position"] == {"col_a": {"0": 12}}
        identifier = found["execution_id"]
        assert (await body(http, f"/v1/alerts/executions/{identifier}"))["alert_id"] == "alt_b"
        for path, expected in (
            ("/v1/alerts/alt_b/executions", [identifier]),
            ("/v1/alerts/executions", [execution_id(result(1).base, fired.record.number), identifier]),
        ):
            listed = await body(http, path)
            parsed(AlertExecutionListResponse, listed)
            assert [item["execution_id"] for item in listed["results"]] == expected
            assert listed["total_count"] == len(expected)
        # Never attached on ingest, so never checked.
        assert await missing(http, "/v1/alerts/alt_c/results")
        assert (await body(http, "/v1/alerts/alt_c/executions"))["total_count"] == 0

        await apply(context, MATCH_PROGRESS, progress(version, at=NOON + timedelta(days=1)).encode())
        again = await body(http, "/v1/alerts/alt_b/results")
        assert again["execution_id"] == identifier
        assert again["executed_at"] == "2024-05-02T12:00:00.000Z"

        await put(context, result(7, hit(silent)))
        assert (await body(http, "/v1/alerts/alt_b/results"))["triggered"] is True
        assert await missing(http, f"/v1/alerts/executions/{identifier}")
        assert (await body(http, "/v1/alerts/executions"))["total_count"] == 2


async def test_an_alert_that_does_not_run_on_ingest_is_not_said_to_be_checked(context: Context) -> None:
    await define_namespace(context)
    await define_alert(context, "a")
    await define_collection(context, "alt_a", mode="scheduled")
    async with context.database.connection() as connection:
        version = await current_version(connection)
    await apply(context, MATCH_PROGRESS, progress(version.number).encode())
    async with client(context) as http:
        assert await missing(http, "/v1/alerts/alt_a/results")


async def test_an_alert_whose_retriever_changed_is_not_said_to_be_checked_by_it(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    await define_alert(context, "a")
    attached = await define_collection(context, "alt_a")
    await apply(context, MATCH_PROGRESS, progress(attached.record.version.number).encode())
    async with client(context) as http:
        before = await body(http, "/v1/alerts/alt_a/results")
        changed = await define_retriever(context)
        assert await missing(http, "/v1/alerts/alt_a/results")
        await apply(context, MATCH_PROGRESS, progress(changed.record.version.number, next_offset=11).encode())
        assert (await body(http, "/v1/alerts/alt_a/results"))["execution_id"] == before["execution_id"]
