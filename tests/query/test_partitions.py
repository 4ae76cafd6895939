"""Day partitions of the view."""

from schemas.events.alert_result import encode_alert_result
from schemas.topics import ALERT_RESULTS
from streams.query.partitions import COLUMNS, SAMPLED, partition_name
from streams.runtime.agent import Context
from tests.query.support import NOON, apply, define_alert, hit, result


async def test_a_new_day_is_sampled_small(context: Context) -> None:
    alert = await define_alert(context, "a")
    await apply(context, ALERT_RESULTS, encode_alert_result(result(1, hit(alert))))
    for table, columns in COLUMNS.items():
        async with context.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT attname, attstattarget FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped",
                (partition_name(table, NOON.date()),),
            )
            assert dict(await cursor.fetchall()) == dict.fromkeys(columns.split(", "), SAMPLED)
