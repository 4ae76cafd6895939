"""Documents of collections that look-up alerts name, put into ``references`` (design sections 3 and 4).

Writes follow in the transaction that stores them (:func:`follow`). What was stored before is put out by a walk, a
step a transaction (:class:`Feeder`): a step begins when the relay has published the one before, so a large
collection never stands in the way of what others queue, and a crash costs nothing but a step.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

import structlog

from schemas.events.document import UPSERTED, DocumentEvent, Vector, encode_document_event
from schemas.headers import SOURCE_POSITION, SourcePosition
from schemas.ids import document_key
from schemas.topics import REFERENCES
from streams.collect.arrivals import Key
from streams.collect.fold import Folded
from streams.retrieval.reading import Stored
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.database import Connection, Database, fetch_value
from streams.runtime.failure import Disposition, classify
from streams.runtime.faults import fault
from streams.runtime.feeds import feeds_of
from streams.runtime.outbox import Outgoing, enqueue_all

log = structlog.get_logger(__name__)

STEP: Final = 500
"""Documents in one step of a walk."""
_IDLE_SECONDS: Final = 0.5
_STEP_SECONDS: Final = 0.02


async def follow(connection: Connection, folded: Folded) -> None:
    """Queue what a batch wrote to fed collections. After the documents were written: their rows are then ours."""
    if not folded.documents:
        return
    feeds = await feeds_of(connection, {key[:2] for key in folded.documents})
    if not feeds:
        return
    last = {change.arrival.key: change.arrival for change in folded.changes}
    outgoing: list[Outgoing] = []
    for key, version in sorted(folded.documents.items()):
        state = feeds.get(key[:2])
        arrival = last.get(key)
        if arrival is None or state is None or (state == "draining" and version is not None):
            continue
        value = None if version is None else encode_document_event(version.arrival.event)
        outgoing.append(_outgoing(key, value, SourcePosition(arrival.partition, arrival.offset)))
    await enqueue_all(connection, REFERENCES, outgoing)


def _outgoing(key: Key, value: bytes | None, position: SourcePosition) -> Outgoing:
    return Outgoing(document_key(*key), value, {SOURCE_POSITION: str(position)})


class _Feed(NamedTuple):
    namespace_id: str
    collection_id: str
    state: str
    walked_to: str
    walked: bool


class Feeder:
    """Walks the collections whose feed begins or ends. Any number may run: each step is one worker's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the step in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Walk until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        failures = 0
        while not self._stopping.is_set():
            try:
                seconds = await self.turn()
                failures = 0
            except Exception as error:
                if classify(error) is not Disposition.RETRY:
                    raise
                failures += 1
                seconds = backoff_seconds(failures)
                log.warning("feed_retried", failures=failures, error=repr(error))
            await pause(self._stopping, seconds)

    async def turn(self) -> float:
        """Take one step if one can be taken. Returns after how many seconds the next may be."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT namespace_id, collection_id, state, walked_to, walked FROM reference_feeds f"
                " WHERE state <> 'following' AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = f.last_row)"
                " ORDER BY last_row NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED"
            )
            row = await cursor.fetchone()
            if row is not None:
                await _step(connection, _Feed(*row))
                await fault("collect:before-feed")
            else:
                waiting = await fetch_value(
                    connection, "SELECT EXISTS (SELECT FROM reference_feeds WHERE state <> 'following')"
                )
                return _STEP_SECONDS if waiting else _IDLE_SECONDS
        await fault("collect:after-feed")
        return 0.0


async def _step(connection: Connection, feed: _Feed) -> None:
    place = (feed.namespace_id, feed.collection_id)
    if feed.walked:
        # Everything is published: the row that ended the walk is out.
        log.info(
            "references_fed" if feed.state == "seeding" else "references_drained", collection=feed.collection_id
        )
        statement = (
            "UPDATE reference_feeds SET state = 'following', walked_to = '', walked = false, last_row = NULL"
            if feed.state == "seeding"
            else "DELETE FROM reference_feeds"
        )
        await connection.execute(f"{statement} WHERE namespace_id = %s AND collection_id = %s".encode(), place)
        return
    outgoing, walked_to = await _next(connection, feed)
    await enqueue_all(connection, REFERENCES, outgoing)
    await connection.execute(
        "UPDATE reference_feeds SET walked_to = %s, walked = %s, last_row = CASE WHEN %s THEN"
        " currval(pg_get_serial_sequence('outbox', 'id')) ELSE last_row END"
        " WHERE namespace_id = %s AND collection_id = %s",
        (walked_to or feed.walked_to, len(outgoing) < STEP, bool(outgoing), *place),
    )


async def _next(connection: Connection, feed: _Feed) -> tuple[list[Outgoing], str | None]:
    """The records of the next documents of a walk, and the last of these documents."""
    # The rows are held, so that a newer version can only be queued behind these.
    cursor = await connection.execute(
        "SELECT document_id, payload, text, asset_id, occurred_at, partition, record_offset FROM documents"
        " WHERE namespace_id = %s AND collection_id = %s AND document_id > %s ORDER BY document_id LIMIT %s"
        " FOR SHARE",
        (feed.namespace_id, feed.collection_id, feed.walked_to, STEP),
    )
    rows = await cursor.fetchall()
    if not rows:
        return [], None
    vectors: Mapping[str, Mapping[str, Vector]] = {}
    if feed.state == "seeding":
        stored = Stored(connection, feed.namespace_id)
        names = await stored.feature_names(feed.collection_id)
        vectors = await stored.vectors(feed.collection_id, [row[0] for row in rows], names)
    outgoing: list[Outgoing] = []
    for document_id, payload, text, asset_id, occurred_at, partition, offset in rows:
        key = (feed.namespace_id, feed.collection_id, document_id)
        value = None
        if feed.state == "seeding":
            event = DocumentEvent(
                UPSERTED,
                *key,
                occurred_at,
                payload=payload,
                text=text,
                asset_id=asset_id,
                features=vectors.get(document_id, {}),
            )
            value = encode_document_event(event)
        outgoing.append(_outgoing(key, value, SourcePosition(partition, offset)))
    return outgoing, rows[-1][0]
