"""Request bodies of the reads. An explicit null is an absent field (contract 1.4)."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import ConfigDict, Field

from schemas.api.base import ApiRequest, GivenInstant
from schemas.api.cluster_run import ClusterExecutionResult
from schemas.api.filters import Filter
from schemas.api.pages import CURSOR_PATTERN, MOST_SKIPPED, ListRequest, Sort, sorted_by
from schemas.api.retriever_execution import ExecutionSummary
from streams.runtime.http.json_route import BodyOfGet
from streams.runtime.http.pages import PageDep, PageRequest, page_of

Status = Annotated[str, Field(max_length=64, pattern=r"^\w*$")]
"""A status word. One that no execution has finds none."""


class HistoryRequest(ApiRequest):
    """Body of a cluster trigger's history (style B)."""

    offset: int = Field(0, ge=0, le=2**53)
    limit: int = Field(50, ge=1, le=1000)
    status_filter: Status | None = None


class RunListRequest(ApiRequest):
    """Body of a list of runs, which may be of one status."""

    filters: Filter | None = None
    sort: Sort | None = None
    sorts: list[Sort] | None = Field(None, max_length=16)
    search: str | None = Field(None, max_length=1_000)
    case_sensitive: bool = False
    status: Status | None = None


class ClusterRunListRequest(RunListRequest):
    """Body of the list of a cluster's runs."""

    model_config = ConfigDict(json_schema_extra=sorted_by(ClusterExecutionResult))


class ExecutionListRequest(RunListRequest):
    """Body of the list of a retriever's executions."""

    model_config = ConfigDict(json_schema_extra=sorted_by(ExecutionSummary))


class AdhocListRequest(ApiRequest):
    """Body of the list of executions whose retriever was never stored."""

    status: Status | None = None
    start_time: GivenInstant | None = None
    end_time: GivenInstant | None = None
    count_only: bool = False


class ExecutionsBody(ApiRequest):
    """Body of ``GET /v1/alerts/executions``."""

    limit: int | None = Field(None, ge=1, le=1000)
    offset: int | None = Field(None, ge=0, le=MOST_SKIPPED)
    # Nobody reads it where the query string has one: what it may be is checked here.
    cursor: str | None = Field(None, pattern=CURSOR_PATTERN)
    include_total: bool | None = None


async def page_with_body(
    request: Request, page: PageDep, body: Annotated[ExecutionsBody, Depends(BodyOfGet(ExecutionsBody))]
) -> PageRequest:
    """The page of a GET that may carry a body; what the query string says wins."""
    return page_of(request, page, ListRequest(**body.model_dump(exclude_none=True)))


BodyPageDep = Annotated[PageRequest, Depends(page_with_body)]
