"""How a retriever would run (contract 2.2)."""

from pydantic import Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject


class ExplainRetrieverRequest(ApiRequest):
    """``ExplainRetrieverRequest``; what was measured is of runs with any inputs."""

    inputs: JsonObject | None = None


class StagePlan(ApiResponse):
    """``ExplainStagePlan``."""

    stage_index: int = Field(ge=0)
    stage_name: str
    stage_type: str
    estimated_input: int = Field(ge=0)
    estimated_output: int = Field(ge=0)
    estimated_efficiency: float = Field(ge=0)
    estimated_cost_credits: float = Field(ge=0)
    estimated_duration_ms: float = Field(ge=0)
    cache_likely: bool
    optimization_notes: list[str]
    warnings: list[str]


class ExplainRetrieverResponse(ApiResponse):
    """``ExplainRetrieverResponse``."""

    retriever_id: str
    retriever_name: str
    estimated_cost: JsonObject
    execution_plan: list[StagePlan]
    optimization_suggestions: list[JsonObject]
    total_estimated_stages: int = Field(ge=0)
    bottleneck_stages: list[str]
    optimization_level: str
    optimization_applied: bool
    optimization_details: JsonObject | None
