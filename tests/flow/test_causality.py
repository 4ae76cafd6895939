"""Definitions change while documents stream: no restart, no missed document, and nothing by definitions older than
what the writer saw (design section 3)."""

import asyncio
import time

from schemas.events.document import DocumentEvent, encode_document_event
from schemas.topics import DOCUMENTS
from streams.collect.station import build as collect
from streams.match.station import build as match
from streams.relay.station import build as relay
from streams.runtime.agent import Context
from streams.runtime.database import fetch_value
from tests.flow.system import changed, created, fired, system
from tests.match.support import NOW, committed, document_ends
from tests.support import eventually

CONSTANT = [{"input_key": "x", "source": {"source_type": "constant", "value": 1}}]
UNCONFIGURED = {"channels": [{"channel_type": "webhook"}]}
WITHIN_SECONDS = 1.0
"""How long after a change a plain producer's document may still be checked by what was before."""


def only(word: str) -> list[dict[str, object]]:
    parameters = {"field": "word", "operator": "eq", "value": word}
    return [{"stage_name": "word", "config": {"stage_id": "attribute_filter", "parameters": parameters}}]


class Stream:
    """A plain producer: documents one after the other, each with one of the words."""

    def __init__(self, context: Context, namespace_id: str, collection_id: str) -> None:
        self._context = context
        self._place = (namespace_id, collection_id)
        self.sent: list[tuple[str, str, float]] = []
        """Id and word of each document, and the monotonic time before it was sent."""

    async def run(self, stopping: asyncio.Event) -> None:
        producer = self._context.broker.producer()
        await producer.start()
        try:
            while not stopping.is_set():
                name, word = f"plain-{len(self.sent):05}", "ab"[len(self.sent) % 2]
                event = DocumentEvent("document.upserted", *self._place, name, NOW, payload={"word": word})
                now = time.monotonic()
                topic = self._context.broker.topic(DOCUMENTS)
                await producer.send_and_wait(topic, encode_document_event(event), key=event.key)
                self.sent.append((name, word, now))
        finally:
            await producer.stop()

    async def until(self, moment: float) -> list[tuple[str, str, float]]:
        """Wait until documents were sent after a moment; returns those sent since then."""

        async def several() -> list[tuple[str, str, float]]:
            since = [item for item in self.sent if item[2] >= moment]
            return since if len(since) >= 10 else []

        return await eventually(several, what="the stream goes on")


async def read_to(context: Context, ends: dict[int, int]) -> None:
    """Wait until match has committed up to some ends."""

    async def done() -> bool:
        reached = await committed(context)
        return all(reached.get(partition, 0) >= end for partition, end in ends.items())

    await eventually(done, timeout=60, every=0.1, what="everything sent so far is checked")


async def test_an_alert_changes_in_the_middle_of_a_stream(context: Context) -> None:
    async with system(context, (match, collect, relay)) as http:
        made = await created(
            http, "/v1/collections", {"collection_name": "news", "source": {"type": "direct_upsert"}}
        )
        await created(http, "/v1/retrievers", {"retriever_name": "wanted", "stages": only("a")})
        body = {"name": "Wanted", "retriever_id": "wanted", "notification_config": UNCONFIGURED}
        alert = (await created(http, "/v1/alerts", body))["alert_id"]
        async with context.database.connection() as connection:
            namespace = str(
                await fetch_value(connection, "SELECT namespace_id FROM definitions WHERE kind = 'collection'")
            )
        stream, stopping = Stream(context, namespace, made["collection_id"]), asyncio.Event()
        streaming = asyncio.create_task(stream.run(stopping))
        attached = [{"alert_id": alert, "input_mappings": CONSTANT}]
        states: list[tuple[str | None, str, dict[str, object]]] = [
            # The word that fires from here on, and the change that makes it so.
            ("a", "collections/news", {"alert_applications": attached}),
            ("b", "retrievers/wanted", {"stages": only("b")}),
            (None, "alerts/Wanted", {"enabled": False}),
            ("b", "alerts/Wanted", {"enabled": True}),
            ("a", "retrievers/wanted", {"stages": only("a")}),
            (None, "collections/news", {"alert_applications": []}),
        ]
        expected: dict[str, bool] = {}
        words: dict[int, str | None] = {0: None}
        for number, (word, path, change) in enumerate(states):
            await changed(http, f"/v1/{path}", change)
            answered = time.monotonic()
            async with context.database.connection() as connection:
                version = await fetch_value(connection, "SELECT definitions_version FROM stream_identity")
            words[int(version)] = word
            # Written through the API after the call has answered: nothing but the new state is right.
            for other in "ab":
                name = f"api-{number}-{other}"
                await created(http, "/v1/collections/news/documents", {"document_id": name, "word": other})
                expected[name] = other == word
            # Sent by the plain producer a second later, and checked before the next change is asked for.
            since = await stream.until(answered + WITHIN_SECONDS)
            expected |= {name: other == word for name, other, _ in since}
            await read_to(context, await document_ends(context))
        stopping.set()
        await streaming

        async def done() -> bool:
            async with context.database.connection() as connection:
                return bool(await fetch_value(connection, "SELECT count(*) = 0 FROM outbox"))

        await eventually(done, what="everything is published")
        await read_to(context, await document_ends(context))
    results = await fired(context)
    assert {name: name in results for name in expected} == expected
    assert len(stream.sent) > len(expected) > 60
    # Around a change, any version in force between write and commit: what fired did so by the version it names.
    sent = {name: word for name, word, _ in stream.sent}
    for name, record in results.items():
        in_force = words[max(version for version in words if version <= record.definitions_version)]
        assert in_force == sent.get(name, name[-1]), (name, record.definitions_version)
    # Versions only rise along a partition.
    for partition in {record.source_partition for record in results.values()}:
        places = [
            (record.source_offset, record.definitions_version)
            for record in results.values()
            if record.source_partition == partition
        ]
        versions = [version for _, version in sorted(places)]
        assert versions == sorted(versions)
