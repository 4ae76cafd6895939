"""What a channel is sent about one execution (contract 4.1 and section 7). Pure.

The same execution always gives the same bytes, so a retry carries what the first attempt did.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from schemas.events.alert_result import AlertHit, AlertResultRecord
from schemas.times import format_instant
from streams.notify.policy import Policy


def webhook_body(record: AlertResultRecord, execution_id: str, hit: AlertHit, policy: Policy) -> bytes:
    """The fields of ``AlertExecutionResult`` plus ``alert_name``, as JSON.

    Without ``include_matches`` the field ``matches`` is null. Without ``include_scores`` a match has neither
    ``score`` nor ``matched_features``, which are scores as well. ``deliveries`` is left out: this is one.
    """
    return orjson.dumps(webhook_fields(record, execution_id, hit, policy))


def webhook_fields(record: AlertResultRecord, execution_id: str, hit: AlertHit, policy: Policy) -> dict[str, Any]:
    """The same as an object."""
    return {
        "alert_id": hit.alert_id,
        "alert_name": policy.name,
        "execution_id": execution_id,
        "collection_id": record.collection_id,
        "triggered": hit.triggered,
        "match_count": 1 if hit.found is None else hit.found.count,
        "executed_at": format_instant(record.executed_at),
        "duration_ms": record.duration_ms,
        "source_documents": [record.document_id] if record.document_id else [],
        "matches": _matches(record, hit, policy) if policy.include_matches else None,
    }


def _matches(record: AlertResultRecord, hit: AlertHit, policy: Policy) -> list[dict[str, Any]]:
    if hit.found is None:
        return [_match(record, hit, policy)]
    hidden = () if policy.include_scores else ("score", "matched_features")
    return [{name: value for name, value in match.items() if name not in hidden} for match in hit.found.matches]


def _match(record: AlertResultRecord, hit: AlertHit, policy: Policy) -> dict[str, Any]:
    match: dict[str, Any] = {"document_id": record.document_id}
    if policy.include_scores:
        match["score"] = hit.score
    match["asset_id"] = record.asset_id
    if policy.include_scores:
        match["matched_features"] = hit.matched_features
    match["metadata"] = record.document
    return match


def slack_body(
    record: AlertResultRecord, execution_id: str, hit: AlertHit, policy: Policy, config: Mapping[str, Any]
) -> bytes:
    """A Slack message: one line that says which alert fired on what, then why."""
    document = f" on `{slack_escape(record.document_id)}`" if record.document_id else ""
    lines = [f"*{slack_escape(policy.name)}* fired{document} in `{record.collection_id}`"]
    if policy.include_matches:
        score = f" (score {hit.score:.3f})" if policy.include_scores else ""
        lines.append(f"{slack_escape(hit.reason)}{score}")
    lines.append(f"{format_instant(record.occurred_at)} · {execution_id}")
    return slack_text(lines, config)


def slack_text(lines: Sequence[str], config: Mapping[str, Any]) -> bytes:
    """A message of these lines, escaped where they need it, from whom ``config`` says."""
    body: dict[str, Any] = {"text": "\n".join(lines)}
    for name in ("channel", "username", "icon_emoji", "icon_url"):
        if isinstance(config.get(name), str):
            body[name] = config[name]
    return orjson.dumps(body)


def slack_escape(text: str) -> str:
    """Slack's three control characters; without this a document could mention a whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
