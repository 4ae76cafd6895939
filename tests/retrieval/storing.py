"""Documents put into the tables as collect puts them, and the same documents in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.events.document import UPSERTED, DocumentEvent
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Tally, Version
from streams.collect.store import write_documents, write_tallies
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.retrieval.reading import Stored
from streams.runtime.database import Connection, Database

NS = "ns_store"
AT = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


async def store(database: Database, events: Sequence[DocumentEvent]) -> None:
    """Write documents, each at an offset of its own."""
    folded = Folded()
    tallies: dict[tuple[str, str, int], Tally] = {}
    for offset, event in enumerate(events):
        arrival = Arrival(0, offset, AT, event)
        folded.documents[arrival.key] = Version(arrival, AT, event.occurred_at)
        tally = tallies.setdefault(arrival.scope, Tally())
        tally.added, tally.next_offset = tally.added + 1, offset + 1
    async with database.transaction() as connection:
        await write_documents(connection, folded, [])
        await write_tallies(connection, tallies)


async def in_memory(connection: Connection, namespace_id: str = NS) -> MemoryCorpus:
    """Everything stored of a namespace, as it is read back, in a corpus in memory."""
    corpus = MemoryCorpus()
    stored = Stored(connection, namespace_id)
    for collection_id in await stored.collections():
        names = await stored.feature_names(collection_id)
        async for page in stored.every(collection_id):
            vectors = await stored.vectors(collection_id, [event.document_id for event in page], names)
            for event in page:
                event.features = vectors.get(event.document_id, {})
                assert event.type == UPSERTED
                corpus.apply(event)
    return corpus
