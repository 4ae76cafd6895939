"""Sends what is due: takes rows by lease, posts or copies them, records each attempt.

=====================================  =============================================================
killed                                 consequence
=====================================  =============================================================
after the claim, before the post       the lease runs out; another attempt is made
after the post, before it is recorded  the same: the receiver gets it twice, with the same webhook-id
after it is recorded                   nothing
=====================================  =============================================================
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from schemas.events.notification import DeliveryRecord
from streams.notify.aim import GoneError, aim
from streams.notify.channels import (
    LONGEST_TIMEOUT_SECONDS,
    Endpoint,
    Into,
    NotConfiguredError,
    SecretRef,
    Value,
    Way,
)
from streams.notify.copies import copy
from streams.notify.events import deliveries_of
from streams.notify.leases import Address, Claimed, Due, claim, due_deliveries, forget_old, record_attempt
from streams.notify.plan import AlertKey, Plan
from streams.notify.policy import Policy
from streams.notify.retry import Outcome, Verdict, judge
from streams.notify.slots import Slots
from streams.notify.store import load_policies, load_webhooks, take_events, write_plan
from streams.notify.webhook import Target, Webhooks
from streams.runtime import metrics
from streams.runtime.agent import Context
from streams.runtime.backoff import backoff_seconds, pause
from streams.runtime.failure import Disposition, classify
from streams.runtime.faults import fault
from streams.runtime.secrets import SecretKeyMissingError, SecretUnreadableError, read_secret

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.5
LEASE_MARGIN_SECONDS: Final = 10.0
"""A lease is this much longer than the attempt may take."""
LOOKED_AT: Final = 200
FORGET_EVERY: Final = timedelta(hours=1)
GRACE_SECONDS: Final = 1.0
"""How long attempts in flight may take after a stop; then they are left to their lease."""
_RECORD_TRIES: Final = 6


class Sender:
    """The sending half of the station."""

    def __init__(self, context: Context, webhooks: Webhooks) -> None:
        self._context = context
        self._webhooks = webhooks
        self._slots = Slots()
        self._attempts: dict[asyncio.Task[Outcome], tuple[Address, str]] = {}
        self._broken: BaseException | None = None
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something due."""
        self._wake.set()

    def stop(self) -> None:
        """Start nothing more, and end."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Send until :meth:`stop`. Raises what :func:`classify` calls STOP."""
        failures = 0
        forget_at = self._context.clock()
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                try:
                    if self._context.clock() >= forget_at:
                        forget_at = self._context.clock() + FORGET_EVERY
                        async with self._context.database.connection() as connection:
                            await forget_old(connection, self._context.clock())
                    started = await self._decide_events() + await self._start_due()
                except Exception as error:
                    if classify(error) is not Disposition.RETRY:
                        raise
                    failures += 1
                    log.warning("sender_retried", failures=failures, error=repr(error))
                    await pause(self._stopping, backoff_seconds(failures))
                    continue
                failures = 0
                if not started:
                    await pause(self._wake, POLL_SECONDS)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _decide_events(self) -> int:
        """Make deliveries of the oldest events; returns of how many."""
        async with self._context.database.transaction() as connection:
            events = await take_events(connection, LOOKED_AT)
            if not events:
                return 0
            own = await load_policies(connection, {event.subject for event in events if event.own})
            deliveries = deliveries_of(events, await load_webhooks(connection), own)
            await write_plan(connection, Plan(deliveries=deliveries), self._context.clock())
        return len(events)

    async def _start_due(self) -> int:
        """Claim and start as many due deliveries as there is room for; returns how many."""
        started = 0
        # Endpoints whose host is busy are left out of the search: however many of their deliveries wait, the
        # others' are found.
        excluded = {address for address, host in self._attempts.values() if not self._slots.room(host)}
        while self._slots.free and not self._stopping.is_set():
            now = self._context.clock()
            async with self._context.database.connection() as connection:
                due = await due_deliveries(connection, now, excluded, LOOKED_AT)
                policies = await load_policies(connection, {item.alert for item in due})
                aimed = _aim_all(policies, due)
                chosen = self._choose(aimed, excluded)
                leases = {item: now + _lease(aimed[item]) for item in chosen}
                claimed = await claim(connection, leases, now) if leases else []
            for item in claimed:
                self._begin(item, aimed[item.due])
            started += len(claimed)
            if len(due) < LOOKED_AT:
                break
        return started

    def _choose(self, aimed: Mapping[Due, Way | Outcome], excluded: set[Address]) -> list[Due]:
        """Those there is room for, oldest first; the endpoints of the others become ``excluded``."""
        chosen: list[Due] = []
        per_host: Counter[str] = Counter()
        for due, where in aimed.items():
            host = _host(where)
            if len(chosen) < self._slots.free and per_host[host] < self._slots.room(host):
                chosen.append(due)
                per_host[host] += 1
            else:
                excluded.add(due.address)
        return chosen

    def _begin(self, claimed: Claimed, aimed: Way | Outcome) -> None:
        host = _host(aimed)
        self._slots.take(host)
        task = asyncio.create_task(self._attempt(claimed, aimed), name=f"deliver-{claimed.webhook_id}")
        self._attempts[task] = (claimed.due.address, host)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        _, host = self._attempts.pop(task)
        error = None if task.cancelled() else task.exception()
        outcome = task.result() if error is None and not task.cancelled() else None
        self._slots.release(host, answered=outcome is None or outcome.answered)
        if error is not None and classify(error) is Disposition.STOP:
            self._broken = error
        elif error is not None:
            # The lease runs out and the attempt is made again, with the same webhook-id.
            log.warning("attempt_unrecorded", error=repr(error))
        self._wake.set()

    async def _attempt(self, claimed: Claimed, aimed: Way | Outcome) -> Outcome:
        match aimed:
            case Outcome():
                outcome = aimed
            case Into():
                outcome = await copy(self._context, claimed, aimed)
            case Endpoint():
                outcome = await self._post(claimed, aimed)
        await fault("notify:after-send")
        now = self._context.clock()
        verdict = judge(outcome, claimed.webhook_id, claimed.attempts + 1, claimed.created_at, now)
        if await self._record(claimed, verdict, outcome, now):
            metrics.DELIVERIES.labels(claimed.due.channel_type, verdict.status).inc()
        return outcome

    async def _post(self, claimed: Claimed, endpoint: Endpoint) -> Outcome:
        try:
            target = await self._target(claimed.due.namespace_id, endpoint)
        except NotConfiguredError as error:
            return Outcome(error=str(error), final="not_configured")
        except (SecretKeyMissingError, SecretUnreadableError) as error:
            # The operator can repair this with a setting; until then nothing goes out unsigned.
            return Outcome(error=str(error))
        return await self._webhooks.post(target, claimed.webhook_id, claimed.payload, self._context.clock())

    async def _target(self, namespace_id: str, endpoint: Endpoint) -> Target:
        secrets = await self._secrets(namespace_id, endpoint.secrets)

        def plain(value: Value) -> str:
            return value if isinstance(value, str) else secrets[value]

        return Target(
            url=plain(endpoint.url),
            headers={name: plain(value) for name, value in endpoint.headers},
            signing_secret=None if endpoint.signing_secret is None else plain(endpoint.signing_secret),
            timeout_seconds=endpoint.timeout_seconds,
        )

    async def _secrets(self, namespace_id: str, wanted: Collection[SecretRef]) -> dict[SecretRef, str]:
        if not wanted:
            return {}
        found: dict[SecretRef, str] = {}
        async with self._context.database.connection() as connection:
            for ref in wanted:
                key = self._context.settings.secret_key
                plain = await read_secret(connection, key, namespace_id, ref.secret_id)
                if plain is None:
                    raise NotConfiguredError("a secret of the channel no longer exists; set it again")
                found[ref] = plain
        return found

    async def _record(self, claimed: Claimed, verdict: Verdict, outcome: Outcome, now: datetime) -> bool:
        notice = DeliveryRecord(
            namespace_id=claimed.due.namespace_id,
            alert_id=claimed.due.alert_id,
            execution_id=claimed.due.execution_id,
            channel_index=claimed.due.channel_index,
            channel_type=claimed.due.channel_type,
            status=verdict.status,
            attempt=claimed.attempts + 1,
            at=now,
            error=None if verdict.error is None else verdict.error.replace("\x00", "")[:1_000],
            http_status=outcome.http_status,
        )
        for tried in range(1, _RECORD_TRIES + 1):
            try:
                async with self._context.database.transaction() as connection:
                    return await record_attempt(connection, claimed, verdict, notice, now)
            except Exception as error:
                if classify(error) is not Disposition.RETRY or tried == _RECORD_TRIES:
                    raise
                await pause(self._stopping, backoff_seconds(tried))
        return False


def _aim_all(policies: Mapping[AlertKey, Policy], due: Sequence[Due]) -> dict[Due, Way | Outcome]:
    """Where each goes, or the outcome of having nowhere to send to; worked out once per channel."""
    known: dict[Address, Way | Outcome] = {}
    for item in due:
        if item.address in known:
            continue
        where: Way | Outcome
        try:
            where = aim(policies, item.alert, item.channel, item.channel_type)
        except GoneError as error:
            where = Outcome(error=str(error), final="failed")
        except NotConfiguredError as error:
            where = Outcome(error=str(error), final="not_configured")
        known[item.address] = where
    return {item: known[item.address] for item in due}


def _host(aimed: Way | Outcome) -> str:
    return "" if isinstance(aimed, Outcome) else aimed.host


def _lease(aimed: Way | Outcome) -> timedelta:
    seconds = LONGEST_TIMEOUT_SECONDS if isinstance(aimed, Outcome) else aimed.timeout_seconds
    return timedelta(seconds=seconds + LEASE_MARGIN_SECONDS)
