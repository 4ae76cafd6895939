"""Alerts with a window: decides windows whose time has come (design section 4).

What match tells is added up by :mod:`streams.trigger.alert_results`. Here each alert on each collection is
decided in one transaction, its row locked, the executions in the outbox. So several stations may run, and a
window is decided once however they are killed.
"""

from datetime import datetime, timedelta

from schemas.events.alert_result import AlertResultRecord, encode_alert_result
from schemas.ids import document_key
from schemas.times import to_seconds
from schemas.topics import ALERT_RESULTS
from streams.engines.rules.window import decide, next_moment, whole_window
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.definitions import current_version
from streams.runtime.faults import fault
from streams.runtime.outbox import Outgoing, enqueue_all
from streams.trigger.alert_windows import store as window_store
from streams.trigger.alert_windows.cut import Cut, Cuts
from streams.trigger.alert_windows.definitions import WindowedAlert, windowed_alerts
from streams.trigger.alert_windows.fires import records
from streams.trigger.alert_windows.folding import Series
from streams.trigger.alert_windows.store import Standing

CELLS = 5_000
"""Buckets looked at in one transaction, besides those of one window."""
LOOK_EVERY = timedelta(seconds=1)
FORGET_EVERY = timedelta(minutes=10)
"""How often it is looked for what was told for questions that nobody asks any more."""
FIRES = 500
"""Executions in one transaction."""


class AlertWindows:
    """Decides windows. Tests drive :meth:`tick` with instants of their own."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._database = context.database
        self._cuts = Cuts(context, name)
        self._looked_at: datetime | None = None
        self._version: tuple[str, int] | None = None
        self._alerts: list[WindowedAlert] = []
        self._cut: Cut | None = None
        self._forgot_at: datetime | None = None
        self._unasked: set[Series] = set()

    async def close(self) -> None:
        """Release what :meth:`tick` opened."""
        await self._cuts.close()

    async def tick(self, now: datetime) -> None:
        """Decide what is due, as far as everything has been added up. Definitions are looked at once a second."""
        if self._looked_at is None or not timedelta() <= now - self._looked_at < LOOK_EVERY:
            await self._refresh(now)
            self._looked_at = now
            await self._forget(now)
        if not self._alerts:
            return
        if self._cut is None and not await self._worth_it(now):
            return
        if self._cut is None:
            self._cut = await self._cuts.make({alert.collection for alert in self._alerts}, now)
        if not await self._cuts.ready(self._cut):
            return
        cut, self._cut = self._cut, None
        async with self._database.connection() as connection:
            standings = await window_store.standings(connection)
        for alert in self._alerts:
            until = cut.until(alert.collection, alert.rule.time_domain)
            if until is not None and _due(alert, standings.get(alert.place), to_seconds(until)):
                while await self._decide(alert, to_seconds(until), now):
                    pass

    async def _worth_it(self, now: datetime) -> bool:
        """Whether anything can be due: most ticks end here, without a question to the broker."""
        collected = await self._cuts.watermarks.collected({alert.collection for alert in self._alerts})
        async with self._database.connection() as connection:
            standings = await window_store.standings(connection)
        for alert in self._alerts:
            event_time = alert.rule.time_domain == "event_time"
            reach = collected.greatest([alert.collection]) if event_time else now
            if reach is not None and _due(alert, standings.get(alert.place), to_seconds(reach)):
                return True
        return False

    async def _refresh(self, now: datetime) -> None:
        async with self._database.connection() as connection:
            version = await current_version(connection)
        if self._version == (version.epoch, version.number):
            return
        async with self._database.transaction() as connection:
            # One worker at a time: what another begins for an alert that is not known here must not be dropped.
            await window_store.lock(connection)
            version = await current_version(connection)
            self._alerts = await windowed_alerts(connection, now)
        self._version = (version.epoch, version.number)

    async def _forget(self, now: datetime) -> None:
        """Match may be behind when a question changes, and tell of the old one when it has been dropped. It may
        also know a new one before this station does: what nobody asks is forgotten when it is met twice."""
        if self._forgot_at is not None and timedelta() <= now - self._forgot_at < FORGET_EVERY:
            return
        self._forgot_at = now
        async with self._database.transaction() as connection:
            unasked = await window_store.others(connection, [alert.series for alert in self._alerts])
            for series in sorted(unasked & self._unasked):
                await window_store.drop(connection, series)
        self._unasked = unasked

    async def _decide(self, alert: WindowedAlert, until: int, now: datetime) -> bool:
        """One transaction; returns whether there is more to decide."""
        rule = alert.rule
        async with self._database.transaction() as connection:
            claimed = await window_store.claim(connection, alert.series, now)
            if claimed is None:
                return False
            state, since = claimed.state, claimed.since
            if rule.time_domain == "processing_time":
                begun = to_seconds(claimed.created_at)
                since = begun if since is None else min(since, begun)
            first = None if state.through is None else state.through - rule.window_seconds
            limit = CELLS + rule.window_seconds // rule.step_seconds
            cells, more = await window_store.cells(connection, alert.series, first, limit)
            more = more and cells[-1].start < until
            reach = cells[-1].start if more else until
            state, fires = decide(rule, state, cells, reach, since, limit=FIRES)
            version = await current_version(connection)
            made = records(
                alert,
                fires,
                epoch=version.epoch,
                definitions_version=version.number,
                after=claimed.appended_at,
                now=now,
            )
            await enqueue_all(connection, ALERT_RESULTS, map(_outgoing, made))
            await window_store.save(
                connection,
                alert.series,
                state,
                next_moment(rule, state, cells, since),
                made[-1].appended_at if made else claimed.appended_at,
                rule.window_seconds,
            )
            await fault("trigger:before-window-commit")
        await fault("trigger:after-window-commit")
        metrics.EXECUTIONS.inc(len(made))
        return more or len(fires) == FIRES


def _outgoing(record: AlertResultRecord) -> Outgoing:
    key = document_key(record.namespace_id, record.collection_id, record.document_id)
    return Outgoing(key, encode_alert_result(record))


def _due(alert: WindowedAlert, known: Standing | None, until: int) -> bool:
    """Whether deciding up to ``until`` could change anything."""
    rule = alert.rule
    if known is None or known.series != alert.series or known.through is None:
        return True
    last = until // rule.step_seconds * rule.step_seconds
    if last <= known.through:
        return False
    moments = [known.next_at]
    if known.entering is not None:
        moments.append(known.entering + rule.step_seconds)
    if rule.silent and known.since is not None:
        moments.append(whole_window(rule, known.since))
    return any(moment is not None and known.through < moment <= last for moment in moments)
