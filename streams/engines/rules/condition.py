"""Conditional triggers: what is checked, how often, against which threshold (contract 4.8 and ours). Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from schemas.features import HASHING
from schemas.times import TimeDomain, format_instant
from streams.engines.drift.buckets import bucket_width
from streams.engines.rules import cooldown
from streams.engines.rules.decision import Decision
from streams.engines.rules.errors import ScheduleError

MAX_SECONDS = 100 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Condition:
    """The ``schedule_config`` of a conditional trigger."""

    condition_type: Literal["drift", "volume"]
    threshold: float
    metric: str
    feature_uri: str
    time_domain: TimeDomain
    check_interval_seconds: int
    window_seconds: int | None
    """A window that slides along with the checks; ``None``: everything since the baseline."""
    min_sample: int
    """Fewest documents a baseline and a window need before they are compared."""
    cooldown_seconds: int

    @property
    def bucket_seconds(self) -> int:
        """How wide the buckets are that collect writes and the checks read."""
        return bucket_width(self.check_interval_seconds, self.window_seconds)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> "Condition":
        """Read a ``schedule_config``. Raises :class:`ScheduleError`."""
        window = config.get("window_seconds")
        return cls(
            condition_type=cast(Literal["drift", "volume"], _word(config, "condition_type", "drift", "volume")),
            threshold=_threshold(config.get("threshold")),
            metric=_text(config, "metric", "cosine_drift"),
            feature_uri=_text(config, "feature_uri", HASHING),
            time_domain=cast(
                TimeDomain, _word(config, "time_domain", "processing_time", "event_time", absent="processing_time")
            ),
            check_interval_seconds=_whole(config, "check_interval_seconds", 3_600, least=1),
            window_seconds=None if window is None else _whole(config, "window_seconds", 0, least=1),
            min_sample=_whole(config, "min_sample", 100, least=1),
            cooldown_seconds=_whole(config, "cooldown_seconds", 0, least=0),
        )


@dataclass(frozen=True, slots=True)
class CheckState:
    """What a conditional trigger remembers from check to check, in the time domain of its checks."""

    baseline_at: datetime | None = None
    """Nominal time of the baseline: the window of the next check begins there, unless it slides."""
    last_fired_at: datetime | None = None
    """Nominal time of the last fire; the cooldown counts from it."""


def exceeded(condition: Condition, state: CheckState, at: datetime, reason: str) -> Decision[CheckState]:
    """The decision on a check at nominal time ``at`` whose measurement exceeds the threshold: fire, unless
    the cooldown holds it back. ``reason`` is the measurement in words.

    The baseline stays: it is replaced when the job of this fire has succeeded, and until that job has ended no
    further check is made (the busy rule), so a replay decides what the live run decided.
    """
    held = cooldown.decide(state.last_fired_at, at, condition.cooldown_seconds)
    if not held.fire:
        return Decision(False, f"{reason}, but {held.reason}", state)
    return Decision(True, reason, CheckState(state.baseline_at, held.new_state))


def window_words(condition: Condition, since: datetime | None) -> str:
    """The window of a check, for reasons: ``in 3600 s`` or ``since 2014-10-01T00:00:00.000Z``."""
    if condition.window_seconds is not None:
        return f"in {condition.window_seconds} s"
    return "since the beginning" if since is None else f"since {format_instant(since)}"


def numbers(value: float, threshold: float) -> tuple[str, str]:
    """Both numbers for a sentence: as short as tells them apart, thousands separated."""
    if float(value).is_integer() and float(threshold).is_integer():
        return f"{int(value):,}", f"{int(threshold):,}"
    for digits in (2, 4, 6):
        texts = f"{value:,.{digits}f}", f"{threshold:,.{digits}f}"
        if texts[0] != texts[1] or value == threshold:
            return texts
    return repr(value), repr(threshold)


def _threshold(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ScheduleError("threshold is required and must be a finite number")
    return float(value)


def _word(config: Mapping[str, Any], name: str, *words: str, absent: str | None = None) -> str:
    value = config.get(name)
    if value is None and absent is not None:
        return absent
    if value not in words:
        raise ScheduleError(f"{name} must be one of {', '.join(words)}, not {value!r}")
    return cast(str, value)


def _text(config: Mapping[str, Any], name: str, absent: str) -> str:
    value = config.get(name)
    if value is None:
        return absent
    if not isinstance(value, str) or not value:
        raise ScheduleError(f"{name} must be a non-empty string")
    return value


def _whole(config: Mapping[str, Any], name: str, absent: int, *, least: int) -> int:
    value = config.get(name)
    if value is None:
        return absent
    if type(value) is not int or not least <= value <= MAX_SECONDS:
        raise ScheduleError(f"{name} must be a whole number from {least} to {MAX_SECONDS}, not {value!r}")
    return value
