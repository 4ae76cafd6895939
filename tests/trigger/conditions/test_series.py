"""What is kept of buckets that were read before: only ever what their rows still say."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.drift.series import AnySketch, merge_bytes
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span, cover
from streams.runtime.agent import Context
from streams.trigger.conditions import windows
from streams.trigger.conditions.due import make_ready
from streams.trigger.conditions.merges import Merges
from streams.trigger.conditions.reading import RowsWanted
from streams.trigger.conditions.series import Series
from streams.trigger.conditions.unpacked import Unpacked
from tests.trigger.support import COLLECTION, NAMESPACE, add_documents, at, create_trigger, rows

CONFIG: dict[str, Any] = {
    "condition_type": "drift",
    "threshold": 0.3,
    "feature_uri": "mixpeek://model@v1/embedding",
    "check_interval_seconds": 3_600,
    "window_seconds": 7_200,
}
START = at("2024-06-03")
HOUR = timedelta(hours=1)


async def totals(
    context: Context, unpacked: Unpacked, since: int, until: int, trigger_id: str | None = None
) -> list[float]:
    """Sum of the vectors of some hours, read as a check reads them, that of a trigger when it is given."""
    condition = Condition.parse(CONFIG)
    series = Series.of([(NAMESPACE, COLLECTION)], condition)
    spans = cover(START + since * HOUR, START + until * HOUR, condition.bucket_seconds)
    merges = None if trigger_id is None else Merges(trigger_id)
    async with context.database.transaction() as connection:
        found = await (await RowsWanted(series, spans, True, trigger_id).ask(connection, unpacked)).answer(
            unpacked, merges
        )
        counted = await (await RowsWanted(series, spans, False, None).ask(connection, unpacked)).answer(unpacked)
        merged: Any = found.merged(spans)
        if merges is not None:
            await merges.write(connection, START + since * HOUR)
    assert found.documents(spans) == counted.documents(spans) == (0 if merged is None else merged.count)
    return [] if merged is None else [float(value) for value in merged.total]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The sketches that are unpacked."""
    found: list[bytes] = []

    def reading(rows: Sequence[bytes]) -> AnySketch | None:
        found.extend(rows)
        return merge_bytes(rows)

    monkeypatch.setattr(windows, "merge_bytes", reading)
    return found


async def test_a_bucket_is_unpacked_once_and_again_when_any_of_its_rows_was_written(
    context: Context, read: list[bytes]
) -> None:
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


async def test_what_a_trigger_merged_is_read_in_its_place_for_as_long_as_it_is_true(
    context: Context, read: list[bytes]
) -> None:
    one, two = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for partition in range(3):
        await add_documents(context, CONFIG, partition, [(START + hour * HOUR, one) for hour in range(4)])
    await add_documents(context, CONFIG, 0, [(START + 4 * HOUR, one)])
    for name in ("trig_one", "trig_two"):
        await create_trigger(context, name, "conditional", CONFIG, now=START)
    assert await totals(context, Unpacked(), 0, 4, "trig_one") == [12, 0]
    assert len(read) == 12
    read.clear()
    # Another worker, which has read nothing: a sketch a bucket. An hour is new, and only one partition has it.
    assert await totals(context, Unpacked(), 1, 5, "trig_one") == [10, 0]
    assert len(read) == 4
    read.clear()
    # Another trigger merges for itself.
    assert await totals(context, Unpacked(), 1, 5, "trig_two") == [10, 0]
    assert len(read) == 10
    read.clear()
    # A row was written, one came to another bucket: both are merged again, then kept again.
    await add_documents(context, CONFIG, 2, [(START + 2 * HOUR, two)])
    await add_documents(context, CONFIG, 1, [(START + 4 * HOUR, two)])
    assert await totals(context, Unpacked(), 1, 5, "trig_one") == [10, 2]
    assert len(read) == 2 + 3 + 2
    read.clear()
    assert await totals(context, Unpacked(), 1, 5, "trig_one") == [10, 2]
    assert len(read) == 4
    # What is before the window is forgotten.
    await add_documents(context, CONFIG, 2, [(START + 4 * HOUR, two)])
    await totals(context, Unpacked(), 3, 5, "trig_one")
    kept = await rows(
        context, "SELECT bucket_start FROM trigger_buckets WHERE trigger_id = 'trig_one' ORDER BY bucket_start"
    )
    assert [moment for (moment,) in kept] == [START + 3 * HOUR, START + 4 * HOUR]
    # Nothing that is kept outlives its rows.
    await rows(context, "DELETE FROM drift_sketches RETURNING 1")
    assert await totals(context, Unpacked(), 1, 5, "trig_one") == []


async def test_a_check_is_made_ready_without_any_trigger(context: Context) -> None:
    await make_ready(context.database)
    assert await rows(context, "SELECT count(*) FROM trigger_state") == [(0,)]


def test_what_was_not_used_for_longest_goes_first() -> None:
    unpacked = Unpacked(kept=2)
    both = [Span(60, 0, 120)]
    for start in (0, 60):
        unpacked.keep(("a",), (60, start), start + 1, None)
    assert unpacked.within(("a",), both) == {(60, 0): (1, None), (60, 60): (61, None)}
    unpacked.used(("a",), (60, 0))
    unpacked.keep(("b",), (60, 0), 7, None)
    assert unpacked.within(("a",), both) == {(60, 0): (1, None)}
    assert unpacked.within(("b",), both) == {(60, 0): (7, None)}


@given(
    held=st.sets(st.tuples(st.sampled_from((1, 60)), st.integers(0, 5)), max_size=8),
    spans=st.lists(
        st.tuples(st.sampled_from((1, 60)), st.none() | st.integers(0, 3), st.integers(3, 6), st.booleans())
    ),
)
def test_what_is_kept_of_spans_is_what_lies_in_one(
    held: set[tuple[int, int]], spans: list[tuple[int, int | None, int, bool]]
) -> None:
    unpacked = Unpacked(kept=16)
    for width, number in held:
        unpacked.keep(("a",), (width, number * width), number, None)
        # Of another series.
        unpacked.keep(("b",), (width, number * width), number, None)
    # A span of very many places is walked the other way.
    wide = 1_000_000
    asked = [
        Span(width, None if start is None else (start - (wide if far else 0)) * width, end * width)
        for width, start, end, far in spans
    ]
    wanted = {
        (width, number * width): (number, None)
        for width, number in held
        if any(
            span.width == width
            and (span.start is None or span.start <= number * width)
            and number * width < span.end
            for span in asked
        )
    }
    assert unpacked.within(("a",), asked) == wanted
