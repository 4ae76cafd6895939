"""Conditional triggers: what is checked, how often, against which threshold (contract 4.8 and ours). Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from schemas.features import FIELD_METRICS, HASHING
from schemas.times import TimeDomain, format_instant, parse_instant, to_seconds
from streams.engines.drift.buckets import bucket_width
from streams.engines.drift.calibration import DEFAULT_FALSE_ALARM_RATE
from streams.engines.drift.metrics import METRICS, find_metric
from streams.engines.retrieval.filters.paths import parse_path
from streams.engines.rules import cooldown
from streams.engines.rules.decision import Decision
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.measured import DOCUMENTS, Measured

FieldType = Literal["number", "category"]
_FIELD_TYPES: Final[tuple[FieldType, ...]] = ("number", "category")
MAX_SECONDS = 100 * 366 * 86_400
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class BaselinePeriod:
    """What the baseline is taken from. Nothing given: the first window that has enough documents."""

    since: datetime | None = None
    until: datetime | None = None
    seconds: int | None = None
    """How long it is, from ``since`` or from the first document."""

    def end(self, first: datetime | None) -> datetime | None:
        """Where a period that is bounded ends; ``first`` is when the series begins. ``None``: it has no end."""
        begin = self.since or first
        if self.seconds is None or begin is None:
            return self.until
        try:
            return begin + timedelta(seconds=self.seconds)
        except OverflowError:
            return None

    @property
    def bounded(self) -> bool:
        """Whether it says where the baseline ends."""
        return self.until is not None or self.seconds is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """The ``schedule_config`` of a conditional trigger."""

    condition_type: Literal["drift", "volume"]
    threshold: float | None
    """``None``: calibrated on the baseline's own time buckets."""
    metric: str
    measured: Measured
    time_domain: TimeDomain
    check_interval_seconds: int
    window_seconds: int | None
    """A window that slides along with the checks; ``None``: everything since the baseline."""
    min_sample: int
    """Fewest documents a baseline and a window need before they are compared."""
    cooldown_seconds: int
    false_alarm_rate: float
    baseline: BaselinePeriod
    allowed_lateness_seconds: float
    """On event time, how far out of order a document without a watermark may come and still be in time."""

    @property
    def bucket_seconds(self) -> int:
        """How wide the narrowest buckets are that collect writes and the checks read."""
        edges = (self.baseline.since, self.baseline.until)
        return bucket_width(
            self.check_interval_seconds,
            self.window_seconds,
            self.baseline.seconds,
            *(to_seconds(edge) % _DAY or None for edge in edges if edge is not None),
        )

    def effective_threshold(self, state: "CheckState") -> float | None:
        """The threshold as given, else as calibrated; ``None`` before there is one."""
        return state.threshold if self.threshold is None else self.threshold

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> "Condition":
        """Read a ``schedule_config``. Raises :class:`ScheduleError`."""
        kind = cast(Literal["drift", "volume"], _word(config, "condition_type", "drift", "volume"))
        metric, measured = _measured(config) if kind == "drift" else ("volume", DOCUMENTS)
        window = config.get("window_seconds")
        return cls(
            condition_type=kind,
            threshold=_threshold(config.get("threshold"), kind),
            metric=metric,
            measured=measured,
            time_domain=cast(
                TimeDomain, _word(config, "time_domain", "processing_time", "event_time", absent="processing_time")
            ),
            check_interval_seconds=_whole(config, "check_interval_seconds", 3_600, least=1),
            window_seconds=None if window is None else _whole(config, "window_seconds", 0, least=1),
            min_sample=_whole(config, "min_sample", 100, least=1),
            cooldown_seconds=_whole(config, "cooldown_seconds", 0, least=0),
            false_alarm_rate=_share(config, "false_alarm_rate", DEFAULT_FALSE_ALARM_RATE),
            baseline=_period(config),
            allowed_lateness_seconds=_lateness(config.get("allowed_lateness_seconds")),
        )


@dataclass(frozen=True, slots=True)
class CheckState:
    """What a conditional trigger remembers from check to check, in the time domain of its checks."""

    baseline_at: datetime | None = None
    """Where the baseline ends: the window of the next check begins there, unless it slides."""
    last_fired_at: datetime | None = None
    """Nominal time of the last fire; the cooldown counts from it."""
    threshold: float | None = None
    """The one that was calibrated on the baseline."""


def exceeded(condition: Condition, state: CheckState, at: datetime, reason: str) -> Decision[CheckState]:
    """The decision on a check at nominal time ``at`` whose measurement exceeds the threshold: fire, unless
    the cooldown holds it back. ``reason`` is the measurement in words.

    The baseline stays: it is replaced when the job of this fire has succeeded, and until that job has ended no
    further check is made (the busy rule), so a replay decides what the live run decided.
    """
    held = cooldown.decide(state.last_fired_at, at, condition.cooldown_seconds)
    if not held.fire:
        return Decision(False, f"{reason}, but {held.reason}", state)
    return Decision(True, reason, replace(state, last_fired_at=held.new_state))


