"""Figures over documents: the values of a field, aggregates per group (contract 2.9)."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from schemas.api.base import ApiRequest, ApiResponse, JsonObject, having, lacking, problem
from schemas.api.document import FieldPath
from schemas.api.filters import Filter


class DistinctRequest(ApiRequest):
    """``DistinctValuesRequest``."""

    field: FieldPath
    filters: Filter | None = None
    limit: int | None = Field(None, ge=1, le=10_000)


class DistinctValue(ApiResponse):
    """A value and how many documents have it."""

    value: Any
    count: int


class DistinctResponse(ApiResponse):
    """``DistinctValuesResponse``, the most frequent first."""

    field: str
    values: list[DistinctValue]
    total_distinct: int
    query_info: JsonObject | None = None


class AggregateOperation(ApiRequest):
    """``AggregationOperation``: one figure."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [having("field"), having("distinct_field"), having("function", function={"const": "count"})]
        }
    )

    function: Literal["count", "count_distinct", "sum", "avg", "min", "max", "first", "last", "push", "add_to_set"]
    field: FieldPath | None = None
    alias: str = Field(min_length=1, max_length=200)
    distinct_field: FieldPath | None = None

    @model_validator(mode="after")
    def _field_given(self) -> "AggregateOperation":
        if self.function != "count" and self.field is None and self.distinct_field is None:
            raise problem(f"{self.function} needs field", "field")
        return self


class AggregateGroup(ApiRequest):
    """``GroupByField``: a field whose value tells groups apart, of a date a part of it."""

    field: FieldPath
    alias: str | None = Field(None, min_length=1, max_length=200)
    model_config = ConfigDict(json_schema_extra={"anyOf": [lacking("date_trunc"), lacking("date_part")]})

    date_trunc: Literal["year", "month", "week", "day", "hour", "minute", "second"] | None = None
    date_part: (
        Literal["year", "month", "week", "day", "dayOfWeek", "dayOfYear", "hour", "minute", "second"] | None
    ) = None

    @property
    def name(self) -> str:
        """Its key in the result."""
        return self.alias or self.field


class Having(ApiRequest):
    """``HavingCondition``: a condition on a figure."""

    field: str
    operator: Literal["gt", "gte", "lt", "lte", "eq", "ne"]
    value: Any


class RangeBuckets(ApiRequest):
    """``RangeBucket``: numbers by the range they fall into."""

    field: FieldPath
    boundaries: list[float] = Field(min_length=1, max_length=1_000)
    default_bucket: str = "other"


class AggregateRequest(ApiRequest):
    """``DocumentAggregationRequest``."""

    group_by: list[AggregateGroup] | None = Field(None, max_length=10)
    aggregations: list[AggregateOperation] = Field(min_length=1, max_length=50)
    filters: Filter | None = None
    having: list[Having] | None = None
    unwind: FieldPath | None = None
    range_buckets: list[RangeBuckets] | None = Field(None, max_length=10)
    sort_by: str | None = None
    sort_direction: Literal["asc", "desc"] = "desc"
    limit: int | None = Field(None, ge=1, le=10_000)


class AggregateResult(ApiResponse):
    """``AggregationResult``: a group and its figures."""

    group: JsonObject
    metrics: JsonObject


class AggregateResponse(ApiResponse):
    """``DocumentAggregationResponse``."""

    results: list[AggregateResult]
    total_groups: int
    query_info: JsonObject | None = None
