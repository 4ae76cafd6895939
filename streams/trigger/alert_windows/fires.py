"""What a window decided, as a record of ``alert-results``. Pure.

The id derives from the alert, the collection and the instant, so that deciding again gives the same execution.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from schemas.events.alert_result import AlertHit, AlertResultRecord, Found
from schemas.ids import decided_base
from schemas.times import format_instant, from_seconds
from streams.engines.rules.totals import Reference
from streams.engines.rules.window import Fire
from streams.trigger.alert_windows.definitions import WindowedAlert


def records(
    alert: WindowedAlert,
    fires: Sequence[Fire],
    *,
    epoch: str,
    definitions_version: int,
    after: datetime | None,
    now: datetime,
) -> list[AlertResultRecord]:
    """A record for each. They are put in order by when they were decided: each a millisecond after the one before,
    the first not before ``after``."""
    appended_at = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
    found: list[AlertResultRecord] = []
    for fire in fires:
        if after is not None and appended_at <= after:
            appended_at = after + timedelta(milliseconds=1)
        after = appended_at
        at = from_seconds(fire.at)
        found.append(
            AlertResultRecord(
                base=decided_base(epoch, *alert.series, "window", fire.at),
                namespace_id=alert.series.namespace_id,
                collection_id=alert.series.collection_id,
                document_id="",
                source_topic="",
                source_partition=0,
                source_offset=0,
                appended_at=appended_at,
                occurred_at=at,
                executed_at=now,
                duration_ms=0,
                definitions_version=definitions_version,
                hits=[_hit(alert, fire)],
                caused_by=fire.totals.causes,
            )
        )
    return found


def _hit(alert: WindowedAlert, fire: Fire) -> AlertHit:
    newest = fire.totals.newest
    return AlertHit(
        alert_number=alert.number,
        alert_id=alert.series.alert_id,
        alert_version=alert.version,
        retriever_id=alert.retriever_id,
        score=newest[0].score if newest else 1.0,
        reason=f"{fire.reason}; until {format_instant(from_seconds(fire.at))}",
        found=Found(fire.totals.documents, [_match(alert, reference) for reference in newest], {}),
        held=fire.held,
    )


def _match(alert: WindowedAlert, reference: Reference) -> dict[str, object]:
    at = format_instant(from_seconds(reference.at))
    return {
        "document_id": reference.document_id,
        "score": reference.score,
        "asset_id": reference.asset_id or None,
        "metadata": {"collection_id": alert.series.collection_id, "at": at},
    }
