"""trigger: the clock. Fires schedules, checks conditions, decides windows (design sections 1, 4, 5 and 6).

Several loops share the station, so that a long replay of checks never delays a schedule. All that must survive is
in PostgreSQL; several trigger stations may run at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from streams.engines.rules import grid
from streams.runtime.agent import Context
from streams.runtime.list_counts import Folding
from streams.runtime.statistics import Statistics
from streams.runtime.ticking import every
from streams.runtime.together import together
from streams.trigger.alert_results.reading import AlertResults
from streams.trigger.alert_windows.deciding import AlertWindows
from streams.trigger.conditions.due import check_due, make_ready, parse_condition
from streams.trigger.conditions.store import Conditional, conditional_triggers
from streams.trigger.conditions.unpacked import Unpacked
from streams.trigger.erasing import Erasing
from streams.trigger.pruning import Pruning
from streams.trigger.schedules.firing import CLAIM, fire_due, turn_back
from streams.trigger.sweeps import Sweeps
from streams.trigger.watermarks import Watermarks

LOOK_BACK: Final = timedelta(minutes=1)
"""How often it is looked whether a clock has gone back."""

LANES: Final = 2
"""Transactions of schedules at a time, when more are due than one takes."""


class TriggerStation:
    """The agent. Tests drive :meth:`tick` with instants of their own instead of :meth:`run`."""

    name = "trigger"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watermarks = Watermarks(context)
        self._results = AlertResults(context, self.name)
        self._windows = AlertWindows(context, self.name)
        self._sweeps = Sweeps(context.database, context.settings.alert_sweep_seconds)
        self._erasing = Erasing(context.database)
        self._pruning = Pruning(context.database, context.settings.jobs_kept_days)
        self._folding = Folding(context.database)
        self._statistics = Statistics(context.database)
        self._stopping = asyncio.Event()
        self._looked_back_at: datetime | None = None
        self._unpacked = Unpacked()
        self._ready = False

    async def run(self) -> None:
        """Tick until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        try:
            await together(
                schedules=self._every(self._schedules),
                conditions=self._every(self._conditions),
                windows=self._every(self._windows.tick),
                results=self._every(self._read),
                sweeps=self._every(self._sweeps.tick),
                pruning=self._every(self._pruning.tick),
                erasing=self._every(self._erasing.tick),
                folding=self._every(self._folding.tick),
                statistics=self._every(self._statistics.tick),
            )
        finally:
            await self.close()

    def stop(self) -> None:
        """End after the transaction in hand."""
        self._stopping.set()
        self._results.stop()

    async def close(self) -> None:
        """Release what :meth:`tick` opened; :meth:`run` does it itself."""
        await self._watermarks.close()
        await self._windows.close()

    async def tick(self, now: datetime) -> None:
        """Do everything that is due at ``now``."""
        await self._schedules(now)
        await self._conditions(now)
        await self._windows.tick(now)
        await self._sweeps.tick(now)
        await self._pruning.tick(now)
        await self._erasing.tick(now)

    async def _every(self, work: Callable[[datetime], Awaitable[None]]) -> None:
        context = self._context
        seconds = context.settings.clock_seconds
        await every(seconds, work, station=self.name, clock=context.clock, stopping=self._stopping)

    async def _read(self, _: datetime) -> None:
        await self._results.run()

    async def _schedules(self, now: datetime) -> None:
        database, looked = self._context.database, self._looked_back_at
        if looked is None or now < looked or now - looked >= LOOK_BACK:
            while await turn_back(database, now) == CLAIM:
                pass
            self._looked_back_at = now
        if await fire_due(database, now):
            # While the database writes the fires of one transaction, those of the other are decided.
            await together(**{f"lane_{number}": self._fire(now) for number in range(LANES)})

    async def _fire(self, now: datetime) -> None:
        while not self._stopping.is_set() and await fire_due(self._context.database, now):
            pass

    async def _conditions(self, now: datetime) -> None:
        if not self._ready:
            await make_ready(self._context.database)
            self._ready = True
        async with self._context.database.connection() as connection:
            triggers = await conditional_triggers(connection, now)
        on_event_time: list[tuple[Conditional, int]] = []
        for listed in triggers:
            condition = parse_condition(listed.trigger)
            if condition is not None and condition.time_domain == "event_time":
                on_event_time.append((listed, condition.check_interval_seconds))
            else:
                await self._check(listed, now, now)
        if on_event_time:
            await self._event_time(on_event_time, now)

    async def _event_time(self, triggers: list[tuple[Conditional, int]], now: datetime) -> None:
        collected = await self._watermarks.collected(
            {key for listed, _ in triggers for key in listed.trigger.collections}
        )
        due = []
        for listed, interval in triggers:
            reach = collected.greatest(listed.trigger.collections)
            last = listed.last_check_at
            # Most ticks end here: only a nominal time within reach is worth asking the broker for.
            if reach is not None and (last is None or grid.after(last, interval) <= reach):
                due.append(listed)
        if not due:
            return
        lagging = await self._watermarks.lagging(collected)
        for listed in due:
            until = collected.watermark(listed.trigger.collections, lagging)
            if until is not None:
                await self._check(listed, until, now)

    async def _check(self, listed: Conditional, until: datetime, now: datetime) -> None:
        database, trigger_id = self._context.database, listed.trigger.trigger_id
        more = not self._stopping.is_set() and await check_due(
            database, trigger_id, until, now, self._unpacked, listed
        )
        # It is no longer what was listed.
        while more and not self._stopping.is_set():
            more = await check_due(database, trigger_id, until, now, self._unpacked)


def build(context: Context) -> TriggerStation:
    """The station of a worker; nothing is opened before it runs."""
    return TriggerStation(context)
