"""Lists: what may be asked and how a page is described (contract 1.7, styles A and B)."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from schemas.api.base import ApiRequest, ApiResponse, JsonObject
from schemas.api.filters import PATH, Filter

Direction = Literal["asc", "desc"]
MOST_SKIPPED: Final = 10_000
"""Rows that an offset skips at most."""
LAST_PAGE: Final = MOST_SKIPPED + 1
"""The last page that there is of any size: those of one row."""

CURSOR_PREFIX: Final = "cur_"
CURSOR_PATTERN: Final = "^(cur_[A-Za-z0-9_-]+)?$"
"""A cursor, opaque; an empty one is none."""
Cursor = Annotated[str, Field(json_schema_extra={"pattern": CURSOR_PATTERN})]
"""Where a page begins. What is none is refused where it is read."""


class Sort(ApiRequest):
    """One sort key."""

    field: str = Field(min_length=1, max_length=1_024, json_schema_extra={"pattern": PATH["pattern"]})
    direction: Direction = "asc"


class ListRequest(ApiRequest):
    """Style A in a body. Query parameters of the same names win."""

    search: str | None = Field(None, max_length=1_000)
    filters: Filter | None = None
    sort: Sort | None = None
    sorts: list[Sort] | None = None
    case_sensitive: bool = False
    limit: int | None = Field(None, ge=1, le=1000)
    page_size: int | None = Field(None, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=MOST_SKIPPED)
    page: int | None = Field(None, ge=1, le=LAST_PAGE)
    cursor: Cursor | None = None
    next_cursor: Cursor | None = None
    after: Cursor | None = None
    include_total: bool = False


def sorted_by(shape: type[BaseModel], *others: str) -> JsonObject:
    """The schema of a list that sorts by the fields of what it lists, by ``others``, and by what is in those."""
    names = {*shape.model_fields, *others}
    sort = {"properties": {"field": {"pattern": rf"^({'|'.join(sorted(names))})(\.[^.]*){{0,31}}$"}}}
    return {"allOf": [{"properties": {"sort": sort, "sorts": {"items": sort}}}]}


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
