"""Reads wait for one's own write, whichever station is behind, and say how far the view is."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime

import httpx

from schemas.events.document import UPSERTED, DocumentEvent, encode_document_event
from schemas.topics import DOCUMENTS
from streams.collect.station import build as collect
from streams.match.station import build as match
from streams.query.rebuilding import empty_view
from streams.query.station import build as query
from streams.relay.station import build as relay
from streams.runtime.agent import Context, StreamAgent
from tests.api import make
from tests.api.make import refused
from tests.flow.system import Build, changed, system
from tests.match.support import NOW
from tests.support import at_work, eventually

WAITING = 0.4


def station(context: Context, build: Build) -> AbstractAsyncContextManager[StreamAgent]:
    return at_work(build(context))


async def watched(http: httpx.AsyncClient) -> tuple[str, str]:
    """A collection and the alert on it."""
    collection = (await make.collection(http))["collection_id"]
    retriever = (await make.retriever(http))["retriever_id"]
    alert = (await make.alert(http, retriever))["alert_id"]
    await changed(
        http,
        f"/v1/collections/{collection}",
        {
            "alert_applications": [
                {"alert_id": alert, "execution_mode": "on_ingest", "input_mappings": make.CONSTANT}
            ]
        },
    )
    return collection, alert


def applied_at(answer: httpx.Response) -> datetime:
    return datetime.fromisoformat(answer.headers["X-Applied-At"])


async def test_a_read_with_a_token_sees_the_results_of_the_write_or_says_come_again(context: Context) -> None:
    short = replace(context, settings=context.settings.model_copy(update={"read_wait_seconds": WAITING}))
    async with system(short, [match, collect, relay]) as http:
        collection, alert = await watched(http)
        results = f"/v1/alerts/{alert}/results"

        async with station(context, query):
            written = await http.post(f"/v1/collections/{collection}/documents", json={"text": "ebola one"})
            token = written.headers["X-Write-Token"]

            async def there() -> list[httpx.Response]:
                # Stations may take longer than a read waits; then it says so, and never shows what was before.
                answer = await http.get(results, params={"min_position": token})
                return [] if answer.status_code == 503 else [answer]

            (answer,) = await eventually(there)
            assert answer.status_code == 200, answer.text
            first = answer.json()["execution_id"]
            fresh = applied_at(answer)

        # The view stands still: a read without a token gets what there is, one with a token is not put off.
        written = await http.post(f"/v1/collections/{collection}/documents", json={"text": "ebola two"})
        second = written.headers["X-Write-Token"]
        assert second != token
        answer = await http.get(results, headers={"X-Min-Position": f"{token},{second}"})
        error = refused(answer, 503, "ServiceUnavailableError")
        assert error["details"] == {"retryable": True, "retry_after_seconds": 2}
        assert answer.headers["Retry-After"] == "2"

        async def behind() -> bool:
            answer = await http.get(results)
            assert answer.json()["execution_id"] == first
            return applied_at(answer) == frozen

        # How far it was is told, and does not move while it stands, however long that is.
        await asyncio.sleep(0)
        frozen = applied_at(await http.get(results))
        assert frozen >= fresh
        await eventually(behind)
        # Documents do not wait for the view.
        listed = await http.post(f"/v1/collections/{collection}/documents/list", params={"min_position": second})
        assert listed.status_code in (200, 503)

        async with station(context, query):

            async def again() -> list[httpx.Response]:
                answer = await http.get(results, params={"min_position": second})
                return [answer] if answer.status_code == 200 else []

            (answer,) = await eventually(again)
            assert answer.json()["execution_id"] != first

            async def caught_up() -> bool:
                return applied_at(await http.get(results)) > frozen

            await eventually(caught_up)

        # Nor is what was true of a view that is emptied true of the next.
        await empty_view(context.database)

        async def forgotten() -> bool:
            return applied_at(await http.get("/v1/alerts/executions")) < fresh

        await eventually(forgotten)


async def test_a_producer_waits_by_where_its_record_is(context: Context) -> None:
    async with system(context) as http:
        collection, alert = await watched(http)
        namespace = (await http.get("/v1/namespaces/default")).json()["namespace_id"]
        producer = context.broker.producer()
        await producer.start()
        try:
            event = DocumentEvent(UPSERTED, namespace, collection, "doc_own", NOW, text="ebola here")
            record = await producer.send_and_wait(
                context.broker.topic(DOCUMENTS), encode_document_event(event), key=event.key
            )
        finally:
            await producer.stop()
        position = f"{record.partition}:{record.offset}"

        async def there() -> list[httpx.Response]:
            # An attachment applies to a plain producer's documents within a second.
            answer = await http.get(f"/v1/alerts/{alert}/executions", params={"min_position": position})
            return [] if answer.status_code == 503 else [answer]

        (answer,) = await eventually(there)
        assert answer.status_code == 200, answer.text
        read = await http.get(f"/v1/collections/{collection}/documents/doc_own", params={"min_position": position})
        assert read.status_code in (200, 503), read.text


async def test_what_is_no_position_is_refused_and_what_nobody_wrote_is_not_waited_for(context: Context) -> None:
    short = replace(context, settings=context.settings.model_copy(update={"read_wait_seconds": 0.1}))
    async with system(short, [relay]) as http:
        for wrong in ("yesterday", "1:2:3", "wt_", "1:1;DROP TABLE outbox", "\u0663:1"):
            answer = await http.get("/v1/alerts/executions", params={"min_position": wrong})
            error = refused(answer, 400, "BadRequestError")
            assert "neither a write token nor partition:offset" in error["message"]
        for absent in ("0:999999999999", "0:0", "2147483647:0", "wt_ffffffffffffffff"):
            answer = await http.get("/v1/alerts/executions", params={"min_position": f"wt_1,{absent}"})
            error = refused(answer, 404, "NotFoundError")
            assert error["details"] == {"resource": "position", "id": absent}
        # A transaction that wrote nothing, or so long ago that nobody knows, is no reason to wait.
        answer = await http.get("/v1/alerts/executions", params={"min_position": "wt_1"})
        assert answer.status_code == 200, answer.text
        # Nobody waits without a key.
        answer = await http.get("/v1/alerts", params={"min_position": "0:9"}, headers={"Authorization": ""})
        assert answer.status_code == 401
