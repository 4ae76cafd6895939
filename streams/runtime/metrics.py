"""Every metric of the system: one list, each with its meaning. Labels never hold a tenant's name."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

RECORDS = Counter("tidewatch_records_total", "Records a station has finished", ["station", "topic"])
BATCH_SECONDS = Histogram(
    "tidewatch_batch_seconds",
    "From a batch's arrival to its commit",
    ["station"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
RETRIES = Counter("tidewatch_batch_retries_total", "Batches done again after a transient failure", ["station"])
DEAD_LETTERS = Counter("tidewatch_dead_letters_total", "Records put away", ["station"])
REBALANCES = Counter("tidewatch_rebalances_total", "Assignments taken or given up", ["station"])
EXECUTIONS = Counter("tidewatch_alert_executions_total", "Alert executions published")
VERSION_WAITS = Counter(
    "tidewatch_definitions_waits_total", "Events held back for the definitions their writer saw", ["outcome"]
)
LOOK_UPS = Counter("tidewatch_look_ups_total", "Documents looked up, one per alert", ["outcome"])
REFERENCES = Counter("tidewatch_references_total", "Records of references taken in by a match worker")
TRIGGER_CHECKS = Counter("tidewatch_trigger_checks_total", "Drift and volume checks made", ["fired"])
TRIGGER_FIRES = Counter("tidewatch_trigger_fires_total", "Fires published", ["trigger_type"])
JOBS = Counter("tidewatch_jobs_total", "Actions that ended", ["action_type", "status"])
DELIVERIES = Counter("tidewatch_deliveries_total", "Delivery attempts", ["channel", "status"])
OUTBOX = Counter("tidewatch_outbox_published_total", "Outbox rows published", ["topic"])
HTTP_REFUSED = Counter("tidewatch_http_refused_total", "Requests refused for a limit", ["limit"])
VIEW_STANDING = Gauge(
    "tidewatch_view_standing_seconds",
    "How long the view of results has not gone on though there is more to read, as the HTTP server last saw it",
    multiprocess_mode="livemax",
)


def all_processes() -> CollectorRegistry:
    """The metrics of this process; where it shares a folder of them with others, the sums of all."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    found = CollectorRegistry()
    MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    return found
