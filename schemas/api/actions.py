"""What a trigger runs: the shapes of ``action_config``, one per ``action_type`` (contract 4.8)."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, JsonObject, having, problem, read_part
from schemas.api.channel import Channel
from schemas.api.filters import Filter

ActionType = Literal[
    "cluster",
    "taxonomy_enrichment",
    "batch_rerun",
    "collection_trigger",
    "retriever_execution",
    "alert_evaluation",
]
RESOURCE_KEYS: Final = ("cluster_id", "taxonomy_id", "collection_id", "retriever_id", "alert_id", "batch_id")
"""Keys of ``action_config`` that name a resource."""

NAMES: Final[dict[str, Literal["cluster", "taxonomy", "collection", "retriever", "alert"]]] = {
    "cluster_id": "cluster",
    "taxonomy_id": "taxonomy",
    "collection_id": "collection",
    "target_collection_id": "collection",
    "include_collections": "collection",
    "output_collection_ids": "collection",
    "retriever_id": "retriever",
    "alert_id": "alert",
}
"""Keys of ``action_config`` and ``schedule_config`` that name a definition, or a list of them, by id or name."""

Identifier = Annotated[str, Field(min_length=1, max_length=200)]
Identifiers = Annotated[list[Identifier], Field(max_length=1_000)]


DedupStrategy = Literal["replace", "skip", "force"]
"""A document that is to be written where there is one of its id takes its place (the default), or is left out. Ids
are kept, so ``force`` is ``replace``."""


class ClusterAction(ApiRequest):
    """Run a cluster."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"mode": {"enum": ["full", "assign", None]}}},
                having("source_execution_ids", source_execution_ids={"minItems": 2}),
            ]
        }
    )

    cluster_id: Identifier
    output_collection_ids: Identifiers | None = None
    filters: Filter | None = None
    mode: Literal["full", "assign", "composite"] = "full"
    source_execution_ids: Identifiers | None = None
    assignment_threshold: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _composite(self) -> Self:
        if self.mode == "composite" and len(self.source_execution_ids or ()) < 2:
            raise problem("mode 'composite' needs two or more source_execution_ids", "source_execution_ids")
        return self


class TaxonomyAction(ApiRequest):
    """Write a taxonomy's fields into the documents of a collection; without a target in place."""

    taxonomy_id: Identifier
    collection_id: Identifier
    target_collection_id: Identifier | None = None
    filters: Filter | None = None
    incremental: bool = False
    batch_size: int = Field(1_000, ge=100, le=10_000)
    parallelism: int = Field(4, ge=1, le=16)


LONGEST_CHAIN: Final = 20
"""Reruns of reruns that are followed to what they repeat."""


class BatchAction(ApiRequest):
    """Run again what an earlier run did; ``batch_id`` is the task id of that run."""

    batch_id: Identifier
    filters: Filter | None = None
    retry_failed_only: bool = False


class CollectionAction(ApiRequest):
    """Make a collection again from what feeds it. ``source_filters`` are a filter, or one under ``filters``."""

    collection_id: Identifier
    include_buckets: Identifiers | None = None
    include_collections: Identifiers | None = None
    source_filters: Filter | None = None
    dedup_strategy: DedupStrategy | None = None


class Acceptance(ApiRequest):
    """What a run of a retriever must keep to; a breach marks it failed."""

    max_total_time_ms: float | None = Field(None, gt=0)
    max_stage_latency_breaches: int | None = Field(None, ge=0)
    min_results: int | None = Field(None, ge=0)
    judge_field: str | None = Field(None, min_length=1, max_length=1_000)
    min_pass_ratio: float | None = Field(None, ge=0, le=1)


class RunNotification(ApiRequest):
    """Whom to tell about the runs of a retriever."""

    channels: list[Channel] = Field(min_length=1, max_length=50)
    notify_on: Literal["change", "failure", "always"] = "change"
    include_internal_diagnostics: bool = False


class RetrieverAction(ApiRequest):
    """Run a retriever."""

    retriever_id: Identifier
    inputs: JsonObject | None = None
    filters: Filter | None = None
    skip_cache: bool = True
    acceptance: Acceptance | None = None
    notification_config: RunNotification | None = None


class AlertAction(ApiRequest):
    """Sweep an alert over the documents that are there."""

    alert_id: Identifier


SHAPES: Final[Mapping[ActionType, type[ApiRequest]]] = {
    "cluster": ClusterAction,
    "taxonomy_enrichment": TaxonomyAction,
    "batch_rerun": BatchAction,
    "collection_trigger": CollectionAction,
    "retriever_execution": RetrieverAction,
    "alert_evaluation": AlertAction,
}


def read_action(action_type: ActionType, raw: JsonObject) -> JsonObject:
    """An ``action_config`` checked and with its defaults. Raises ``ValidationError`` placed at
    ``action_config``."""
    return read_part(SHAPES[action_type], raw, "action_config").filled()
