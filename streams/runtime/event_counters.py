"""The counters of event triggers, whoever counts for them."""

from collections.abc import Iterable
from datetime import datetime

from streams.runtime.database import Connection

Counter = tuple[int, int, datetime | None]
"""Events since the last fire, fires so far, and the append time of what set off the last fire."""


async def lock_counters(connection: Connection, trigger_ids: Iterable[str]) -> dict[str, Counter]:
    """The counters of those of these triggers that are active, locked until the transaction ends."""
    cursor = await connection.execute(
        "SELECT trigger_id, event_counter, fire_sequence, last_cooldown_at FROM trigger_state"
        " WHERE trigger_id = ANY(%s) AND status = 'active' ORDER BY trigger_id FOR UPDATE",
        (list(trigger_ids),),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in await cursor.fetchall()}


async def save_counter(connection: Connection, trigger_id: str, counter: Counter) -> None:
    """Write a trigger's counters back."""
    await connection.execute(
        "UPDATE trigger_state SET event_counter = %s, fire_sequence = %s, last_cooldown_at = %s,"
        " updated_at = now() WHERE trigger_id = %s",
        (*counter, trigger_id),
    )
