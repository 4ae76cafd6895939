"""When a trigger fires: the four shapes of ``schedule_config`` (contract 4.8, with this server's extensions).

Instants are UTC, durations seconds.
"""

from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from schemas.api.base import ApiRequest, JsonObject, problem, read_part
from schemas.features import HASHING
from schemas.times import TimeDomain

TriggerType = Literal["cron", "interval", "event", "conditional"]

_YEAR: Final = 366 * 86_400
Seconds = Annotated[int, Field(ge=0, le=_YEAR)]


class CronSchedule(ApiRequest):
    """A cron expression of five fields in a time zone."""

    cron_expression: str = Field(min_length=1, max_length=200)
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise problem(f"unknown time zone {self.timezone[:64]!r}", "timezone") from None
        if len(self.cron_expression.split()) != 5:
            raise problem("five fields: minute hour day-of-month month day-of-week", "cron_expression")
        return self


class IntervalSchedule(ApiRequest):
    """Every so many seconds."""

    interval_seconds: int = Field(ge=1, le=_YEAR)
    start_immediately: bool = False


class EventSchedule(ApiRequest):
    """After so many events; without a collection those of any collection of the action count. ``alert_id``: only
    executions of this alert count as ``alert_triggered`` (absent: those of every alert)."""

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


class ConditionalSchedule(ApiRequest):
    """When a collection drifts from its baseline or grows.

    ``window_seconds``: how much of the present is compared (absent: all since the baseline). ``min_sample``:
    documents needed on each side. ``time_domain``: whether buckets and checks run on the time of processing
    or of the documents. ``allowed_lateness_seconds``: event time, how far out of order is in time.
    """

    condition_type: Literal["drift", "volume"]
    threshold: float
    metric: str = Field("cosine_drift", min_length=1, max_length=64)
    check_interval_seconds: int = Field(3600, ge=1, le=_YEAR)
    collection_id: str | None = Field(None, min_length=1)
    cooldown_seconds: Seconds = 0
    feature_uri: str = Field(HASHING, min_length=1, max_length=512)
    time_domain: TimeDomain = "processing_time"
    window_seconds: int | None = Field(None, ge=1, le=_YEAR)
    min_sample: int = Field(100, ge=2, le=2**31)
    allowed_lateness_seconds: float = Field(0, ge=0, le=_YEAR)


_SHAPES: Final[dict[str, type[ApiRequest]]] = {
    "cron": CronSchedule,
    "interval": IntervalSchedule,
    "event": EventSchedule,
    "conditional": ConditionalSchedule,
}


def read_schedule(trigger_type: TriggerType, raw: JsonObject) -> JsonObject:
    """A ``schedule_config`` checked and with its defaults. Raises ``ValidationError`` placed at
    ``schedule_config``."""
    return read_part(_SHAPES[trigger_type], raw, "schedule_config").filled()
