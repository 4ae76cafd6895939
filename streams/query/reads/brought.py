"""Executions in the order in which records brought them into the view."""

from collections.abc import Sequence
from typing import NamedTuple

from streams.query.compose.rows import Delivery, Execution
from streams.query.following import WINDOW, Brought, Stands
from streams.query.reads import executions
from streams.query.station import NAME
from streams.runtime.database import Connection, stored_positions


async def ends(connection: Connection, topic: str) -> dict[int, int]:
    """Per partition the offset behind the last record that the view holds. ``topic`` as the broker names it."""
    return {
        partition: stored.next_offset
        for partition, stored in (await stored_positions(connection, NAME, topic)).items()
    }


class Following(NamedTuple):
    """What comes behind some place."""

    page: list[tuple[Brought, Execution, list[Delivery]]]
    stands: Stands
    """Behind the page."""
    behind: bool
    """Whether the view holds more."""


async def following(
    connection: Connection,
    topic: str,
    namespace_id: str,
    alerts: Sequence[int] | None,
    behind: Stands,
    limit: int,
) -> Following:
    """The next executions of a namespace, of all its alerts or of some by number, in order, each with its
    deliveries. Those of deleted alerts are passed over. One round trip. ``topic`` as the broker names it."""
    read = {"station": NAME, "topic": topic, "window": WINDOW}
    known = [(partition, stand.offset, stand.number) for partition, stand in behind.partitions.items()]
    held, page = await executions.brought(connection, namespace_id, alerts, read, known, limit)
    last = page[-1][0] if len(page) == limit else None
    stands = behind.after(behind.ahead(held), last)
    return Following(page, stands, bool(stands.ahead(held)))
