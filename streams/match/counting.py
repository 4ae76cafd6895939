"""The alerts of one collection that are decided over a window: what each document adds to them. Pure.

They have a percolator of their own, so that those decided by one document pay nothing for them. An alert that
fires on silence must know since when it has been listening: for it, a document that occurred before all others of
its partition is told as well, as a contribution of no documents.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from schemas.errors import DecodeError
from schemas.events.alert_result import Contribution, encode_contribution
from schemas.headers import LATE, header
from schemas.times import TimeDomain, parse_instant
from streams.engines.retrieval.execution.windowed import Window
from streams.engines.retrieval.percolate.percolator import Percolator
from streams.engines.rules.watermark import AHEAD
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival
from streams.match.compiled import plan_of

_NOTHING: Final[list[bytes]] = []


class Counting:
    """A percolator whose hits come as contributions."""

    def __init__(self) -> None:
        self._percolator: Percolator[StandingAlert] = Percolator((), plan_of)
        self._alerts: dict[int, StandingAlert] = {}
        """By number of the alert."""
        self._numbers: dict[int, int] = {}
        """Number of an alert → its number in the percolator."""
        self._earliest: dict[tuple[int, TimeDomain], datetime] = {}
        """Per partition the earliest document that those who listen to silence were told of."""

    def __len__(self) -> int:
        return len(self._alerts)

    def change(self, removed: Iterable[StandingAlert], added: Iterable[StandingAlert]) -> None:
        """Count for other alerts from now on."""
        for alert in removed:
            del self._alerts[alert.number]
            self._percolator.remove(self._numbers.pop(alert.number))
        for alert in added:
            self._alerts[alert.number] = alert
            self._numbers[alert.number] = self._percolator.add(alert)
            if window_of(alert).rule.silent:
                self._earliest.clear()

    def contributions(self, arrivals: Sequence[Arrival]) -> list[list[bytes]]:
        """For each document what it adds. A document adds nothing to an alert whose effect it is (design section
        3, loops)."""
        found = [
            [
                _contribution(hit.alert, arrival, hit.score)
                for hit in hits
                if hit.alert.alert_id not in arrival.causes
            ]
            for arrival, hits in zip(
                arrivals, self._percolator.match([arrival.event for arrival in arrivals]), strict=True
            )
        ]
        silent = [alert for alert in self._alerts.values() if window_of(alert).rule.silent]
        if silent:
            for at, arrival in enumerate(arrivals):
                found[at] += self._begun(silent, arrival)
        return found

    def _begun(self, silent: Sequence[StandingAlert], arrival: Arrival) -> list[bytes]:
        told = _NOTHING
        domains: tuple[tuple[TimeDomain, datetime], ...] = (
            ("event_time", arrival.event.occurred_at),
            ("processing_time", arrival.appended_at),
        )
        for domain, moment in domains:
            earliest = self._earliest.get((arrival.partition, domain))
            if earliest is None or moment < earliest:
                self._earliest[arrival.partition, domain] = moment
                told = told + [
                    encode_contribution(_empty(alert))
                    for alert in silent
                    if window_of(alert).rule.time_domain == domain
                ]
        return told


def window_of(alert: StandingAlert) -> Window:
    """The window of an alert that has one."""
    assert alert.window is not None
    return alert.window


def _contribution(alert: StandingAlert, arrival: Arrival, score: float) -> bytes:
    window = window_of(alert)
    rule = window.rule
    return encode_contribution(
        Contribution(
            alert.alert_id,
            window.series,
            rule.step_seconds,
            rule.time_domain,
            1,
            score,
            window.values(arrival.event, score),
            _late_at(arrival) if rule.time_domain == "event_time" else None,
        )
    )


def _late_at(arrival: Arrival) -> datetime | None:
    """How far the source of a late document says that it was, as far as it is believed."""
    try:
        text = header(arrival.headers, LATE)
        return None if text is None else min(parse_instant(text), arrival.appended_at + AHEAD)
    except (DecodeError, ValueError, OverflowError):
        # Collect puts such a record away.
        return None


def _empty(alert: StandingAlert) -> Contribution:
    window = window_of(alert)
    return Contribution(alert.alert_id, window.series, window.rule.step_seconds, window.rule.time_domain, 0)
