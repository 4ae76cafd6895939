"""Alerts and triggers whose effects come back to them: every circle ends (design section 3, Loops)."""

from typing import Any

import httpx

from schemas.events.alert_result import decode_alert_result
from schemas.events.document import DocumentEvent, decode_document_event
from schemas.headers import CAUSED_BY, header
from schemas.times import from_millis
from schemas.topics import ALERT_RESULTS, DOCUMENTS
from streams.act.station import build as act
from streams.notify.station import build as notify
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.flow.system import EVERYTHING, changed, created, system
from tests.log import read_topic
from tests.support import eventually

STATIONS = (*EVERYTHING, act, notify)
CONSTANT = [{"input_key": "x", "source": {"source_type": "constant", "value": 1}}]
UNCONFIGURED = {"channels": [{"channel_type": "webhook"}]}
EBOLA = {"field": "text", "operator": "text", "value": "ebola"}


async def collection(http: httpx.AsyncClient, name: str) -> str:
    body = {"collection_name": name, "source": {"type": "direct_upsert"}}
    return str((await created(http, "/v1/collections", body))["collection_id"])


async def put(http: httpx.AsyncClient, name: str, document_id: str, **fields: Any) -> None:
    await created(http, f"/v1/collections/{name}/documents", {"document_id": document_id, **fields})


async def on_event(http: httpx.AsyncClient, event: str, watched: str, action: str, **config: Any) -> str:
    """A trigger that fires on every event of a kind in a collection."""
    body = {
        "action_type": action,
        "action_config": config,
        "trigger_type": "event",
        "schedule_config": {"event_type": event, "collection_id": watched},
    }
    return str((await created(http, "/v1/triggers", body))["trigger_id"])


async def stage(http: httpx.AsyncClient, name: str, condition: dict[str, Any], **more: Any) -> None:
    config = {"stage_id": "attribute_filter", "parameters": {"conditions": condition}}
    body = {"retriever_name": name, "stages": [{"stage_name": "filter", "config": config}], **more}
    await created(http, "/v1/retrievers", body)


async def written(context: Context) -> list[tuple[DocumentEvent, str | None]]:
    """Every document event and the chain it carries, in order of append."""
    records = await read_topic(context, DOCUMENTS)
    found = []
    for record in sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset)):
        appended_at = from_millis(record.timestamp)
        event = decode_document_event(record.key, record.value, record.headers, appended_at=appended_at)
        found.append((event, header(record.headers, CAUSED_BY)))
    return found


async def fires(context: Context) -> list[tuple[str, str]]:
    """Every alert that fired, with the causes of what it fired on."""
    records = [decode_alert_result(record.value) for record in await read_topic(context, ALERT_RESULTS)]
    return sorted((hit.alert_id, ",".join(record.caused_by)) for record in records for hit in record.hits)


async def jobs(context: Context) -> list[tuple[str, str, str | None]]:
    """Trigger, status and error of every job."""
    async with context.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT trigger_id, status, error FROM jobs ORDER BY triggered_at, job_id"
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def at_rest(context: Context) -> list[tuple[DocumentEvent, str | None]]:
    """Wait until nothing is left to do: jobs ended, deliveries made, the outbox out, and all of the log collected
    and checked. Gives the log."""

    async def left() -> int:
        async with context.database.connection() as connection:
            query = (
                "SELECT (SELECT count(*) FROM jobs WHERE status IN ('pending', 'processing'))"
                " + (SELECT count(*) FROM deliveries WHERE state = 'pending') + (SELECT count(*) FROM outbox)"
            )
            return int(await fetch_value(connection, query))

    async def behind(station: str, topic: str) -> int:
        async with context.database.connection() as connection:
            query = "SELECT coalesce(sum(next_offset), 0) FROM positions WHERE station = %s AND topic = %s"
            return int(await fetch_value(connection, query, (station, topic)))

    async def rests() -> bool:
        before = await written(context)
        results = len(await read_topic(context, ALERT_RESULTS))
        if await left() or await behind("collect", context.broker.topic(DOCUMENTS)) < len(before):
            return False
        if await behind("notify", context.broker.topic(ALERT_RESULTS)) < results:
            return False
        if await checked(context) < len(before):
            return False
        # Whatever those two still made has shown by now.
        return not await left() and len(await written(context)) == len(before)

    await eventually(rests, timeout=60, every=0.2, what="everything comes to rest")
    return await written(context)


async def checked(context: Context) -> int:
    """How many documents match has been through, as the view knows."""
    async with context.database.connection() as connection:
        query = (
            "SELECT coalesce(sum(n), 0) FROM (SELECT max(next_offset) n FROM match_progress GROUP BY partition) p"
        )
        return int(await fetch_value(connection, query))


