"""The alerts that are decided over a window, out of the definitions in the database."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from schemas.api.collection import ON_INGEST
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.windowed import read_window
from streams.engines.rules.window import WindowRule
from streams.runtime.database import Connection
from streams.trigger.alert_windows import store as window_store
from streams.trigger.alert_windows.folding import Series

log = structlog.get_logger(__name__)

# Alerts that match checks: on, attached on ingest to a collection that is on, with a retriever. Found by their own
# index; the attachments of a collection are taken apart once, however many there are.
_ATTACHED = """
WITH windowed AS MATERIALIZED (
    SELECT namespace_id, id, number, version, body FROM definitions
    WHERE kind = 'alert' AND deleted_at IS NULL AND body ->> 'window_seconds' IS NOT NULL
      AND body -> 'enabled' IS DISTINCT FROM 'false'::jsonb
), attached AS (
    SELECT c.namespace_id, c.id AS collection_id, application
    FROM definitions c CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(c.body -> 'alert_applications') WHEN 'array' THEN c.body -> 'alert_applications'
        ELSE '[]'::jsonb END) AS application
    WHERE c.kind = 'collection' AND c.namespace_id IN (SELECT namespace_id FROM windowed)
      AND c.deleted_at IS NULL AND c.body -> 'enabled' IS DISTINCT FROM 'false'::jsonb
      AND coalesce(application ->> 'execution_mode', %s) = %s
)
SELECT a.namespace_id, a.id, a.number, a.version, a.body, t.collection_id, t.application, r.id, r.body, r.version
FROM windowed a
JOIN attached t ON t.namespace_id = a.namespace_id AND t.application ->> 'alert_id' = a.id
JOIN definitions r ON r.kind = 'retriever' AND r.namespace_id = a.namespace_id AND r.deleted_at IS NULL
 AND r.id = a.body ->> 'retriever_id'
ORDER BY 1, 2, 6
"""


@dataclass(frozen=True, slots=True)
class WindowedAlert:
    """An alert as it is attached to one collection."""

    series: Series
    number: int
    """Ends the alert's execution ids."""
    version: int
    retriever_id: str
    rule: WindowRule

    @property
    def place(self) -> tuple[str, str, str]:
        """Namespace, alert and collection."""
        return self.series[:3]

    @property
    def collection(self) -> tuple[str, str]:
        """Namespace and collection."""
        return self.series.namespace_id, self.series.collection_id


async def windowed_alerts(connection: Connection, now: datetime) -> list[WindowedAlert]:
    """All of them. What was kept of others is dropped, in the same transaction."""
    cursor = await connection.execute(_ATTACHED.encode(), (ON_INGEST, ON_INGEST))
    found: dict[tuple[str, str, str], WindowedAlert] = {}
    for (
        namespace,
        alert,
        number,
        version,
        body,
        collection,
        application,
        retriever,
        stages,
        changed,
    ) in await cursor.fetchall():
        try:
            window = read_window(stages, body, application, changed)
        except PlanError as error:
            # Refused when it is attached; one that gets here all the same is reported, never guessed.
            log.warning("alert_not_decided", alert=alert, collection=collection, reason=str(error))
            continue
        series = Series(namespace, alert, collection, window.series)
        one = WindowedAlert(series, number, version, retriever, window.rule)
        found.setdefault(one.place, one)
    await window_store.keep(connection, [one.series for one in found.values()], now)
    return list(found.values())
