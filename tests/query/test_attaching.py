"""Which collections check an alert on ingest: written down whenever a definition changes."""

from typing import Any

import pytest

from streams.query.reads.progress import attaching
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import delete_definition, put_definition
from tests.query.support import NAMESPACE

OTHERS = [{"alert_id": "alt_b", "execution_mode": "on_ingest"}, {"alert_id": "alt_c"}]
ATTACHED = [{"alert_id": "alt_a"}, *OTHERS]


@pytest.mark.parametrize(
    ("attached", "enabled", "found"),
    [
        ([*OTHERS, {"alert_id": "alt_a", "execution_mode": "on_ingest", "more": [1]}], True, True),
        ([{"alert_id": "alt_a"}, *OTHERS], True, True),
        ([{"alert_id": "alt_a", "execution_mode": None}], True, True),
        ([{"alert_id": "alt_a", "execution_mode": "scheduled"}, *OTHERS], True, False),
        ([{"alert_id": "alt_a", "execution_mode": "scheduled"}, {"alert_id": "alt_a"}], True, True),
        (OTHERS, True, False),
        ([{"alert_id": "alt_a"}], False, False),
        (None, True, False),
        ({"alert_id": "alt_a"}, True, False),
    ],
)
async def test_what_a_definition_attaches(context: Context, attached: Any, enabled: bool, found: bool) -> None:
    async with context.database.transaction() as connection:
        # As it is made, and as something else becomes it.
        for before in (None, ATTACHED, OTHERS, []):
            if before is not None:
                await put(connection, "col_b", before)
            await put(connection, "col_b", attached, enabled=enabled)
            assert await collections(connection, "alt_a") == (["col_b"] if found else [])
            await connection.execute("DELETE FROM definitions")
            assert await collections(connection, "alt_a") == []


async def test_only_what_changes_is_written(context: Context) -> None:
    many = [{"alert_id": f"alt_{number}"} for number in range(100)]
    async with context.database.connection() as connection:
        await put(connection, "col_a", many)
        held = await places(connection)
        await put(connection, "col_a", [*many[1:], {"alert_id": "alt_new"}], description="other")
        now = await places(connection)
        assert held.keys() - now.keys() == {"alt_0"}
        assert now.keys() - held.keys() == {"alt_new"}
        assert all(now[alert] == place for alert, place in held.items() if alert in now)


async def test_what_is_deleted_attaches_nothing_until_it_comes_back(context: Context) -> None:
    async with context.database.transaction() as connection:
        for collection in ("col_a", "col_b"):
            await put(connection, collection, ATTACHED)
        assert await collections(connection, "alt_a") == ["col_a", "col_b"]
        await delete_definition(connection, "collection", NAMESPACE, "col_a")
        assert await collections(connection, "alt_a") == ["col_b"]
        await put(connection, "col_a", ATTACHED)
        assert await collections(connection, "alt_a") == ["col_a", "col_b"]


async def put(
    connection: Connection, collection: str, attached: Any, *, enabled: bool = True, **more: Any
) -> None:
    body = {"collection_id": collection, "enabled": enabled, "alert_applications": attached, **more}
    await put_definition(connection, "collection", NAMESPACE, collection, collection, body)


async def collections(connection: Connection, alert: str) -> list[str]:
    cursor = await connection.execute(attaching("%s", "%s").encode(), (NAMESPACE, alert))
    return sorted(row[0] for row in await cursor.fetchall())


async def places(connection: Connection) -> dict[str, str]:
    """Where rows are stored: elsewhere, when one was written again."""
    cursor = await connection.execute("SELECT alert_id, ctid::text FROM alert_attachments")
    return dict(await cursor.fetchall())
