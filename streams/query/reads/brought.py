"""Executions in the order in which records brought them into the view."""

from collections.abc import Mapping, Sequence

from streams.query.compose.rows import Execution
from streams.query.following import Brought, Stand
from streams.query.reads import executions
from streams.query.station import NAME
from streams.runtime.database import Connection, stored_positions


async def ends(connection: Connection, topic: str) -> dict[int, int]:
    """Per partition the offset behind the last record that the view holds. ``topic`` as the broker names it."""
    return {
        partition: stored.next_offset
        for partition, stored in (await stored_positions(connection, NAME, topic)).items()
    }


async def brought(
    connection: Connection,
    namespace_id: str,
    alert_ids: Sequence[str] | None,
    ahead: Mapping[int, tuple[Stand, int]],
    limit: int,
) -> tuple[list[tuple[Brought, Execution]], Brought | None]:
    """The next executions of a namespace, of all its alerts or of some, in order, and the last of them if there
    may be more. Those of alerts that were deleted are passed over. In one snapshot with :func:`ends`."""
    rows = [(partition, at.offset, at.number, end) for partition, (at, end) in ahead.items()]
    page = await executions.brought(connection, namespace_id, alert_ids, rows, limit)
    return page, page[-1][0] if len(page) == limit else None
