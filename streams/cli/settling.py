"""Whether everything published so far has gone the whole way: stored, checked, decided, run, published, visible.

The demo waits for it before it tells what happened.
"""

from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer

from schemas.topics import ALERT_RESULTS, DOCUMENTS, NOTIFICATIONS, TRIGGER_RESULTS, Topic
from streams.engines.rules.grid import after as next_check
from streams.runtime.broker import Broker, end_offsets
from streams.runtime.database import Connection

_OPEN = {
    "outbox rows": "SELECT count(*) FROM outbox",
    "jobs": "SELECT count(*) FROM jobs WHERE status IN ('pending', 'processing')",
    "deliveries": "SELECT count(*) FROM deliveries WHERE state = 'pending'",
}


async def documents_open(connection: Connection, consumer: AIOKafkaConsumer, broker: Broker) -> list[str]:
    """What is still to be done before every document is stored, checked, and its executions visible."""
    waiting = []
    ends = await end_offsets(consumer, broker.topic(DOCUMENTS))
    cursor = await connection.execute("SELECT partition, max(next_offset) FROM match_progress GROUP BY partition")
    checked: dict[int, int] = dict(await cursor.fetchall())
    short = sum(checked.get(partition, 0) < end for partition, end in ends.items())
    if short:
        waiting.append(f"match is behind in {short} partitions")
    waiting += [item async for item in _behind(connection, consumer, broker, "collect", (DOCUMENTS,))]
    waiting += [item async for item in _behind(connection, consumer, broker, "query", (ALERT_RESULTS,))]
    return waiting


async def effects_open(connection: Connection, consumer: AIOKafkaConsumer, broker: Broker) -> list[str]:
    """What is still to be done before every check is made, every job has ended and its history is visible."""
    waiting = []
    for what, query in _OPEN.items():
        row = await (await connection.execute(query.encode())).fetchone()
        if row is not None and row[0]:
            waiting.append(f"{row[0]} {what}")
    waiting += await _checks_open(connection)
    waiting += [item async for item in _behind(connection, consumer, broker, "notify", (ALERT_RESULTS,))]
    views = (TRIGGER_RESULTS, NOTIFICATIONS)
    waiting += [item async for item in _behind(connection, consumer, broker, "query", views)]
    return waiting


async def _checks_open(connection: Connection) -> list[str]:
    """Event-time triggers whose next check lies within what the watermark has passed."""
    cursor = await connection.execute(
        "SELECT s.trigger_id, s.last_condition_check_at,"
        " (d.body->'schedule_config'->>'check_interval_seconds')::int,"
        " (SELECT max(c.watermark) FROM collection_counters c WHERE c.namespace_id = s.namespace_id"
        "   AND d.body->'watched_collection_ids' ? c.collection_id),"
        " (SELECT max(first) FROM (SELECT min(k.bucket_start) AS first FROM drift_sketches k"
        "   WHERE k.namespace_id = s.namespace_id AND d.body->'watched_collection_ids' ? k.collection_id"
        "   AND k.time_domain = 'event_time' GROUP BY k.width_seconds) AS narrowest_begins_last)"
        " FROM trigger_state s JOIN definitions d ON d.id = s.trigger_id AND d.namespace_id = s.namespace_id"
        " WHERE s.status = 'active' AND s.trigger_type = 'conditional'"
        " AND d.body->'schedule_config'->>'time_domain' = 'event_time'"
    )
    return [
        f"checks of {trigger_id}"
        for trigger_id, last, interval, watermark, earliest in await cursor.fetchall()
        if watermark is not None
        and earliest is not None
        # The check after a document of year 9999 may lie outside the calendar.
        and (last or earliest) < watermark
        and next_check(last or earliest, interval) <= watermark
    ]


async def _behind(
    connection: Connection, consumer: AIOKafkaConsumer, broker: Broker, station: str, topics: Sequence[Topic]
) -> AsyncIterator[str]:
    for topic in topics:
        cursor = await connection.execute(
            "SELECT partition, next_offset FROM positions WHERE station = %s AND topic = %s",
            (station, broker.topic(topic)),
        )
        positions: dict[int, int] = dict(await cursor.fetchall())
        ends = await end_offsets(consumer, broker.topic(topic))
        if any(positions.get(partition, 0) < end for partition, end in ends.items()):
            yield f"{station} is behind on {topic.name}"
