"""Deletions in a batch, for the results that still hold what was deleted. Pure."""

from collections.abc import Iterable, Iterator

from schemas.events.document import DELETED
from streams.collect.arrivals import Arrival
from streams.runtime.erasure import Erased


def deletions(arrivals: Iterable[Arrival]) -> Iterator[Erased]:
    """Every deletion, also of what is not stored: results of it may be."""
    for arrival in arrivals:
        event = arrival.event
        if event.type == DELETED:
            yield Erased(
                event.namespace_id,
                event.document_id,
                event.collection_id,
                arrival.appended_at,
                arrival.partition,
                arrival.offset,
            )
