"""Alert executions as ``AlertExecutionResult`` (contract 4.1)."""

from collections.abc import Sequence
from typing import Any

from schemas.api.channel import is_unconfigured
from schemas.ids import BASE_BYTES, execution_id
from schemas.times import format_instant, from_seconds
from streams.query.compose.rows import Checked, Delivery, Execution, Unfired

_NEVER_HELD = "checked against every document so far, its condition has not held over a window"
UNFIRED_BASE = bytes(BASE_BYTES)
"""The document part of the one result of an alert that never fired. No hash gives it."""


def recorded(execution: Execution, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """The result of a recorded execution."""
    return {
        "execution_id": execution_id(execution.base, execution.number),
        "alert_id": execution.alert_id,
        "collection_id": execution.collection_id,
        "triggered": execution.triggered,
        "match_count": match_count(execution),
        "matches": matches_of(execution) if execution.include_matches else None,
        "source_documents": [execution.document_id] if execution.document_id else [],
        "executed_at": format_instant(execution.executed_at),
        "duration_ms": execution.duration_ms,
        "deliveries": [
            {"channel_type": item.channel_type, "status": item.status, "error": item.error} for item in deliveries
        ]
        or (_undelivered(execution) if execution.triggered else None),
        "reason": execution.reason,
        "retriever_id": execution.retriever_id,
        "alert_version": execution.alert_version,
        "definitions_version": execution.definitions_version,
        "appended_at": format_instant(execution.appended_at),
        "occurred_at": format_instant(execution.occurred_at),
        "position": _position(execution),
        "truncated": execution.truncated,
        "reference_position": execution.reference_position,
    }


def _position(execution: Execution) -> dict[str, Any] | None:
    """Where the document stands in the log; ``None`` where a window or a sweep was decided, and no document."""
    if not execution.source_topic:
        return None
    return {
        "topic": execution.source_topic,
        "partition": execution.source_partition,
        "offset": execution.source_offset,
    }


def match_count(execution: Execution) -> int:
    """How many documents it found; one, where it was a document that was checked."""
    return 1 if execution.match_count is None else execution.match_count


def matches_of(execution: Execution) -> list[dict[str, Any]]:
    """What a look-up found, or the one document that was checked."""
    if execution.matches is not None:
        return [
            {
                "asset_id": None,
                "matched_features": None,
                "metadata": None,
                **match,
                "score": in_bounds(match.get("score", 1.0)),
            }
            for match in execution.matches
        ]
    return [
        {
            "document_id": execution.document_id,
            "score": in_bounds(execution.score),
            "asset_id": execution.asset_id,
            "matched_features": execution.matched_features,
            "metadata": fields(execution),
        }
    ]


def in_bounds(score: float) -> float:
    """A score as the contract has it: the SDK refuses a whole list over one outside."""
    return min(1.0, max(0.0, score))


def _undelivered(execution: Execution) -> list[dict[str, Any]]:
    """What notify does not write for every execution: that the alert tells nobody (docs/decisions/001)."""
    return [
        {"channel_type": channel["channel_type"], "status": "not_configured", "error": "the channel has no config"}
        for channel in execution.channels
        if is_unconfigured(channel)
    ]


def derived(alert: Unfired) -> dict[str, Any]:
    """The one result of an alert that was checked and never fired. Its id is stable; its time is that of the
    newest check."""
    return {
        "execution_id": execution_id(UNFIRED_BASE, alert.number),
        "alert_id": alert.alert_id,
        "collection_id": alert.collection_id,
        "triggered": False,
        "match_count": 0,
        "matches": [] if alert.include_matches else None,
        "source_documents": [],
        "executed_at": format_instant(alert.appended_at),
        "duration_ms": 0,
        "deliveries": None,
        "reason": _NEVER_HELD if alert.windowed else "checked against every document so far, none matched",
        "retriever_id": alert.retriever_id,
        "alert_version": alert.alert_version,
        "definitions_version": alert.definitions_version,
        "appended_at": format_instant(alert.appended_at),
        "occurred_at": format_instant(alert.occurred_at),
    }


def fields(execution: Execution) -> dict[str, Any]:
    """The document's own fields, without the two ids that stand beside them."""
    own = dict(execution.document)
    own.pop("document_id", None)
    own.pop("collection_id", None)
    return own


def checked_through(checked: Checked | None) -> dict[str, Any] | None:
    """How far the collections of an alert have been checked: the next offset of each partition of
    ``documents``, and the greatest instants seen. Of an alert with a window also up to which instant there was
    something to decide in each collection."""
    if checked is None:
        return None
    position: dict[str, dict[str, int]] = {}
    for collection_id, partition, next_offset in checked.position:
        position.setdefault(collection_id, {})[str(partition)] = next_offset
    decided = {key: format_instant(from_seconds(at)) for key, at in checked.decided.items()}
    return {
        "position": position,
        "occurred_at": format_instant(checked.occurred_at),
        "appended_at": format_instant(checked.appended_at),
        "definitions_version": checked.definitions_version,
        **({"decided": decided} if decided else {}),
    }
