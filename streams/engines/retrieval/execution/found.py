"""What a look-up found, as it travels: in the alert's result and as an execution of its retriever. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from schemas.events.alert_result import Found
from schemas.events.retriever_execution import RetrieverExecutionRecord
from streams.engines.retrieval.execution.detail import kept, outcome
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.verdict import unit_score
from streams.engines.retrieval.stages.stage import Row

MAX_MATCHES: Final = 100
"""Documents found that a result carries; all are counted."""
MATCHES_BYTES: Final = 200_000
"""Above this the matches of a result are carried without the documents' fields."""

_SMALL: Final = ("document_id", "collection_id", "score")


def found_rows(rows: Sequence[Row], position: Mapping[str, int]) -> Found:
    """Rows as the matches of an alert."""
    matches = [_match(row) for row in rows[:MAX_MATCHES]]
    if len(_json(matches)) > MATCHES_BYTES:
        matches = [{name: match[name] for name in _SMALL if name in match} for match in matches]
    return Found(len(rows), matches, dict(position))


def _match(row: Row) -> dict[str, Any]:
    match: dict[str, Any] = {"document_id": row.document_id, "score": unit_score(row.score)}
    if row.collection_id:
        # Ids are a collection's own: without it nobody could tell whose document this is once it is deleted.
        match["collection_id"] = row.collection_id
    if isinstance(row.fields.get("asset_id"), str):
        match["asset_id"] = row.fields["asset_id"]
    if row.matched:
        match["matched_features"] = dict(row.matched)
    match["metadata"] = row.fields
    return match


def run_record(
    execution: Execution,
    *,
    execution_id: str,
    namespace_id: str,
    retriever_id: str,
    alert_id: str,
    reason: str,
    created_at: datetime,
    completed_at: datetime,
    position: Mapping[str, int],
) -> RetrieverExecutionRecord:
    """An execution of a retriever for an alert, in the words of the contract (4.6)."""
    rows = [replace(row, score=unit_score(row.score)) for row in execution.rows]
    found = {**outcome(execution), "position": dict(position)}
    return RetrieverExecutionRecord(
        execution_id=execution_id,
        namespace_id=namespace_id,
        retriever_id=retriever_id,
        status="completed",
        created_at=created_at,
        completed_at=completed_at,
        detail=kept(execution, rows, found, alert_id=alert_id, reason=reason),
    )


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str)
