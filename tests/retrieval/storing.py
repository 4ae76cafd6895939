"""Documents put into the tables as collect puts them, and the same documents in memory."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from schemas.events.document import UPSERTED, DocumentEvent
from streams.collect.arrivals import Arrival
from streams.collect.fold import Folded, Tally, Version
from streams.collect.store import write_documents, write_tallies
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.retrieval.reading import Stored
from streams.runtime.database import Connection, Database
from tests.engines.retrieval.stages.test_conformance import PEOPLE

NS = "ns_store"
AT = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
VALUES: Final = (
    *("flu", "Flu", "東京", "", "10", "2024-05-01"),
    *(0, 1, -1, 0.5, 2.5, True, None),
    *(["flu", 1], {"a": 1}),
)
"""What fields of :func:`varied` documents hold."""


def varied(rng: random.Random, count: int, namespace_id: str, collections: Sequence[str]) -> list[DocumentEvent]:
    """Documents ``d0``, ``d1`` … in any of the collections, with and without each of their parts."""
    made = []
    for at in range(count):
        payload: dict[str, Any] = {"content": " ".join(rng.choice(("flu", "city", "東京")) for _ in range(3))}
        for name in ("a", "metadata", "tags"):
            if rng.random() < 0.8:
                payload[name] = rng.choice(VALUES)
        if rng.random() < 0.5:
            payload["metadata"] = {"a": rng.choice(VALUES), "tags": [rng.choice(VALUES)]}
        features = {}
        if rng.random() < 0.8:
            features["words"] = np.array([rng.choice((-1, 0.5, 1)), rng.uniform(-1, 1)], dtype=np.float32)
        text = rng.choice((None, "flu in the city"))
        made.append(
            DocumentEvent(
                UPSERTED, namespace_id, rng.choice(collections), f"d{at}", AT, payload, text, features=features
            )
        )
    return made


def people(namespace_id: str, collection: str) -> list[DocumentEvent]:
    """The rows that the stages' own tests are about, as documents."""
    return [
        DocumentEvent(UPSERTED, namespace_id, collection, row.document_id, AT, payload=dict(row.fields))
        for row in PEOPLE
    ]


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
