"""Event time against a real log: what has not been collected holds checks back."""

from datetime import timedelta

import numpy as np

from schemas.topics import DOCUMENTS
from streams.runtime.agent import Context
from streams.runtime.broker import Sends
from streams.trigger.station import TriggerStation
from streams.trigger.watermarks import Watermarks
from tests.trigger.support import (
    COLLECTION,
    DAY,
    NAMESPACE,
    add_documents,
    at,
    checks,
    create_trigger,
    set_watermark,
    state,
)

DAILY = {
    "condition_type": "drift",
    "threshold": 0.35,
    "check_interval_seconds": DAY,
    "time_domain": "event_time",
    "min_sample": 2,
}
WALL = at("2026-01-01")
KEY = (NAMESPACE, COLLECTION)


async def produce(context: Context, **records: int) -> None:
    """``p0=3``: three more records in partition 0. Only that they are there matters here."""
    producer = context.broker.producer()
    await producer.start()
    try:
        sends = Sends(producer)
        for partition, count in records.items():
            for _ in range(count):
                await sends.send(context.broker.topic(DOCUMENTS), b"k", b"{}", partition=int(partition[1:]))
        await sends.acknowledged()
    finally:
        await producer.stop()


async def checked_until(context: Context) -> list[str]:
    return [f"{moment:%m-%d}" for moment, _, _ in await checks(context, "trig_drift")]


async def test_a_lagging_partition_holds_checks_back(context: Context, station: TriggerStation) -> None:
    await create_trigger(context, "trig_drift", "conditional", DAILY, now=WALL)
    for partition in range(3):
        days = ((at("2014-01-01") + timedelta(days=day), np.array([1.0, 0.5])) for day in range(9))
        await add_documents(context, DAILY, partition, days)
    await produce(context, p0=10, p1=10, p2=10)

    # Partition 2 has records, and nothing of it has been collected.
    await set_watermark(context, 0, at("2014-01-09"), position=10)
    await set_watermark(context, 1, at("2014-01-08"), position=10)
    await station.tick(WALL)
    assert await checked_until(context) == []

    # It lags at 4 January: checks up to there.
    await set_watermark(context, 2, at("2014-01-04T15:00"), position=6)
    await station.tick(WALL)
    assert await checked_until(context) == ["01-02", "01-03", "01-04"]

    # Read to its end, though with nothing newer: it holds nothing back, the greatest watermark counts.
    await set_watermark(context, 2, at("2014-01-05T10:00"), position=10)
    await station.tick(WALL)
    assert await checked_until(context) == [f"01-0{day}" for day in range(2, 10)]

    # A record arrives in partition 1 and is not collected: back to that partition's watermark, nothing undone.
    await produce(context, p1=1)
    await set_watermark(context, 0, at("2014-01-12"))
    await station.tick(WALL)
    assert len(await checked_until(context)) == 8
    await set_watermark(context, 1, at("2014-01-11"), position=11)
    await station.tick(WALL)
    # Nothing came after the tenth: the checks of the two days after it have nothing to say.
    assert (await checked_until(context))[-1] == "01-10"
    assert await state(context, "trig_drift", "last_condition_check_at") == (at("2014-01-12"),)


async def test_lag_is_seen_in_every_partition_of_the_topic(context: Context) -> None:
    watermarks = Watermarks(context)
    try:
        nothing = await watermarks.collected([KEY])
        assert await watermarks.lagging(nothing) == {0: False, 1: False, 2: False}
        await produce(context, p0=2, p2=1)
        assert await watermarks.lagging(nothing) == {0: True, 1: False, 2: True}
        await set_watermark(context, 0, at("2014-01-01"), position=2)
        half = await watermarks.collected([KEY])
        lagging = await watermarks.lagging(half)
        assert lagging == {0: False, 1: False, 2: True}
        assert half.watermark([KEY], lagging) is None
        assert half.watermark([KEY], {**lagging, 2: False}) == at("2014-01-01")
    finally:
        await watermarks.close()


async def test_a_record_between_the_snapshot_and_the_ends_counts_as_lag(context: Context) -> None:
    watermarks = Watermarks(context)
    try:
        await produce(context, p0=1, p1=1)
        await set_watermark(context, 0, at("2014-01-05"), position=1)
        await set_watermark(context, 1, at("2014-01-03"), position=1)
        collected = await watermarks.collected([KEY])
        await produce(context, p1=1)
        assert collected.watermark([KEY], await watermarks.lagging(collected)) == at("2014-01-03")
    finally:
        await watermarks.close()


async def test_another_namespace_s_collection_of_the_same_name_says_nothing(context: Context) -> None:
    await set_watermark(context, 0, at("2014-01-05"), position=0)
    watermarks = Watermarks(context)
    collected = await watermarks.collected([("ns_other", COLLECTION), KEY])
    assert collected.greatest([("ns_other", COLLECTION)]) is None
    assert collected.greatest([KEY]) == at("2014-01-05")
