"""``trigger-commands`` and ``trigger-results``: what a fire asks for and what became of it."""

from datetime import datetime
from typing import Any, Literal

from schemas.events.frozen import Record

TriggerFamily = Literal["trigger", "cluster_trigger"]
RunStatus = Literal["pending", "processing", "completed", "failed", "canceled", "skipped"]
FiredBy = Literal["schedule", "event", "condition", "request", "backfill"]
"""What set a run off: the trigger's own rule, somebody who asked for it now, or for past nominal times."""


class TriggerCommand(Record):
    """One fire of one trigger: run the action. The job id derives from trigger and fire, so a repeat is
    the same job."""

    job_id: str
    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    action_type: str
    action_config: dict[str, Any]
    nominal_at: datetime
    """The instant the fire stands for (schedule time, check time, append time of the crossing document)."""
    triggered_at: datetime
    """The instant it was decided."""
    reason: str
    until: datetime | None = None
    """Event-time fires: the action sees documents that occurred before this instant."""
    measurement: dict[str, Any] | None = None
    caused_by: tuple[str, ...] = ()
    fired_by: FiredBy | None = None

    @property
    def key(self) -> bytes:
        """``ns/trigger``."""
        return f"{self.namespace_id}/{self.trigger_id}".encode()

    def result(self, status: RunStatus, revision: int, **fields: Any) -> "TriggerResult":
        """The record of this job for ``trigger-results``; ``fields`` are those of its end."""
        return TriggerResult(
            job_id=self.job_id,
            trigger_id=self.trigger_id,
            namespace_id=self.namespace_id,
            family=self.family,
            action_type=self.action_type,
            status=status,
            revision=revision,
            nominal_at=self.nominal_at,
            triggered_at=self.triggered_at,
            reason=self.reason,
            measurement=self.measurement,
            fired_by=self.fired_by,
            **fields,
        )


class TriggerResult(Record):
    """The state of one job, written when it is queued and when it ends. Readers keep the highest
    ``revision`` of a job."""

    job_id: str
    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    action_type: str
    status: RunStatus
    revision: int
    nominal_at: datetime
    triggered_at: datetime
    reason: str
    finished_at: datetime | None = None
    execution_time_ms: int | None = None
    error: str | None = None
    num_clusters: int | None = None
    num_documents: int | None = None
    measurement: dict[str, Any] | None = None
    outcome: dict[str, Any] | None = None
    fired_by: FiredBy | None = None

    @property
    def key(self) -> bytes:
        """``ns/trigger``."""
        return f"{self.namespace_id}/{self.trigger_id}".encode()
