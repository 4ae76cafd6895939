"""Explaining one alert on one document: an extension of the contract."""

from typing import Self

from pydantic import Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, JsonObject, problem


class ExplainRequest(ApiRequest):
    """A document that was collected (``collection_id`` and ``document_id``), or one that is given whole.

    ``collection_id``, an id or a name, also chooses the attachment whose inputs the alert is asked with.
    """

    document: JsonObject | None = None
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
    """Why the alert matches the document, or why not."""

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
    """``{kind, found, words}``: by what the alert was brought up for the document, or ruled out."""
    later_stages: list[str]
    """Stages that run on a document that matches so far; whether the alert fires depends on what they leave."""
