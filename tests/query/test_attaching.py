"""Which collections attach an alert: found by what they hold, and by taking all that is attached apart."""

from typing import Any

import pytest

from streams.query.reads.progress import applied, attaching
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from tests.query.support import NAMESPACE

OTHERS = [{"alert_id": "alt_b", "execution_mode": "on_ingest"}, {"alert_id": "alt_c"}]


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
async def test_both_ways_find_the_same(context: Context, attached: Any, enabled: bool, found: bool) -> None:
    values = {"namespace": NAMESPACE, "alert": "alt_a"}
    asked = "%(namespace)s", "%(alert)s::text"
    async with context.database.transaction() as connection:
        body = {"collection_id": "col_a", "enabled": enabled, "alert_applications": attached}
        await put_definition(connection, "collection", NAMESPACE, "col_a", "a", body)
        ids = await (await connection.execute(attaching(*asked).encode(), values)).fetchall()
        rows = await (await connection.execute(applied(*asked).encode(), values)).fetchall()
    assert ids == ([("col_a",)] if found else [])
    assert {row[1] for row in rows} == {row[0] for row in ids}
