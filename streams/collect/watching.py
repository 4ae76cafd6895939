"""What collections are watched for: drift sketches and event triggers, from the trigger definitions. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from schemas.events.definition import DefinitionRecord
from streams.collect.arrivals import Collection
from streams.collect.sketching import SketchSpec
from streams.engines.rules.condition import Condition
from streams.engines.rules.errors import ScheduleError
from streams.engines.rules.event_trigger import EventTrigger
from streams.engines.rules.rollup import widths


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
                    trigger = EventTrigger.of(record)
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
