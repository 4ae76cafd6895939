"""What the reads return and the shapes are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Execution:
    """One recorded alert execution with its document part."""

    base: bytes
    number: int
    alert_id: str
    alert_version: int
    retriever_id: str
    appended_at: datetime
    score: float
    reason: str
    matched_features: dict[str, Any] | None
    match_count: int | None
    """How many documents a look-up found; ``None`` where the document itself is the one match."""
    matches: Sequence[Mapping[str, Any]] | None
    reference_position: Mapping[str, int] | None
    triggered: bool
    """False for a sweep whose condition did not hold."""
    include_matches: bool
    channels: Sequence[Mapping[str, Any]]
    """The alert's channels as they are now."""
    collection_id: str
    document_id: str
    source_topic: str
    source_partition: int
    source_offset: int
    occurred_at: datetime
    executed_at: datetime
    duration_ms: int
    definitions_version: int
    asset_id: str | None
    truncated: bool
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unfired:
    """An alert that was checked and never fired, with the newest check of its present definition."""

    number: int
    alert_id: str
    alert_version: int
    retriever_id: str
    include_matches: bool
    windowed: bool
    """It is decided over a window."""
    collection_id: str
    appended_at: datetime
    occurred_at: datetime
    definitions_version: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The newest attempt to deliver an execution over one channel."""

    execution_id: str
    channel_type: str
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """How far the collections of an alert have been checked."""

    position: Sequence[tuple[str, int, int]]
    """Collection, partition of ``documents``, next offset."""
    occurred_at: datetime
    """The greatest seen, as the next two."""
    appended_at: datetime
    definitions_version: int
    decided: Mapping[str, int]
    """By collection up to which second since 1970 the windows of the alert have been decided."""


@dataclass(frozen=True, slots=True)
class TriggerRun:
    """One execution of a trigger of either family."""

    job_id: str
    nominal_at: datetime
    triggered_at: datetime
    status: str
    execution_time_ms: int | None
    error: str | None
    num_clusters: int | None
    num_documents: int | None
    reason: str
    fired_by: str | None


@dataclass(frozen=True, slots=True)
class RetrieverRun:
    """One recorded run of a retriever."""

    execution_id: str
    retriever_id: str
    status: str
    created_at: datetime
    completed_at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """One run of a cluster."""

    run_id: str
    cluster_id: str
    status: str
    num_clusters: int
    num_points: int
    metrics: Mapping[str, Any] | None
    centroids: list[dict[str, Any]]
    created_at: datetime
    completed_at: datetime | None
    error: str | None
    mode: str
    detail: dict[str, Any]
    """How it was made, in the contract's words: its sources, what was sampled."""
    job_id: str
    progress: float
    progress_message: str
