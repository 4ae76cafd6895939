"""What collections are watched for: drift sketches and event triggers, from the trigger definitions. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from schemas.events.definition import DefinitionRecord
from schemas.events.trigger import TriggerFamily
from streams.collect.arrivals import Collection
from streams.collect.sketching import SketchSpec, TimeDomain
from streams.engines.drift.buckets import bucket_width
from streams.engines.retrieval.embedder import HashingEmbedder


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """A trigger that fires on a number of document events (contract 4.8)."""

    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    action_type: str
    action_config: dict[str, Any]
    event_type: str
    threshold: int
    cooldown_seconds: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The compiled trigger definitions."""

    specs: Mapping[Collection, tuple[SketchSpec, ...]] = field(default_factory=dict)
    """Sketches each collection needs, without repeats."""
    triggers: Mapping[Collection, tuple[EventTrigger, ...]] = field(default_factory=dict)


def watch(definitions: Iterable[DefinitionRecord]) -> Watched:
    """Compile ``trigger`` and ``cluster_trigger`` definitions. Triggers that agree on feature, time domain and
    bucket width share a sketch."""
    specs: dict[Collection, dict[SketchSpec, None]] = defaultdict(dict)
    triggers: dict[Collection, list[EventTrigger]] = defaultdict(list)
    for record in definitions:
        for collection_id in record.body.get("watched_collection_ids") or ():
            collection = (record.namespace_id, collection_id)
            match record.body["trigger_type"]:
                case "conditional":
                    specs[collection][_spec(collection, record.body["schedule_config"])] = None
                case "event":
                    triggers[collection].append(_event_trigger(record))
    return Watched(
        {collection: tuple(found) for collection, found in specs.items()},
        {collection: tuple(found) for collection, found in triggers.items()},
    )


def _spec(collection: Collection, schedule: Mapping[str, Any]) -> SketchSpec:
    return SketchSpec(
        namespace_id=collection[0],
        collection_id=collection[1],
        feature=schedule.get("feature_uri") or HashingEmbedder.URI,
        time_domain=cast(TimeDomain, schedule.get("time_domain") or "processing_time"),
        width_seconds=bucket_width(
            schedule.get("check_interval_seconds") or 3_600, schedule.get("window_seconds")
        ),
    )


def _event_trigger(record: DefinitionRecord) -> EventTrigger:
    body, schedule = record.body, record.body["schedule_config"]
    if record.kind == "cluster_trigger":
        # Cluster triggers have one action; its config names the cluster or says how to cluster.
        action = "cluster", {key: body[key] for key in ("cluster_id", "execution_config") if body.get(key)}
    else:
        action = body["action_type"], body["action_config"]
    return EventTrigger(
        trigger_id=record.id,
        namespace_id=record.namespace_id,
        family="cluster_trigger" if record.kind == "cluster_trigger" else "trigger",
        action_type=action[0],
        action_config=action[1],
        event_type=schedule["event_type"],
        threshold=schedule.get("event_threshold") or 1,
        cooldown_seconds=schedule.get("cooldown_seconds") or 0,
    )