async def test_an_enrichment_into_its_own_collection_ends(context: Context) -> None:
    """It is set off by what is added and by what is updated, and an alert watches what it writes."""
    async with system(context, STATIONS) as http:
        news, topics = await collection(http, "news"), await collection(http, "topics")
        await put(http, "topics", "ebola", topic="outbreaks", word="ebola")
        await at_rest(context)
        await stage(http, "by word", {"field": "word", "operator": "eq", "value": "{{INPUT.word}}"})
        taxonomy = {
            "taxonomy_name": "topics",
            "config": {
                "retriever_id": "by word",
                "input_mappings": [{"input_key": "word", "source_type": "payload", "path": "word"}],
                "source_collection": {"collection_id": topics, "enrichment_fields": [{"field_path": "topic"}]},
            },
        }
        await created(http, "/v1/taxonomies", taxonomy)
        config = {"taxonomy_id": "topics", "collection_id": news}
        added = await on_event(http, "documents_added", news, "taxonomy_enrichment", **config)
        updated = await on_event(http, "documents_updated", news, "taxonomy_enrichment", **config)
        await stage(http, "enriched", {"field": "topic", "operator": "exists", "value": True})
        alert = await created(
            http, "/v1/alerts", {"name": "E", "retriever_id": "enriched", "notification_config": UNCONFIGURED}
        )
        await changed(
            http,
            "/v1/collections/news",
            {"alert_applications": [{"alert_id": alert["alert_id"], "input_mappings": CONSTANT}]},
        )
        await put(http, "news", "one", word="ebola")
        log = [(event.document_id, event.payload.get("topic"), chain) for event, chain in await at_rest(context)]
        # The enrichment of the first sets off the second trigger, which finds nothing left to do.
        assert log[1:] == [("one", None, None), ("one", "outbreaks", added)]
        assert [(trigger, status) for trigger, status, _ in await jobs(context)] == [
            (added, "completed"),
            (updated, "completed"),
        ]
        assert await fires(context) == [(alert["alert_id"], added)]


async def test_a_batch_channel_into_a_watched_collection_ends(context: Context) -> None:
    """The alert watches the collection it copies into too, and a trigger copies everything back."""
    async with system(context, STATIONS) as http:
        news, hits = await collection(http, "news"), await collection(http, "hits")
        await stage(http, "ebola", EBOLA)
        batch = {"channels": [{"channel_type": "batch", "config": {"collection_id": hits}}]}
        body = {"name": "Ebola", "retriever_id": "ebola", "notification_config": batch}
        alert = (await created(http, "/v1/alerts", body))["alert_id"]
        for name in ("news", "hits"):
            application = {"alert_id": alert, "input_mappings": CONSTANT}
            await changed(http, f"/v1/collections/{name}", {"alert_applications": [application]})
        back = await on_event(
            http, "documents_added", hits, "collection_trigger", collection_id=news, include_collections=[hits]
        )
        await put(http, "news", "one", text="ebola in liberia")
        await put(http, "news", "two", text="nothing of the kind")
        log = await at_rest(context)
        told = sorted((event.collection_id, event.document_id, chain or "") for event, chain in log)
        expected = [
            (news, "one", ""),
            (news, "two", ""),
            (hits, "one", alert),
            (news, "one", f"{alert},{back}"),
        ]
        assert told == sorted(expected)
        assert await fires(context) == [(alert, "")]


async def test_triggers_that_write_into_each_others_collections_end(context: Context) -> None:
    """Each fires once in a chain; one that would be its fifth cause is refused, and says so."""
    async with system(context, STATIONS) as http:
        a, b = await collection(http, "aaa"), await collection(http, "bbb")
        to_b = {"collection_id": b, "include_collections": [a]}
        to_a = {"collection_id": a, "include_collections": [b]}
        first = await on_event(http, "documents_added", a, "collection_trigger", **to_b)
        second = await on_event(http, "documents_added", b, "collection_trigger", **to_a)
        third = await on_event(http, "documents_updated", a, "collection_trigger", **to_b)
        fourth = await on_event(http, "documents_updated", b, "collection_trigger", **to_a)
        fifth = await on_event(http, "documents_updated", a, "collection_trigger", **to_b)
        await put(http, "aaa", "one", text="x")
        chains = [chain for _, chain in await at_rest(context)]
        assert max(len((chain or "").split(",")) for chain in chains) == 4
        ended = await jobs(context)
        failed = [(trigger, error) for trigger, status, error in ended if status == "failed"]
        assert failed
        for trigger, error in failed:
            assert error is not None
            assert error.endswith("or narrow its filters")
            assert f"→ {trigger}:" in error
        # Every other run was of a trigger that its chain did not hold yet.
        assert {trigger for trigger, *_ in ended} == {first, second, third, fourth, fifth}
