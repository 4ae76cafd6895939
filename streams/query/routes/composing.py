"""Executions as the contract has them, with their deliveries."""

from collections.abc import Sequence
from typing import Any

from schemas.ids import execution_id
from streams.query.compose import alerts as compose
from streams.query.compose.rows import Execution, Unfired
from streams.query.reads import executions
from streams.runtime.database import Connection


async def composed(
    connection: Connection, namespace_id: str, items: Sequence[Execution | Unfired]
) -> list[dict[str, Any]]:
    """``AlertExecutionResult`` of each."""
    ids = [execution_id(item.base, item.number) for item in items if isinstance(item, Execution)]
    deliveries = await executions.deliveries(connection, namespace_id, ids) if ids else {}
    return [
        compose.derived(item)
        if isinstance(item, Unfired)
        else compose.recorded(item, deliveries.get(execution_id(item.base, item.number), []))
        for item in items
    ]
