"""When a trigger fires: the four shapes of ``schedule_config`` (contract 4.8, with this server's extensions).

Instants are UTC, durations seconds.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue

from schemas.api.base import (
    CONFLICT,
    SHAPE,
    ApiRequest,
    ApiResponse,
    GivenInstant,
    Instant,
    JsonObject,
    having,
    lacking,
    problem,
    read_part,
)
from schemas.api.filters import PATH
from schemas.features import FIELD_METRICS, HASHING
from schemas.times import TimeDomain

TriggerType = Literal["cron", "interval", "event", "conditional"]

_YEAR: Final = 366 * 86_400
Seconds = Annotated[int, Field(ge=0, le=_YEAR)]


def _zones(schema: JsonSchemaValue) -> None:
    schema["enum"] = sorted(available_timezones())


def _field(largest: int, least: int = 0, *words: str) -> str:
    """One field of a cron expression: all, every so many, or a list of numbers, ranges and words."""
    ranges = "|".join(
        f"{first}-({'|'.join(map(str, range(first + 1, largest + 1)))})" for first in range(least, largest)
    )
    numbers = "|".join(map(str, range(least, largest + 1)))
    item = f"({'|'.join((*words, ranges, numbers))})"
    return rf"(\*(/({'|'.join(map(str, range(1, largest + 1)))}))?|{item}(,{item}){{0,9}})"


_WEEKDAY: Final = _field(6, 0, "MON-FRI", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_HOURS: Final = f"{_field(59)} {_field(23)}"
_CRON: Final = f"^{_HOURS} ({_field(31, 1)} \\*|{_field(28, 1)} {_field(12, 1)}) {_WEEKDAY}$"
"""What is surely an expression; others are read too: names of months, L, days 29 to 31 of some months."""


class _Kept(ApiRequest):
    """How a schedule is kept, as Temporal keeps its own: whether a nominal time fires while the run before is not
    over, how late one that was missed still fires, and how far fires are spread (docs/triggers.md)."""

    overlap_policy: Literal["skip", "buffer_one", "allow_all"] = "skip"
    catchup_window_seconds: int = Field(365 * 86_400, ge=10, le=_YEAR)
    jitter_seconds: int = Field(0, ge=0, le=86_400)


class CronSchedule(_Kept):
    """A cron expression of five fields in a time zone."""

    cron_expression: str = Field(min_length=1, max_length=200, json_schema_extra={"pattern": _CRON})
    timezone: str = Field("UTC", json_schema_extra=_zones)

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise problem(f"unknown time zone {self.timezone[:64]!r}", "timezone") from None
        if len(self.cron_expression.split()) != 5:
            raise problem("five fields: minute hour day-of-month month day-of-week", "cron_expression")
        return self


class IntervalSchedule(_Kept):
    """Every so many seconds."""

    interval_seconds: int = Field(ge=1, le=_YEAR)
    start_immediately: bool = False


class EventSchedule(ApiRequest):
    """After so many events; without a collection those of any collection of the action count. ``alert_id``: only
    executions of this alert count as ``alert_triggered`` (absent: those of every alert)."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [lacking("alert_id"), having("event_type", event_type={"const": "alert_triggered"})]
        }
    )

    event_type: Literal["documents_added", "documents_updated", "documents_deleted", "alert_triggered"]
    event_threshold: int = Field(1, ge=1, le=2**53)
    collection_id: str | None = Field(None, min_length=1)
    alert_id: str | None = Field(None, min_length=1)
    cooldown_seconds: Seconds = 0

    @model_validator(mode="after")
    def _alert_of_alerts(self) -> Self:
        if self.alert_id is not None and self.event_type != "alert_triggered":
            raise problem("only event_type 'alert_triggered' is about an alert", "alert_id")
        return self


_DAY: Final = "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_SECOND: Final = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
WholeSecond = Annotated[
    GivenInstant, WithJsonSchema({"type": "string", "pattern": f"^[12][0-9]{{3}}-{_DAY}{_SECOND}$"})
]
"""A day other than the 29th of February, which is read too."""


