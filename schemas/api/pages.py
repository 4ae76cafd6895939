"""Lists: what may be asked and how a page is described (contract 1.7, styles A and B)."""

from typing import Literal

from pydantic import Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject

Direction = Literal["asc", "desc"]


class Sort(ApiRequest):
    """One sort key."""

    field: str = Field(min_length=1)
    direction: Direction = "asc"


class ListRequest(ApiRequest):
    """Style A in a body. Query parameters of the same names win."""

    search: str | None = Field(None, max_length=1_000)
    filters: JsonObject | None = None
    sort: Sort | None = None
    sorts: list[Sort] | None = None
    case_sensitive: bool = False
    limit: int | None = Field(None, ge=1, le=1000)
    page_size: int | None = Field(None, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000)
    page: int | None = Field(None, ge=1)
    cursor: str | None = None
    next_cursor: str | None = None
    after: str | None = None
    include_total: bool = False


class Pagination(ApiResponse):
    """``PaginationResponse``."""

    total: int | None
    page: int | None
    page_size: int | None
    total_pages: int | None
    next_page: str | None
    previous_page: str | None
    next_cursor: str | None


class WindowedListRequest(ApiRequest):
    """Style B of the trigger lists."""

    offset: int = Field(0, ge=0, le=2**53)
    limit: int = Field(50, ge=1, le=1000)
    sort_by: Literal[
        "created_at", "updated_at", "next_scheduled_at", "last_triggered_at", "trigger_type", "status"
    ] = "created_at"
    direction: Direction = "desc"
