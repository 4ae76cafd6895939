"""What collections are watched for: drift sketches and event triggers, from the trigger definitions. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from schemas.events.definition import DefinitionRecord
from schemas.events.trigger import TriggerFamily
from streams.collect.arrivals import Collection
from streams.collect.sketching import SketchSpec
from streams.engines.rules import commands
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.rollup import widths


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """A trigger that fires on a number of document events (contract 4.8)."""

    trigger_id: str
    namespace_id: str
    family: TriggerFamily
    body: Mapping[str, Any]
    """Its definition, which says what to run."""
    event_type: str
    threshold: int
    cooldown_seconds: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The compiled trigger definitions."""

    specs: Mapping[Collection, tuple[SketchSpec, ...]] = field(default_factory=dict)
    """Sketches each collection needs, without repeats."""
    lateness: Mapping[Collection, timedelta] = field(default_factory=dict)
    """How far out of order documents may come, as the most patient trigger of a collection says."""
    conditional: Mapping[Collection, frozenset[str]] = field(default_factory=dict)
    """Ids of the conditional triggers that measure a collection."""
    triggers: Mapping[Collection, tuple[EventTrigger, ...]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    """Triggers whose definition cannot work, and why: they are watched for nothing."""


def watch(definitions: Iterable[DefinitionRecord]) -> Watched:
    """Compile ``trigger`` and ``cluster_trigger`` definitions. Triggers that agree on what they measure, time
    domain and bucket width share a sketch, and collect reads these from a definition as the checks do."""
    specs: dict[Collection, dict[SketchSpec, None]] = defaultdict(dict)
    lateness: dict[Collection, timedelta] = {}
    conditional: dict[Collection, set[str]] = defaultdict(set)
    triggers: dict[Collection, list[EventTrigger]] = defaultdict(list)
    broken: dict[str, str] = {}
    for record in definitions:
        collections = [
            (record.namespace_id, collection_id)
            for collection_id in record.body.get("watched_collection_ids") or ()
        ]
        try:
            match record.body["trigger_type"]:
                case "conditional":
                    condition = Condition.parse(record.body["schedule_config"])
                    for collection in collections:
                        specs[collection] |= dict.fromkeys(_specs(collection, condition))
                        conditional[collection].add(record.id)
                        if condition.time_domain == "event_time":
                            patience = timedelta(seconds=condition.allowed_lateness_seconds)
                            lateness[collection] = max(patience, lateness.get(collection, patience))
                case "event":
                    trigger = _event_trigger(record)
                    for collection in collections:
                        triggers[collection].append(trigger)
        except ScheduleError as error:
            broken[record.id] = str(error)
    return Watched(
        {collection: tuple(found) for collection, found in specs.items()},
        lateness,
        {collection: frozenset(found) for collection, found in conditional.items()},
        {collection: tuple(found) for collection, found in triggers.items()},
        broken,
    )


def _specs(collection: Collection, condition: Condition) -> Iterable[SketchSpec]:
    """The narrowest buckets that the checks read, and their roll-ups."""
    for width in widths(condition.bucket_seconds):
        yield SketchSpec(
            namespace_id=collection[0],
            collection_id=collection[1],
            feature=condition.measured.key,
            time_domain=condition.time_domain,
            width_seconds=width,
        )


def _event_trigger(record: DefinitionRecord) -> EventTrigger:
    schedule = record.body["schedule_config"]
    family: TriggerFamily = "cluster_trigger" if record.kind == "cluster_trigger" else "trigger"
    # Refused now, not at the first fire in the middle of a batch.
    commands.action(family, record.body)
    return EventTrigger(
        trigger_id=record.id,
        namespace_id=record.namespace_id,
        family=family,
        body=record.body,
        event_type=schedule["event_type"],
        threshold=schedule.get("event_threshold") or 1,
        cooldown_seconds=schedule.get("cooldown_seconds") or 0,
    )
