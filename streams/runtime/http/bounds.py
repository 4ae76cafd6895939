"""How much a list looks at or counts for one request, where the ledger (:mod:`streams.runtime.list_counts`) does
not know what it is filtered by."""

from collections.abc import Mapping
from typing import Any, Final

from streams.runtime.database import Connection, fetch_value
from streams.runtime.http.errors import conflict

MOST_COUNTED: Final = 100_000
"""Rows that a filter which the ledger does not know is held against at most, or that are counted behind one."""


def refuse_many(among: int, what: str) -> None:
    """Raises 409 where ``what`` would have to look at more than :data:`MOST_COUNTED` things."""
    if among > MOST_COUNTED:
        raise conflict(
            f"{what}: for at most {MOST_COUNTED:,} of them, and there are {among:,}; narrow the list first"
        )


async def counted(connection: Connection, source: str, parameters: Mapping[str, Any], what: str) -> int:
    """How many rows there are behind a filter that the ledger does not know: ``source`` is SQL from FROM on.
    Raises 409 for more than :data:`MOST_COUNTED`; ``what`` says of what."""
    query = f"SELECT count(*) FROM (SELECT 1 {source} LIMIT {MOST_COUNTED + 1}) AS found"
    found = int(await fetch_value(connection, query, parameters))
    if found > MOST_COUNTED:
        raise conflict(f"{what}: more than {MOST_COUNTED:,} are found; narrow the list")
    return found
