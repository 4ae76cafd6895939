"""What is kept of buckets that were read before: only ever what their rows still say."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from streams.engines.drift.series import AnySketch, sketch_from_bytes
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import cover
from streams.runtime.agent import Context
from streams.trigger.conditions import windows
from streams.trigger.conditions.series import Series, read_rows
from streams.trigger.conditions.unpacked import Unpacked
from tests.trigger.support import COLLECTION, NAMESPACE, add_documents, at, rows

CONFIG: dict[str, Any] = {
    "condition_type": "drift",
    "threshold": 0.3,
    "feature_uri": "mixpeek://model@v1/embedding",
    "check_interval_seconds": 3_600,
    "window_seconds": 7_200,
}
START = at("2024-06-03")
HOUR = timedelta(hours=1)


async def totals(context: Context, unpacked: Unpacked, since: int, until: int) -> list[float]:
    """Sum of the vectors of some hours, read as a check reads them."""
    condition = Condition.parse(CONFIG)
    series = Series.of([(NAMESPACE, COLLECTION)], condition)
    spans = cover(START + since * HOUR, START + until * HOUR, condition.bucket_seconds)
    async with context.database.transaction() as connection:
        found = await read_rows(connection, series, spans, sketches=True, unpacked=unpacked)
    merged: Any = found.merged(spans)
    assert found.documents(spans) == (0 if merged is None else merged.count)
    return [] if merged is None else [float(value) for value in merged.total]


async def test_a_bucket_is_unpacked_once_and_again_when_any_of_its_rows_was_written(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def reading(data: bytes) -> AnySketch:
        read.append(data)
        return sketch_from_bytes(data)

    monkeypatch.setattr(windows, "sketch_from_bytes", reading)
    one, two = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for partition in (0, 1):
        await add_documents(context, CONFIG, partition, [(START + hour * HOUR, one) for hour in range(4)])
    unpacked = Unpacked()
    assert await totals(context, unpacked, 0, 2) == [4, 0]
    assert len(read) == 4
    read.clear()
    # The window slides: one hour is new.
    assert await totals(context, unpacked, 1, 3) == [4, 0]
    assert len(read) == 2
    read.clear()
    await add_documents(context, CONFIG, 1, [(START + HOUR, two)])
    assert await totals(context, unpacked, 1, 3) == [4, 1]
    assert len(read) == 2
    # As many documents as before, and others.
    await rows(context, "DELETE FROM drift_sketches RETURNING 1")
    await rows(context, "DELETE FROM drift_seeds RETURNING 1")
    await add_documents(context, CONFIG, 0, [(START + HOUR, two)] * 3 + [(START + 2 * HOUR, two)] * 2)
    assert await totals(context, unpacked, 1, 3) == [0, 5]
    assert await totals(context, Unpacked(kept=1), 1, 3) == [0, 5]
    assert await totals(context, unpacked, 3, 3) == []


def test_what_was_not_used_for_longest_goes_first() -> None:
    unpacked = Unpacked(kept=2)
    for start in (0, 60):
        unpacked.keep(("a",), (60, start), 1, None)
    assert unpacked.find(("a",), (60, 0), 1) == (1, None)
    unpacked.keep(("b",), (60, 0), 7, None)
    assert unpacked.find(("a",), (60, 60), 1) is None
    assert unpacked.find(("a",), (60, 0), 1) is not None
    assert unpacked.find(("b",), (60, 0), 7) is not None
    assert unpacked.find(("b",), (60, 0), 8) is None
