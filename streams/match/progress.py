"""How far match has checked each collection of each partition. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.events.document import UPSERTED
from schemas.events.progress import MatchProgress
from streams.match.arrivals import Arrival


@dataclass(slots=True)
class _Reached:
    topic: str
    occurred_at: datetime
    appended_at: datetime
    documents: int


class Progress:
    """What a batch gets to, chunk by chunk: the documents themselves need not be kept for it."""

    def __init__(self) -> None:
        self._reached: dict[tuple[int, str, str], _Reached] = {}

    def include(self, later: "Progress") -> None:
        """Take in what other batches got to."""
        for key, reached in later._reached.items():
            held = self._reached.get(key)
            if held is None:
                self._reached[key] = reached
                continue
            held.documents += reached.documents
            held.occurred_at = max(held.occurred_at, reached.occurred_at)
            held.appended_at = max(held.appended_at, reached.appended_at)

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """Take in documents that have been read."""
        for arrival in arrivals:
            event = arrival.event
            key = (arrival.partition, event.namespace_id, event.collection_id)
            counted = 1 if event.type == UPSERTED else 0
            held = self._reached.get(key)
            if held is None:
                self._reached[key] = _Reached(arrival.topic, event.occurred_at, arrival.appended_at, counted)
                continue
            held.documents += counted
            if event.occurred_at > held.occurred_at:
                held.occurred_at = event.occurred_at
            if arrival.appended_at > held.appended_at:
                held.appended_at = arrival.appended_at

    def records(self, next_offsets: Mapping[int, int], definitions_version: int) -> list[MatchProgress]:
        """One record per partition, namespace and collection.

        ``next_offsets`` is where what was checked ends in each partition: everything before it has been checked,
        also where the last records belong to other collections. A partition that is not named is another worker's
        by now.
        """
        return [
            MatchProgress(
                source_topic=held.topic,
                partition=partition,
                namespace_id=namespace_id,
                collection_id=collection_id,
                next_offset=next_offsets[partition],
                occurred_at=held.occurred_at,
                appended_at=held.appended_at,
                definitions_version=definitions_version,
                documents=held.documents,
            )
            for (partition, namespace_id, collection_id), held in self._reached.items()
            if partition in next_offsets
        ]
