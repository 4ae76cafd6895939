"""What the stages of an execution did and left, for people: cut to sizes that can be shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.engines.retrieval.execution.prepare import PreparedStage
from streams.engines.retrieval.execution.statistics import Stat
from streams.engines.retrieval.execution.verdict import Weighed
from streams.engines.retrieval.stages.stage import Row

MAX_SHOWN: Final = 200
"""Characters of a value, or of a name, that are shown."""
MAX_VALUES: Final = 5
"""Values of a field that are shown."""
MAX_ROWS: Final = 5
"""Rows that are shown of what a stage left."""
MAX_FIELDS: Final = 20
"""Fields that are shown of a row."""

Json = dict[str, Any]


def shorten(value: Any) -> str:
    """A value as JSON, cut to :data:`MAX_SHOWN` characters."""
    if type(value) is str:
        # Before it is written: most of a long text would be thrown away.
        value = value[: MAX_SHOWN + 1]
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def row_json(row: Row, before: Mapping[str, Any] | None = None) -> Json:
    """A row with its fields as JSON texts; given the fields of ``before``, only with those that are not as they
    were, and with the names of those that are gone."""
    told: Json = {"document_id": row.document_id, "collection_id": row.collection_id, "score": row.score}
    if row.matched:
        told["matched_features"] = dict(row.matched)
    fields = row.fields
    if before is not None:
        fields = {name: value for name, value in fields.items() if name not in before or before[name] != value}
        told["removed_fields"] = [name[:MAX_SHOWN] for name in before if name not in row.fields][:MAX_FIELDS]
    shown = list(fields.items())[:MAX_FIELDS]
    told["fields"] = {name[:MAX_SHOWN]: shorten(value) for name, value in shown}
    told["more_fields"] = len(fields) - len(shown)
    return told


@dataclass(slots=True)
class Ran:
    """Stages, and what became of them. A ``Watch``."""

    stages: Sequence[PreparedStage]
    before: Mapping[str, Any] | None = None
    """Fields of the document that the stages change; ``None`` where they find others."""
    told: dict[str, Json] = field(default_factory=dict)
    """By name those that have ended."""
    error: str | None = None
    """Why the stages did not come to their end."""
    warnings: list[str] = field(default_factory=list)

    def started(self, index: int, stage: PreparedStage) -> None:
        """Nothing is told of a stage that has not ended."""

    def finished(
        self, index: int, stage: PreparedStage, stat: Stat, rows: Sequence[Row], budget: Mapping[str, Any]
    ) -> None:
        """Keep what there is to show: rows may change later."""
        self.told[stage.name] = {**stat.wire(), "rows": [row_json(row, self.before) for row in rows[:MAX_ROWS]]}

    def to_json(self) -> Json:
        """As the API gives it."""
        stages = [
            {
                "stage_name": stage.name,
                "stage_id": stage.stage.stage_id,
                "executed": stage.name in self.told,
                **self.told.get(stage.name, {}),
            }
            for stage in self.stages
        ]
        return {"stages": stages, "error": self.error, "warnings": self.warnings}


@dataclass(frozen=True, slots=True)
class Given:
    """An input of a look-up, and where it came from."""

    input_key: str
    source_type: str
    """``document_field`` or ``source_blob``; ``constant``, of the alert or the attachment; ``default``, of the
    retriever."""
    path: str | None
    """In the document, of an input that comes from there."""
    value: Any

    def to_json(self) -> Json:
        """As the API gives it; of a vector only its dimensions."""
        told: Json = {"input_key": self.input_key, "source_type": self.source_type, "path": self.path}
        told["found"] = self.value is not None
        if _is_vector(self.value):
            return {**told, "value": None, "dimensions": len(self.value)}
        return {**told, "value": None if self.value is None else shorten(self.value), "dimensions": None}


def _is_vector(value: Any) -> bool:
    if type(value) is not list or not value:
        return False
    return all(type(item) is float for item in value) or (
        len(value) > MAX_VALUES and all(type(item) in (int, float) for item in value)
    )


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A document looked up in reference collections."""

    inputs: tuple[Given, ...]
    collections: tuple[Json, ...]
    """``{collection_id, documents}`` of the collections that were looked in."""
    left_out: bool
    """The collection the document arrives in is looked in as well; the document itself is left out."""
    ran: Ran
    position: Mapping[str, Any] | None
    """How far those collections had been read."""
    limits: tuple[Json, ...] = ()
    degraded: tuple[Json, ...] = ()

    def to_json(self) -> Json:
        """As the API gives it."""
        return {
            "inputs": [given.to_json() for given in self.inputs],
            "collections": list(self.collections),
            "document_left_out": self.left_out,
            **self.ran.to_json(),
            "position": None if self.position is None else dict(self.position),
            "limits": list(self.limits),
            "degraded": list(self.degraded),
        }


def verdict_json(weighed: Weighed) -> Json:
    """An alert's condition on results, as the API gives it."""
    threshold = weighed.threshold
    return {
        "fires": weighed.fired is not None,
        "reason": weighed.reason,
        "trigger_on": weighed.trigger_on,
        "count": weighed.count,
        "min_count": weighed.min_count,
        "threshold": None
        if threshold is None
        else {
            "field": threshold.field,
            "operator": threshold.operator,
            "value": threshold.value,
            "seen": [shorten(value) for value in threshold.seen[:MAX_VALUES]],
            "holds": threshold.holds,
        },
    }