class Period(ApiRequest):
    """The time a baseline is taken from: from ``from`` on, before ``until``; at least one of them."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [having("from"), having("until")]})

    from_: WholeSecond | None = Field(None, alias="from")
    until: WholeSecond | None = None

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.from_ is None and self.until is None:
            raise problem("say `from`, `until` or both", "from")
        for name, moment in (("from", self.from_), ("until", self.until)):
            if moment is not None and moment.microsecond:
                raise problem("a whole second, with its time zone", name)
        if self.from_ is not None and self.until is not None and self.from_ >= self.until:
            raise problem("after `from`", "until", kind=CONFLICT)
        return self


METRICS: Final[Mapping[str, Sequence[str]]] = {
    "embedding": ("cosine_drift", "psi", "js", "ks", "wasserstein", "mmd"),
    "number": ("psi", "js", "ks", "wasserstein", "mmd"),
    "category": ("cosine_drift", "psi", "js", "mmd"),
}
"""By what is measured, the metrics that compare it."""


def _drift(kind: str) -> JsonObject:
    """What of a payload field is measured."""
    return having(
        *("condition_type", "field", "field_type"),
        condition_type={"const": "drift"},
        field_type={"const": kind},
        metric={"enum": [*METRICS[kind], None]},
        feature_uri={"type": "null"},
    )


_DRIFT: Final = (
    having(
        "condition_type",
        condition_type={"const": "drift"},
        metric={"enum": [*METRICS["embedding"], None]},
        field={"type": "null"},
        field_type={"type": "null"},
    ),
    _drift("number"),
    _drift("category"),
    having(
        *("condition_type", "field", "metric"),
        condition_type={"const": "drift"},
        field_type={"type": "null"},
        metric={"enum": ["ks", "wasserstein", "cosine_drift"]},
        feature_uri={"type": "null"},
    ),
)
_VOLUME: Final[JsonObject] = {
    "allOf": [
        having("condition_type", "threshold", condition_type={"const": "volume"}),
        {"anyOf": [lacking("field"), having("metric"), having("field_type")]},
    ]
}
_OPEN: Final[JsonObject] = {"properties": {"until": {"type": "null"}}}


class ConditionalSchedule(ApiRequest):
    """When a collection drifts from its baseline or grows.

    What is measured: ``feature_uri``, an embedding (absent: the built-in one of words), or ``field``, a dotted
    payload path whose ``field_type`` is number or category (it may be left out where ``metric`` says it).
    ``threshold``: absent for drift, it is calibrated on the baseline's own time buckets at ``false_alarm_rate``.
    ``window_seconds``: how much of the present is compared (absent: all since the baseline). ``baseline`` or
    ``baseline_seconds``: what it is compared with (absent: the first window that has enough). ``min_sample``:
    values needed on each side. ``time_domain``: whether buckets and checks run on the time of processing
    or of the documents. ``allowed_lateness_seconds``: event time, how far out of order is in time.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"anyOf": [_VOLUME, *_DRIFT]},
                {"anyOf": [lacking("baseline_seconds"), {"properties": {"baseline": _OPEN}}]},
            ]
        }
    )

    condition_type: Literal["drift", "volume"]
    threshold: float | None = None
    metric: str | None = Field(None, min_length=1, max_length=64)
    check_interval_seconds: int = Field(3600, ge=1, le=_YEAR)
    collection_id: str | None = Field(None, min_length=1)
    cooldown_seconds: Seconds = 0
    feature_uri: str | None = Field(None, min_length=1, max_length=512)
    field: str | None = Field(None, min_length=1, max_length=512, json_schema_extra={"pattern": PATH["pattern"]})
    field_type: Literal["number", "category"] | None = None
    false_alarm_rate: float | None = Field(None, gt=0, lt=0.5)
    baseline: Period | None = None
    baseline_seconds: int | None = Field(None, ge=1, le=100 * _YEAR)
    time_domain: TimeDomain = "processing_time"
    window_seconds: int | None = Field(None, ge=1, le=_YEAR)
    min_sample: int = Field(100, ge=2, le=2**31)
    allowed_lateness_seconds: float = Field(0, ge=0, le=_YEAR)

    @model_validator(mode="after")
    def _filled_in(self) -> Self:
        if self.condition_type == "volume" and self.threshold is None:
            raise problem("required for volume: how many documents are too many", "threshold")
        if self.field is None:
            self.feature_uri = self.feature_uri or HASHING
            self.metric = self.metric or "cosine_drift"
        elif self.metric is None:
            if self.field_type is None:
                raise problem("number or category, or name a metric that says it", "field_type")
            self.metric = FIELD_METRICS[self.field_type]
        return self


SHAPES: Final[Mapping[str, type[ApiRequest]]] = {
    "cron": CronSchedule,
    "interval": IntervalSchedule,
    "event": EventSchedule,
    "conditional": ConditionalSchedule,
}


ANY_SCHEDULE: Final[JsonObject] = {"anyOf": [{SHAPE: shape.__name__} for shape in SHAPES.values()]}


def read_schedule(trigger_type: TriggerType, raw: JsonObject) -> JsonObject:
    """A ``schedule_config`` checked and with its defaults. Raises ``ValidationError`` placed at
    ``schedule_config``."""
    return read_part(SHAPES[trigger_type], raw, "schedule_config").filled()


def fits_another(trigger_type: TriggerType, raw: JsonObject) -> bool:
    """Whether a ``schedule_config`` is one of another type of trigger."""
    for other in SHAPES.keys() - {trigger_type}:
        with suppress(ValidationError):
            SHAPES[other].model_validate(raw)
            return True
    return False


class BackfillRequest(ApiRequest):
    """Run the nominal times of a schedule from ``start_at`` to ``end_at``, both included, once more."""

    start_at: GivenInstant
    end_at: GivenInstant

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end_at < self.start_at:
            raise problem("end_at must not be before start_at", "end_at", kind=CONFLICT)
        return self


class BackfillResponse(ApiResponse):
    """``task_ids`` are the runs of the range's nominal times, in their order; ``queued`` of them are new, the
    others were asked for before."""

    trigger_id: str
    start_at: Instant
    end_at: Instant
    total: int
    queued: int
    task_ids: list[str]
