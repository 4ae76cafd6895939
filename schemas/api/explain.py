"""Explaining one alert on one document: an extension of the contract."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, JsonObject, having, problem
from schemas.api.document import PlainDocument


class ExplainRequest(ApiRequest):
    """A document that was collected (``collection_id`` and ``document_id``), or one that is given whole.

    ``collection_id``, an id or a name, also chooses the attachment whose inputs the alert is asked with.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                having("document", document_id={"type": "null"}),
                having("collection_id", "document_id", document={"type": "null"}),
            ]
        }
    )

    document: PlainDocument | None = None
    collection_id: str | None = Field(None, min_length=1)
    document_id: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.document is None) == (self.document_id is None):
            raise problem("give either document, or collection_id and document_id", "document", kind="missing")
        if self.document_id is not None and self.collection_id is None:
            raise problem("document_id needs the collection it is in", "collection_id", kind="missing")
        return self


class ExplainResponse(ApiResponse):
    """Why the alert matches the document, or why not. Values are JSON texts, cut to 200 characters."""

    alert_id: str
    collection_id: str | None
    document_id: str
    matches: bool
    score: float | None
    reason: str
    conditions: JsonObject | None
    """The tree: ``{kind, holds, parts}``, at its leaves ``{kind, holds, condition, values, more_values}``."""
    searches: list[JsonObject]
    """``{feature_uri, similarity, min_score, found}``."""
    score_tests: list[JsonObject]
    """``{operator, value, holds}``."""
    index: JsonObject
    """``{kind, found, words}``, the kind ``vector``, ``attribute``, ``look_up`` or ``none``: by what the alert is
    brought up for the document, or ruled out; where that depends on other alerts, the words tell both ways and
    ``found`` is false only if neither finds it."""
    later_stages: list[str]
    """Stages that run on a document that matches so far; whether the alert fires depends on what they leave."""
    tail: JsonObject | None = None
    """What those did: ``{stages, error, warnings}``, a stage ``{stage_name, stage_id, executed}`` and, when it was
    executed, ``{input_count, output_count, duration_ms, efficiency, rows}`` with the first rows it left:
    ``{document_id, collection_id, score, fields, more_fields, removed_fields}``, of the fields those that are not
    as in the document."""
    look_up: JsonObject | None = None
    """Of an alert that looks the document up: ``{inputs, collections, document_left_out, stages, error, warnings,
    position, limits, degraded}``, an input ``{input_key, source_type, path, found, value, dimensions}``, stages as
    in ``tail``; the rows of the last are the first matches."""
    verdict: JsonObject | None = None
    """The alert's condition on what the stages left: ``{fires, reason, trigger_on, count, min_count, threshold}``,
    the threshold ``{field, operator, value, seen, holds}``; ``None`` where they failed or did not run."""
