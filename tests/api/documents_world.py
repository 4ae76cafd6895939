"""The way of documents in one process: the API's outbox, a log, and collect on it, each moved by the test."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx
from aiokafka import ConsumerRecord, TopicPartition
from pydantic import SecretStr

from schemas.events.document import DocumentEvent, encode_document_event
from schemas.topics import DOCUMENTS
from streams.api.namespaces import ensure_namespace
from streams.collect.station import Collect
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings
from tests.api.conftest import KEY, NOW, caller

MILLIS = int(NOW.timestamp() * 1000)


@dataclass
class World:
    """A collection at a time, written over HTTP and by a producer. Entered once, for any number of collections."""

    settings: Settings
    log: list[ConsumerRecord] = field(default_factory=list)
    collected: int = 0
    namespace_id: str = ""

    async def __aenter__(self) -> "World":
        known = self.settings.model_copy(update={"api_key": SecretStr(KEY)})
        self.database = await Database(known).__aenter__()
        self.context = Context(known, Broker(known), self.database, clock=lambda: NOW)
        self.namespace_id = await ensure_namespace(self.database, known.namespace)
        self.http: httpx.AsyncClient = caller(self.context)
        self.station = Collect(self.context)
        self.partition = TopicPartition(self.context.broker.topic(DOCUMENTS), 0)
        # As if the partition had just been assigned; there is no log of a broker to be checked.
        self.station._positions._next = {self.partition: 0}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self.database.__aexit__()

    async def relay(self) -> int:
        """Put what waits in the outbox into the log; how many records."""
        async with self.database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT key, value, headers FROM outbox WHERE topic = 'documents' ORDER BY id"
            )
            rows = await cursor.fetchall()
            await connection.execute("DELETE FROM outbox WHERE topic = 'documents'")
        for key, value, headers in rows:
            self._append(bytes(key), bytes(value), [(name, text.encode()) for name, text in headers])
        return len(rows)

    def produce(self, event: DocumentEvent) -> None:
        """A producer's event, straight into the log."""
        self._append(event.key, encode_document_event(event), [])

    async def collect(self) -> None:
        """Collect what is new in the log."""
        records = self.log[self.collected :]
        if records:
            await self.station.handle({self.partition: records})
        self.collected = len(self.log)

    def _append(self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.log.append(
            ConsumerRecord(
                self.partition.topic,
                self.partition.partition,
                len(self.log),
                MILLIS + len(self.log),
                0,
                key,
                value,
                None,
                len(key),
                len(value),
                tuple(headers),
            )
        )


def fields_of(shown: dict[str, Any]) -> dict[str, Any]:
    """A document as it is shown, without what the server adds."""
    added = ("document_id", "collection_id", "_internal", "searchable_at", "occurred_at")
    return {name: value for name, value in shown.items() if name not in added}
