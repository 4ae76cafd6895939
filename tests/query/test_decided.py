"""What windows and sweeps decide, and what documents only add to windows, in the read view."""

from dataclasses import replace
from datetime import timedelta

from mixpeek.models.alert_execution_result import AlertExecutionResult

from schemas.events.alert_result import Contribution, Found, encode_alert_result
from schemas.ids import execution_id
from schemas.topics import ALERT_RESULTS, MATCH_PROGRESS
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version, put_definition
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


async def test_what_was_decided_without_a_document(context: Context) -> None:
    await define_namespace(context)
    alert = await define_alert(context, "x")
    found = Found(7, [{"document_id": "d1", "score": 0.5, "metadata": {"at": "2024"}}], {})
    decided = replace(
        result(0, replace(hit(alert), reason="7 matches in 600 s", found=found)),
        base=bytes(range(12)),
        document_id="",
        source_topic="",
        document={},
    )
    quiet = replace(hit(alert), reason="no results", found=Found(0, [], {}), triggered=False)
    swept = replace(decided, base=bytes(range(1, 13)), appended_at=NOON + timedelta(seconds=1), hits=[quiet])
    await apply(context, ALERT_RESULTS, encode_alert_result(decided), encode_alert_result(swept))
    async with client(context) as http:
        (newest, first) = (await http.get("/v1/alerts/x/executions")).json()["results"]
        latest = (await http.get("/v1/alerts/x/results")).json()
    assert AlertExecutionResult.from_dict(first) is not None
    assert first["execution_id"] == execution_id(bytes(range(12)), alert.record.number)
    assert (first["triggered"], first["match_count"], first["source_documents"]) == (True, 7, [])
    assert (first["position"], first["reason"]) == (None, "7 matches in 600 s")
    assert [match["document_id"] for match in first["matches"]] == ["d1"]
    assert (newest["triggered"], newest["match_count"], newest["deliveries"]) == (False, 0, None)
    assert latest["execution_id"] == newest["execution_id"]


async def test_what_documents_add_to_windows_is_no_execution(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    body = {"name": "w", "retriever_id": "ret_a", "enabled": True, "window_seconds": 60, "notification_config": {}}
    async with context.database.transaction() as connection:
        await put_definition(connection, "alert", NAMESPACE, "alt_w", "w", body)
    await define_collection(context, "alt_w")
    adds = replace(result(0), contributions=(Contribution("alt_w", "s", 1, "event_time"),))
    await apply(context, ALERT_RESULTS, encode_alert_result(adds))
    async with context.database.transaction() as connection:
        version = (await current_version(connection)).number
        await connection.execute(
            "INSERT INTO alert_windows (namespace_id, alert_id, collection_id, series, through, created_at)"
            " VALUES (%s, 'alt_w', 'col_a', 's', 1714564800, now())",
            (NAMESPACE,),
        )
        stored = await (await connection.execute("SELECT count(*) FROM result_documents")).fetchone()
    assert stored == (0,)
    await apply(context, MATCH_PROGRESS, progress(version).encode())
    async with client(context) as http:
        latest = (await http.get("/v1/alerts/w/results")).json()
    assert latest["triggered"] is False
    assert latest["reason"] == "checked against every document so far, its condition has not held over a window"
    assert latest["checked_through"]["decided"] == {"col_a": "2024-05-01T12:00:00.000Z"}
