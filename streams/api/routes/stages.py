"""``GET /v1/retrievers/stages``: what a retriever can be made of (contract 2.2). Open to everybody."""

from collections.abc import Mapping
from typing import Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from schemas.api.base import JsonObject
from streams.engines.retrieval.stages.registry import STAGES
from streams.engines.retrieval.stages.stage import Category
from streams.runtime.http.json_route import JsonRoute

router = APIRouter(prefix="/v1/retrievers/stages", tags=["retrievers"], route_class=JsonRoute)

_ICONS: Final[Mapping[Category, str]] = {
    "filter": "filter",
    "sort": "arrow-up-down",
    "reduce": "combine",
    "apply": "braces",
    "enrich": "link",
}
"""Names of Lucide icons, which the SDK's dashboard draws."""


class StageDefinition(BaseModel):
    """A stage and the JSON Schema of its parameters."""

    stage_id: str
    description: str
    category: Category
    icon: str
    parameter_schema: JsonObject


@router.get("")
async def list_stages(
    category: Literal["filter", "sort", "reduce", "apply", "enrich"] | None = Query(default=None),
) -> list[StageDefinition]:
    """The stages this server runs, in the order a retriever usually has them."""
    return [
        StageDefinition(
            stage_id=stage.stage_id,
            description=stage.summary,
            category=stage.category,
            icon=_ICONS[stage.category],
            parameter_schema=stage.parameters.model_json_schema(),
        )
        for stage in STAGES.values()
        if category is None or stage.category == category
    ]
