"""Batch channels: documents an alert fired on, copied into a collection through the outbox.

A copy is a whole document event with the vectors that came with the document, caused by the alert: no alert or
trigger that it is an effect of fires on it, so a batch channel into a watched collection ends (design section 3,
Loops). Its event id derives from the delivery: an attempt that is made again copies nothing twice.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from schemas.events.document import DocumentEvent
from schemas.ids import derived_id
from schemas.topics import DOCUMENTS
from streams.notify.channels import Into
from streams.notify.copying import Copy, read_copy
from streams.notify.leases import Claimed
from streams.notify.retry import Outcome
from streams.retrieval.reading import Stored
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import find_definition
from streams.runtime.writes import DocumentTooLargeError, Write, copy_of, existing_ids, queue_writes, write_of

WAIT_SECONDS: Final = 5.0
"""How long an attempt waits for a document that match has seen and collect has not."""
_POLL_SECONDS: Final = 0.05


async def copy(context: Context, delivery: Claimed, into: Into) -> Outcome:
    """One attempt to copy the documents of a delivery into a collection."""
    collection = into.collection_id
    wanted = read_copy(delivery.payload)
    if not await _collected(context, wanted):
        return Outcome(error="the document has not been collected yet")
    namespace_id = delivery.due.namespace_id
    async with context.database.transaction() as connection:
        found = await find_definition(connection, "collection", namespace_id, collection)
        if found is None:
            return Outcome(error=f"there is no collection {collection!r} to copy into", final="not_configured")
        if not found.body.get("enabled", True):
            return Outcome(error=f"the collection {collection!r} is disabled", final="failed")
        target = found.record.id
        events = await _documents(connection, namespace_id, wanted)
        if not events:
            return Outcome(error="the document was deleted before it could be copied", final="failed")
        if into.keep:
            there = await existing_ids(connection, namespace_id, target, [event.document_id for event in events])
            events = [event for event in events if event.document_id not in there]
        try:
            writes = list(_writes(events, target, delivery.webhook_id))
        except DocumentTooLargeError as error:
            return Outcome(error=str(error), final="failed")
        await queue_writes(connection, writes, wanted.causes)
    return Outcome(done=True)


async def _documents(connection: Connection, namespace_id: str, wanted: Copy) -> list[DocumentEvent]:
    stored = Stored(connection, namespace_id)
    by_collection: dict[str, list[str]] = {}
    for collection_id, document_id in wanted.documents:
        by_collection.setdefault(collection_id, []).append(document_id)
    return [
        event
        for collection_id, ids in by_collection.items()
        for event in (await stored.whole(collection_id, ids)).values()
    ]


def _writes(events: Iterable[DocumentEvent], collection_id: str, webhook_id: str) -> Iterable[Write]:
    for event in events:
        if event.collection_id == collection_id:
            # It is there already.
            continue
        event_id = derived_id("evt_", webhook_id, event.collection_id, event.document_id)
        yield write_of(replace(copy_of(event, collection_id), event_id=event_id))


async def _collected(context: Context, wanted: Copy) -> bool:
    """Whether collect has come behind the document's record, now or soon."""
    if wanted.partition is None:
        return True
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        async with context.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT 1 FROM positions WHERE station = 'collect' AND topic = %s AND partition = %s"
                " AND next_offset > %s",
                (context.broker.topic(DOCUMENTS), wanted.partition, wanted.offset),
            )
            if await cursor.fetchone() is not None:
                return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
