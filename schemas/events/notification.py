"""``notifications``: one record per delivery attempt."""

from datetime import datetime
from typing import Literal

from schemas.events.frozen import Record

DeliveryStatus = Literal["delivered", "failed", "deferred", "not_configured"]
"""The words of the contract (4.1): ``deferred`` means another attempt will follow or a cooldown held it back."""


class DeliveryRecord(Record):
    """One attempt to deliver one alert execution over one channel."""

    namespace_id: str
    alert_id: str
    execution_id: str
    channel_index: int
    channel_type: str
    status: DeliveryStatus
    attempt: int
    at: datetime
    error: str | None = None
    http_status: int | None = None

    @property
    def key(self) -> bytes:
        """``ns/alert``."""
        return f"{self.namespace_id}/{self.alert_id}".encode()
