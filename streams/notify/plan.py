"""Which executions are delivered, which are held back, and what the alerts' states become. Pure.

For each execution of an enabled alert the cooldown decides (``streams.engines.rules.cooldown``) on the append
time of the document, so that a backlog and a live stream decide alike. Each channel of one that may go out is a
delivery. One that is held back shows in its ``deliveries`` as ``deferred`` with the reason, and is counted.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.events.notification import DeliveryRecord, DeliveryStatus
from schemas.headers import CauseDepthError
from streams.engines.rules.cooldown import decide
from streams.notify.channels import NotConfiguredError, body, identity, way
from streams.notify.policy import Policy

EXPLAINED_PER_BATCH: Final = 50
"""At most so many held-back executions of one alert get a record of their own per batch. All are counted; an
alert that fires a thousand times a second in its cooldown must not cost a thousand records a second."""

AlertKey = tuple[str, str]
"""Namespace and alert."""


@dataclass(frozen=True, slots=True)
class NotifyState:
    """What is remembered of one alert."""

    last_fired_at: datetime | None = None
    suppressed: int = 0
    """Executions held back by the cooldown so far. They leave no row, so a repeat is counted again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One execution over one channel, to be sent."""

    execution_id: str
    channel_index: int
    namespace_id: str
    alert_id: str
    channel_type: str
    channel: bytes
    """The channel's ``identity``: where it leads."""
    payload: bytes
    problem: str | None = None
    """Why the channel cannot deliver as it is configured; then nothing is sent."""

    @property
    def webhook_id(self) -> str:
        """The same over every retry; a receiver drops what it has."""
        return f"{self.execution_id}_{self.channel_index}"


@dataclass(slots=True)
class Plan:
    """What one batch of results leads to."""

    deliveries: list[Delivery] = field(default_factory=list)
    notices: list[DeliveryRecord] = field(default_factory=list)
    """Records for ``notifications`` that go out with the decision: held back, or not configured."""
    states: dict[AlertKey, NotifyState] = field(default_factory=dict)
    """Changed states."""


def plan(
    records: Iterable[AlertResultRecord],
    policies: Mapping[AlertKey, Policy],
    states: Mapping[AlertKey, NotifyState],
    planned: Collection[str],
    now: datetime,
) -> Plan:
    """Decide a batch.

    ``planned`` are executions that have delivery rows already: a repeat of one changes nothing. Alerts without
    a policy were deleted, disabled ones were switched off after the match: nobody is told of either.
    """
    result = Plan()
    seen = set(planned)
    explained: Counter[AlertKey] = Counter()
    # Records of several partitions arrive interleaved: one order of time for all of them.
    for record in sorted(records, key=lambda r: (r.appended_at, r.source_partition, r.source_offset)):
        for execution_id, hit in record.executions():
            key = (record.namespace_id, hit.alert_id)
            alert = policies.get(key)
            if alert is None or not alert.enabled or not hit.triggered or execution_id in seen:
                continue
            seen.add(execution_id)
            state = result.states.get(key) or states.get(key) or NotifyState()
            decision = decide(state.last_fired_at, _moment(record), alert.cooldown_seconds)
            if decision.fire and hit.held is None:
                result.states[key] = NotifyState(decision.new_state, state.suppressed)
                _deliver(result, record, execution_id, hit, alert, now)
                continue
            result.states[key] = NotifyState(state.last_fired_at, state.suppressed + 1)
            explained[key] += 1
            if explained[key] <= EXPLAINED_PER_BATCH:
                _hold_back(result, execution_id, alert, hit.held or decision.reason, now)
    return result


def _moment(record: AlertResultRecord) -> datetime:
    """The clock of the cooldown: the append time of the document; the instant that a window or a sweep was decided
    for, where there is none."""
    return record.appended_at if record.source_topic else record.occurred_at


def _deliver(
    result: Plan, record: AlertResultRecord, execution_id: str, hit: AlertHit, alert: Policy, now: datetime
) -> None:
    for index, channel in enumerate(alert.channels):
        problem, payload = None, b""
        try:
            way(channel)
            payload = body(channel, record, execution_id, hit, alert)
        except (NotConfiguredError, CauseDepthError) as error:
            problem = str(error)
            status: DeliveryStatus = "not_configured" if isinstance(error, NotConfiguredError) else "failed"
            result.notices.append(_notice(execution_id, alert, index, status, problem, now))
        result.deliveries.append(
            Delivery(
                execution_id=execution_id,
                channel_index=index,
                namespace_id=alert.namespace_id,
                alert_id=alert.alert_id,
                channel_type=_type(alert, index),
                channel=identity(channel),
                payload=payload,
                problem=problem,
            )
        )


def _hold_back(result: Plan, execution_id: str, alert: Policy, reason: str, now: datetime) -> None:
    for index in range(len(alert.channels)):
        result.notices.append(_notice(execution_id, alert, index, "deferred", f"not sent: {reason}", now))


def _notice(
    execution_id: str, alert: Policy, index: int, status: DeliveryStatus, error: str, now: datetime
) -> DeliveryRecord:
    return DeliveryRecord(
        namespace_id=alert.namespace_id,
        alert_id=alert.alert_id,
        execution_id=execution_id,
        channel_index=index,
        channel_type=_type(alert, index),
        status=status,
        attempt=0,
        at=now,
        error=error,
    )


def _type(alert: Policy, index: int) -> str:
    return str(alert.channels[index].get("channel_type"))
