"""A dated stream with known changes through broker, collect and trigger: each check it should have made, live or
caught up with, over one partition or twelve, with late documents and repeats."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.events.document import DocumentEvent
from streams.engines.drift.calibration import calibrate
from streams.engines.drift.metrics import measure
from streams.engines.drift.number_sketch import NumberSketch
from streams.engines.drift.series import AnySketch
from streams.engines.drift.sketch import Sketch
from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from streams.runtime.publisher import Publisher
from streams.settings import Settings
from streams.trigger.station import TriggerStation, build
from tests.collect.harness import NS, caught_up, collecting, define_trigger, fetch
from tests.support import TestBroker
from tests.trigger.support import end_job

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, PER_DAY, RISE, NEWS = 90, 6, 30, 70
"""Larger numbers from day 30, news of something else from day 70."""
OLD = ["parliament", "votes", "budget", "coalition", "talks", "deadline", "tax", "school", "strike", "harbour"]
NEW = ["virus", "outbreak", "hospital", "quarantine", "vaccine", "masks", "lockdown"]


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """As many partitions as the test says."""
    return settings.model_copy(update={"partitions": request.param})


def stream() -> list[DocumentEvent]:
    """The source, in the order it is sent."""
    chance = random.Random(5)
    events: list[DocumentEvent] = []
    for number in range(DAYS * PER_DAY):
        moment = START + number * DAY / PER_DAY
        day = number // PER_DAY
        words = chance.choices(OLD, k=5) if day < NEWS else chance.choices(OLD, k=2) + chance.choices(NEW, k=3)
        late = number % 17 == 16
        events.append(
            DocumentEvent(
                "document.upserted",
                NS,
                "col_a",
                f"d{number}",
                moment - 2.5 * DAY if late else moment,
                text=" ".join(words),
                payload={"size": {"kb": chance.gauss(100, 10) + (60 if day >= RISE else 0)}},
                event_id=f"e{number}",
            )
        )
        if number % 11 == 10:
            # At once, or long after, as a producer that restarts would.
            events.append(chance.choice(events[-30:]))
    return events


@dataclass(frozen=True)
class Case:
    """A trigger, and how to measure it plainly."""

    schedule: dict[str, Any]
    sketch: Callable[[Sequence[DocumentEvent]], AnySketch]
    empty: AnySketch


DRIFT = {
    "condition_type": "drift",
    "time_domain": "event_time",
    "check_interval_seconds": 86_400,
    "min_sample": 20,
}
WORDS = Case(
    DRIFT | {"window_seconds": 7 * 86_400, "baseline": {"until": "2024-02-20T00:00:00Z"}},
    lambda events: Sketch.empty(1_024).add(HashingEmbedder().embed([event.text or "" for event in events])),
    Sketch.empty(1_024),
)
SIZES = Case(
    DRIFT | {"field": "size.kb", "field_type": "number", "threshold": 0.35, "min_sample": 60},
    lambda events: NumberSketch.empty().add([event.payload["size"]["kb"] for event in events]),
    NumberSketch.empty(),
)

Made = tuple[datetime, float | None, bool]
"""Nominal time, value, whether it fired."""


def expected(case: Case) -> list[Made]:
    """Every check, recomputed plainly: each document once, late ones where the source had come to."""
    days: dict[int, list[DocumentEvent]] = {}
    seen: set[str | None] = set()
    greatest = START
    for event in stream():
        moment, greatest = max(event.occurred_at, greatest), max(event.occurred_at, greatest)
        if event.event_id not in seen:
            seen.add(event.event_id)
            days.setdefault((moment - START) // DAY, []).append(event)

    def between(first: int, last: int) -> AnySketch:
        events = [event for day in range(max(first, 0), last) for event in days.get(day, ())]
        return case.sketch(events) if events else case.empty

    schedule, made = case.schedule, list[Made]()
    sliding = schedule.get("window_seconds", 0) // 86_400
    until = datetime.fromisoformat(schedule["baseline"]["until"]) if "baseline" in schedule else None
    baseline: AnySketch | None = None
    threshold, since = schedule.get("threshold"), 0
    for day in range(1, (greatest - START) // DAY + 1):
        at = START + day * DAY
        if until is not None and at < until:
            continue
        current = between(day - sliding if sliding and baseline is not None else since, day)
        if baseline is None:
            made.append((at, None, False))
            if current.count >= schedule["min_sample"]:
                baseline, since = current, day
                if threshold is None:
                    buckets = [between(number, number + 1) for number in range(day)]
                    threshold = calibrate(buckets, "cosine_drift", window_buckets=sliding, min_sample=20).threshold
            continue
        value = measure(
            "ks" if "field" in schedule else "cosine_drift", baseline, current, min_sample=schedule["min_sample"]
        ).value
        fired = value is not None and threshold is not None and value > threshold
        made.append((at, value, fired))
        if fired:
            baseline, since = current, day
    return made


@asynccontextmanager
async def watching(context: Context) -> AsyncIterator[TriggerStation]:
    """A trigger station that is ticked by hand, and the triggers."""
    for trigger_id, case in (("trig_words", WORDS), ("trig_sizes", SIZES)):
        await define_trigger(context, trigger_id, "conditional", case.schedule)
    station = build(context)
    try:
        yield station
    finally:
        await station.close()


async def settle(context: Context, station: TriggerStation) -> None:
    """Make every check that is due; jobs succeed at once."""
    await caught_up(context)
    await station.tick(WALL)
    while await fetch(context, "SELECT FROM jobs WHERE status = 'pending'"):
        await end_job(context, WALL)
        await station.tick(WALL)


async def checks(context: Context, trigger_id: str) -> list[Made]:
    """The checks that were made."""
    rows = await fetch(
        context,
        "SELECT nominal_at, (measurement->>'value')::float8, fired FROM trigger_checks WHERE trigger_id = %s"
        " ORDER BY nominal_at",
        (trigger_id,),
    )
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("settings", [1, 12], indirect=True, ids=["1 partition", "12 partitions"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "catch-up"])
async def test_every_replay_makes_the_same_checks(context: Context, live: bool, real_kafka: TestBroker) -> None:
    events = stream()
    async with watching(context) as station:
        if live:
            async with collecting(context), Publisher(context.broker) as publisher:
                for start in range(0, len(events), 40):
                    for event in events[start : start + 40]:
                        await publisher.publish(event)
                    await publisher.drain()
                    await settle(context, station)
                await publisher.close()
                await settle(context, station)
        else:
            async with Publisher(context.broker) as publisher:
                for event in events:
                    await publisher.publish(event)
            async with collecting(context):
                await settle(context, station)
    assert await fetch(
        context, "SELECT sum(late)::int > 20, sum(duplicates)::int > 40 FROM collection_counters"
    ) == [(True, True)]
    for trigger_id, case in (("trig_words", WORDS), ("trig_sizes", SIZES)):
        assert await checks(context, trigger_id) == expected(case)


def test_the_recomputation_fires_in_the_right_windows_and_not_before() -> None:
    words = [at for at, _, fired in expected(WORDS) if fired]
    sizes = [at for at, _, fired in expected(SIZES) if fired]
    assert START + NEWS * DAY < words[0] <= START + (NEWS + 7) * DAY
    assert START + RISE * DAY < sizes[0] <= START + (RISE + 14) * DAY
