"""Executions in the order in which records brought them into the view."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

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


class Asked(NamedTuple):
    """The next executions, asked for and not yet read."""

    behind: Stands
    limit: int
    ends: AsyncCursor[TupleRow]
    rows: AsyncCursor[dict[str, Any]]

    async def read(self) -> Following:
        """Those executions, each with its deliveries."""
        held: Mapping[int, int] = dict(await self.ends.fetchall())
        page = executions.in_order(await self.rows.fetchall())
        last = page[-1][0] if len(page) == self.limit else None
        stands = self.behind.after(self.behind.ahead(held), last)
        return Following(page, stands, bool(stands.ahead(held)))


async def ask(
    connection: Connection,
    topic: str,
    namespace_id: str,
    alert_ids: Sequence[str] | None,
    behind: Stands,
    limit: int,
) -> Asked:
    """Ask for the next executions of a namespace, of all its alerts or of some, in order. Those of deleted alerts
    are passed over. In a transaction of one snapshot; in a pipeline all of it is one round trip. ``topic`` as the
    broker names it."""
    at = {"station": NAME, "topic": topic}
    held = await connection.execute(
        "SELECT partition, next_offset FROM positions WHERE station = %(station)s AND topic = %(topic)s", at
    )
    known = [(partition, stand.offset, stand.number) for partition, stand in behind.partitions.items()]
    rows = await executions.ask_brought(
        connection, namespace_id, alert_ids, {**at, "window": WINDOW}, known, limit
    )
    return Asked(behind, limit, held, rows)
