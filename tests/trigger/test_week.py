"""A week of mixed triggers on fake time, through the station and the database, gives exactly the fires that a
plain walk over every minute of the week gives."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from schemas.api.trigger import Status
from schemas.events.trigger import TriggerFamily
from streams.api.trigger_store import set_status
from streams.engines.rules.due import Policy, due_at
from streams.engines.rules.schedule import parse
from streams.runtime.agent import Context
from streams.runtime.definitions import StoredDefinition, find_definition
from streams.trigger.alert_results.counting import AlertEvents
from streams.trigger.station import TriggerStation
from tests.trigger.alert_results.test_counting import count, result
from tests.trigger.support import NAMESPACE, at, create_trigger, rows

START: Final = at("2024-03-29")  # Berlin's clocks go forward on the 31st
END: Final = at("2024-04-05")
MINUTE: Final = timedelta(minutes=1)
Nominal = Callable[[datetime], bool]


@dataclass(frozen=True)
class Case:
    """A trigger, and in plain words of code when it is due."""

    trigger_type: str
    config: dict[str, Any]
    nominal: Nominal
    run: timedelta = MINUTE
    """How long each of its runs takes."""
    paused: tuple[datetime, datetime] | None = None
    family: TriggerFamily = "trigger"


def local(zone: str) -> Callable[[datetime], datetime]:
    return lambda moment: moment.astimezone(ZoneInfo(zone))


def daily(zone: str, hour: int, minute: int) -> Nominal:
    shown = local(zone)
    return lambda moment: (shown(moment).hour, shown(moment).minute) == (hour, minute)


def every(seconds: int, start: datetime = START) -> Nominal:
    return lambda moment: moment > start and (moment - start) % timedelta(seconds=seconds) == timedelta(0)


HOURLY: Nominal = lambda moment: moment.minute == 0  # noqa: E731
DOWN: Final = (at("2024-04-02T03:10"), at("2024-04-02T09:50"))
"""No station runs."""
CASES: Final = {
    "trig_berlin": Case(
        "cron", {"cron_expression": "15 7 * * *", "timezone": "Europe/Berlin"}, daily("Europe/Berlin", 7, 15)
    ),
    "trig_kolkata": Case(
        "cron",
        {"cron_expression": "30 9 * * *", "timezone": "Asia/Kolkata"},
        daily("Asia/Kolkata", 9, 30),
        family="cluster_trigger",
    ),
    "trig_weekdays": Case(
        "cron",
        {"cron_expression": "*/20 8-9 * * 1-5", "timezone": "America/New_York"},
        lambda moment: (
            (shown := local("America/New_York")(moment)).hour in (8, 9)
            and shown.minute % 20 == 0
            and shown.isoweekday() < 6
        ),
    ),
    "trig_interval": Case("interval", {"interval_seconds": 5_400}, every(5_400), family="cluster_trigger"),
    "trig_skip": Case("cron", {"cron_expression": "0 * * * *"}, HOURLY, timedelta(minutes=150)),
    "trig_buffer": Case(
        "cron", {"cron_expression": "0 * * * *", "overlap_policy": "buffer_one"}, HOURLY, timedelta(minutes=150)
    ),
    "trig_all": Case(
        "cron", {"cron_expression": "0 * * * *", "overlap_policy": "allow_all"}, HOURLY, timedelta(minutes=150)
    ),
    "trig_window": Case(
        "cron",
        {"cron_expression": "0 * * * *", "overlap_policy": "allow_all", "catchup_window_seconds": 7_200},
        HOURLY,
    ),
    "trig_paused": Case(
        "cron", {"cron_expression": "0 * * * *"}, HOURLY, paused=(at("2024-03-30T10:30"), at("2024-04-01T00:30"))
    ),
    "trig_jitter": Case("cron", {"cron_expression": "0 * * * *", "jitter_seconds": 1_500}, HOURLY),
}


EVENT: Final = {"event_type": "alert_triggered", "event_threshold": 4, "cooldown_seconds": 6 * 3_600}


def an_alert_fires(now: datetime) -> bool:
    return (now - START) % timedelta(minutes=47) == timedelta(0)


def counted() -> list[datetime]:
    """The fires of the event trigger: the fourth event, and then the first after the cooldown of each."""
    fires: list[datetime] = []
    events = 0
    for now in minutes():
        if an_alert_fires(now):
            events += 1
            if events >= 4 and (not fires or now >= fires[-1] + timedelta(hours=6)):
                fires.append(now)
                events = 0
    return fires


@dataclass
class Walk:
    """What a case must do, minute by minute."""

    trigger_id: str
    case: Case
    waiting: list[datetime] = field(default_factory=list)
    """Nominal times that are not decided."""
    buffered: datetime | None = None
    open_until: list[datetime] = field(default_factory=list)
    fires: list[datetime] = field(default_factory=list)
    skipped: int = 0

    def due(self, nominal: datetime) -> datetime:
        config = self.case.config
        policy = Policy(jitter=timedelta(seconds=config.get("jitter_seconds", 0)))
        return due_at(self.trigger_id, parse(self.case.trigger_type, config), policy, nominal)

    def minute(self, now: datetime, *, up: bool) -> None:
        self.open_until = [end for end in self.open_until if end > now]
        paused = self.case.paused is not None and self.case.paused[0] <= now < self.case.paused[1]
        if self.case.nominal(now) and now > START and not paused:
            self.waiting.append(now)
        if not up:
            return
        overlap = self.case.config.get("overlap_policy", "skip")
        if self.buffered is not None and not self.open_until:
            self.fire(self.buffered, now)
            self.buffered = None
        while self.waiting and self.due(self.waiting[0]) <= now:
            nominal = self.waiting.pop(0)
            if now - self.due(nominal) > timedelta(
                seconds=self.case.config.get("catchup_window_seconds", 31_536_000)
            ):
                self.skipped += 1
            elif overlap == "allow_all" or not self.open_until:
                self.fire(nominal, now)
            elif overlap == "buffer_one" and self.buffered is None:
                self.buffered = nominal
            else:
                self.skipped += 1

    def fire(self, nominal: datetime, now: datetime) -> None:
        self.fires.append(nominal)
        self.open_until.append(now + self.case.run)


def minutes() -> Iterator[datetime]:
    now = START
    while now <= END:
        yield now
        now += MINUTE


def is_up(now: datetime) -> bool:
    return not DOWN[0] <= now < DOWN[1]


def expected() -> dict[str, Walk]:
    walks = {trigger_id: Walk(trigger_id, case) for trigger_id, case in CASES.items()}
    for now in minutes():
        for walk in walks.values():
            walk.minute(now, up=is_up(now))
    return walks


async def stored(context: Context, trigger_id: str) -> StoredDefinition:
    async with context.database.connection() as connection:
        found = await find_definition(connection, CASES[trigger_id].family, NAMESPACE, trigger_id)
    assert found is not None
    return found


async def end_runs(context: Context, now: datetime) -> None:
    """What act does with runs that take as long as their case says."""
    for seconds in {case.run.total_seconds() for case in CASES.values()}:
        names = [name for name, case in CASES.items() if case.run.total_seconds() == seconds]
        await rows(
            context,
            "UPDATE jobs SET status = 'completed' WHERE status = 'pending' AND trigger_id = ANY(%s)"
            " AND triggered_at <= %s RETURNING 1",
            names,
            now - timedelta(seconds=seconds),
        )


def worth_it(walks: dict[str, Walk]) -> set[datetime]:
    """The minutes at which anything can happen, so that the station need not be asked ten thousand times."""
    found: set[datetime] = {END, DOWN[1]}
    for walk in walks.values():
        for now in minutes():
            if walk.case.nominal(now):
                due = walk.due(now)
                whole = due.replace(second=0, microsecond=0)
                found |= {now, whole if whole == due else whole + MINUTE}
        for fire in walk.fires:
            found |= {fire + walk.case.run}
        found |= set(walk.case.paused or ())
    return found


async def test_a_week(context: Context, stations: list[TriggerStation]) -> None:
    walks = expected()
    for trigger_id, case in CASES.items():
        await create_trigger(context, trigger_id, case.trigger_type, case.config, now=START, family=case.family)
    await create_trigger(context, "trig_event", "event", EVENT, now=START)
    counting = AlertEvents()
    moments = worth_it(walks) | {now for now in minutes() if an_alert_fires(now)}
    for number, now in enumerate(minutes()):
        if now not in moments and number % 60:
            continue
        await end_runs(context, now)
        for trigger_id, case in CASES.items():
            if case.paused is not None and now in case.paused:
                async with context.database.transaction() as connection:
                    status: Status = "paused" if now == case.paused[0] else "active"
                    await set_status(connection, await stored(context, trigger_id), status, now)
        if an_alert_fires(now):
            await count(context, counting, replace(result(number), appended_at=now))
        if is_up(now):
            # One station after the other: what they know is in the database.
            await stations[number % len(stations)].tick(now)
    found: dict[str, list[datetime]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    for trigger_id, nominal, outcome in await rows(
        context, "SELECT trigger_id, nominal_at, outcome FROM jobs ORDER BY triggered_at, nominal_at"
    ):
        if outcome is None:
            found[trigger_id].append(nominal)
        else:
            skipped[trigger_id] += outcome["skipped"]
    for trigger_id, walk in walks.items():
        assert found[trigger_id] == walk.fires, trigger_id
        assert skipped[trigger_id] == walk.skipped, trigger_id
    assert found["trig_event"] == counted()


def test_the_week_has_something_of_everything() -> None:
    """A walk that fires nothing, or skips nothing, would prove nothing."""
    walks = expected()
    fires = {trigger_id: len(walk.fires) for trigger_id, walk in walks.items()}
    assert fires["trig_berlin"] == fires["trig_kolkata"] == 7
    assert walks["trig_berlin"].fires[0] + timedelta(days=6, hours=-1) == walks["trig_berlin"].fires[-1]
    assert fires["trig_skip"] < fires["trig_buffer"] < fires["trig_all"] == 168
    assert [walks[name].skipped > 0 for name in ("trig_skip", "trig_buffer", "trig_window")] == [True] * 3
    assert fires["trig_paused"] < fires["trig_all"]


@pytest.mark.parametrize("trigger_id", ["trig_jitter"])
def test_jitter_is_seen(trigger_id: str) -> None:
    walk = Walk(trigger_id, CASES[trigger_id])
    offsets = {walk.due(START + timedelta(hours=hour)) - START - timedelta(hours=hour) for hour in range(24)}
    assert len(offsets) > 20