def window_words(condition: Condition, since: datetime | None) -> str:
    """The window of a check, for reasons: ``in 3600 s`` or ``since 2014-10-01T00:00:00.000Z``."""
    if condition.window_seconds is not None:
        return f"in {condition.window_seconds} s"
    return "since the beginning" if since is None else f"since {format_instant(since)}"


def numbers(value: float, threshold: float) -> tuple[str, str]:
    """Both numbers for a sentence: as short as tells them apart, thousands separated."""
    if float(value).is_integer() and float(threshold).is_integer():
        return f"{int(value):,}", f"{int(threshold):,}"
    # Two digits that count, also of a small threshold.
    fewest = 2 if not 0 < abs(threshold) < 0.1 else min(6, 1 - math.floor(math.log10(abs(threshold))))
    for digits in (fewest, 4, 6):
        texts = f"{value:,.{digits}f}", f"{threshold:,.{digits}f}"
        if texts[0] != texts[1] or value == threshold:
            return texts
    return repr(value), repr(threshold)


def _measured(config: Mapping[str, Any]) -> tuple[str, Measured]:
    """The metric, and what it compares."""
    field = config.get("field")
    said = config.get("field_type")
    given_type = None if said is None else cast(FieldType, _word(config, "field_type", *_FIELD_TYPES))
    if field is None:
        if given_type is not None:
            raise ScheduleError("field_type is about a payload field: name it in `field`")
        metric = _text(config, "metric", "cosine_drift")
        measured = Measured.of_feature(_text(config, "feature_uri", HASHING))
        _check(metric, measured)
        return metric, measured
    if config.get("feature_uri") is not None:
        raise ScheduleError("a trigger measures either feature_uri or field, not both")
    path = _text(config, "field", "")
    try:
        parse_path(path)
    except ValueError as error:
        raise ScheduleError(f"field: {error}") from None
    if given_type is None and config.get("metric") is None:
        raise ScheduleError("field_type is required where metric does not say it: number or category")
    metric = _text(config, "metric", FIELD_METRICS.get(given_type or "", ""))
    measured = Measured(given_type or _field_type(metric), path)
    _check(metric, measured)
    return metric, measured


def _check(metric: str, measured: Measured) -> None:
    """Whether the metric is known and compares what is measured."""
    try:
        find_metric(metric, None if measured.kind == "document" else measured.kind)
    except ValueError as error:
        raise ScheduleError(str(error)) from None


def _field_type(metric: str) -> FieldType:
    """What a payload field holds when only the metric says it."""
    possible = [kind for kind in _FIELD_TYPES if metric not in METRICS or kind in METRICS[metric].kinds]
    if len(possible) > 1 and metric in METRICS:
        raise ScheduleError(f"metric {metric!r} compares numbers and categories: say which in field_type")
    return possible[0]


def _period(config: Mapping[str, Any]) -> BaselinePeriod:
    raw = config.get("baseline")
    if raw is not None and not (isinstance(raw, dict) and raw.keys() <= {"from", "until"}):
        raise ScheduleError("baseline says `from` and `until`, instants, at least one of them")
    since, until = (_edge(raw or {}, name) for name in ("from", "until"))
    length = config.get("baseline_seconds")
    if length is not None:
        if until is not None:
            raise ScheduleError("a baseline ends at baseline.until or after baseline_seconds, not both")
        length = _whole(config, "baseline_seconds", 0, least=1)
    if since is not None and until is not None and since >= until:
        raise ScheduleError("baseline.from must be before baseline.until")
    return BaselinePeriod(since, until, length)


def _edge(raw: Mapping[str, Any], name: str) -> datetime | None:
    value = raw.get(name)
    if value is None:
        return None
    try:
        moment = parse_instant(value)
    except (TypeError, ValueError, OverflowError):
        raise ScheduleError(f"baseline.{name} must be an instant in ISO 8601, not {value!r}") from None
    if moment.microsecond:
        raise ScheduleError(f"baseline.{name} must be a whole second")
    return moment


def _threshold(value: object, kind: str) -> float | None:
    if value is None and kind == "drift":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        needed = "is required and must be" if kind == "volume" else "must be"
        raise ScheduleError(f"threshold {needed} a finite number")
    return float(value)


def _lateness(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise ScheduleError(f"allowed_lateness_seconds must be a number from 0 to {MAX_SECONDS}, not {value!r}")
    return float(value)


def _share(config: Mapping[str, Any], name: str, absent: float) -> float:
    value = config.get(name)
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.5:
        raise ScheduleError(f"{name} must be a number between 0 and 0.5, not {value!r}")
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
