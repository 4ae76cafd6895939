"""Shapes that the document of the API describes once and names in many places: filters, pages, parts of requests
whose shape another field says, and what the stages of a retriever take (contract 5, 6)."""

from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.api.actions import SHAPES as ACTIONS
from schemas.api.base import JsonObject
from schemas.api.channel import CONFIGS
from schemas.api.clustering import METHODS, STEPS
from schemas.api.execution import CursorPage, KeysetPage, OffsetPage, ScrollPage
from schemas.api.filters import filter_shapes
from schemas.api.schedule import SHAPES as SCHEDULES
from streams.engines.retrieval.stages.shapes import stage_shapes

_MODELS: Final[tuple[type[BaseModel], ...]] = (
    *(OffsetPage, CursorPage, ScrollPage, KeysetPage),
    *SCHEDULES.values(),
    *ACTIONS.values(),
    *CONFIGS.values(),
    *METHODS.values(),
    *STEPS,
)


def shapes() -> dict[str, JsonObject]:
    """By name."""
    _, described = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {**filter_shapes(), **described["$defs"], **stage_shapes()}
