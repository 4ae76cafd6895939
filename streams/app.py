"""The registry: every station connected, in flow order, on one screen."""

from collections.abc import Iterable

from schemas.topics import (
    ALERT_RESULTS,
    DEFINITIONS,
    DOCUMENTS,
    MATCH_PROGRESS,
    NOTIFICATIONS,
    REFERENCES,
    RETRIEVER_EXECUTIONS,
    TRIGGER_COMMANDS,
    TRIGGER_RESULTS,
)
from streams.act.station import build as act
from streams.collect.station import build as collect
from streams.index.station import build as index
from streams.match.station import build as match
from streams.notify.station import build as notify
from streams.query.station import build as query
from streams.relay.station import build as relay
from streams.runtime.agent import Station, names
from streams.trigger.station import build as trigger

POSTGRES = ("PostgreSQL",)
OUTBOX = ("PostgreSQL", "outbox")

STATIONS: tuple[Station, ...] = (
    Station(
        "match",
        names(DOCUMENTS, DEFINITIONS, REFERENCES),
        "checks each document against every standing alert of its collection",
        names(ALERT_RESULTS, RETRIEVER_EXECUTIONS, MATCH_PROGRESS),
        match,
    ),
    Station(
        "collect",
        names(DOCUMENTS),
        "stores documents, counts them, merges drift sketches, fires event triggers, feeds references",
        OUTBOX,
        collect,
    ),
    Station(
        "index",
        POSTGRES,
        "builds approximate indexes of the vectors of large collections",
        POSTGRES,
        index,
    ),
    Station(
        "trigger",
        (*POSTGRES, *names(ALERT_RESULTS)),
        "fires schedules, measures drift and volume, decides windows, sweeps scheduled alerts",
        OUTBOX,
        trigger,
    ),
    Station("act", names(TRIGGER_COMMANDS), "runs what a trigger asks for, from a lease", OUTBOX, act),
    Station(
        "notify",
        names(ALERT_RESULTS),
        "de-duplicates, cools down, delivers and retries",
        (*OUTBOX, "webhooks"),
        notify,
    ),
    Station(
        "relay",
        ("outbox",),
        "publishes what the others committed, in order; one leader",
        names(
            DOCUMENTS,
            DEFINITIONS,
            REFERENCES,
            ALERT_RESULTS,
            RETRIEVER_EXECUTIONS,
            TRIGGER_COMMANDS,
            TRIGGER_RESULTS,
            NOTIFICATIONS,
        ),
        relay,
    ),
    Station(
        "query",
        names(ALERT_RESULTS, RETRIEVER_EXECUTIONS, MATCH_PROGRESS, TRIGGER_RESULTS, NOTIFICATIONS),
        "materialises results; the query service serves them over HTTP",
        ("PostgreSQL", "HTTP"),
        query,
    ),
)

SERVED = "query"
"""The station that runs in the query service; the worker runs the others."""


def choose(wanted: Iterable[str] | None = None) -> tuple[Station, ...]:
    """Stations by name, in flow order; the worker's own when none is named. Raises ``ValueError``."""
    if wanted is None:
        return tuple(station for station in STATIONS if station.name != SERVED)
    chosen = set(wanted)
    known = {station.name for station in STATIONS}
    if unknown := sorted(chosen - known):
        raise ValueError(f"unknown station {', '.join(unknown)}; there are {', '.join(s.name for s in STATIONS)}")
    return tuple(station for station in STATIONS if station.name in chosen)
