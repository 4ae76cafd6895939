"""Running retrievers (contract 2.2, 4.5, 1.7 style D)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from schemas.api.base import CONFLICT, SHAPE, ApiRequest, JsonObject, having, problem, read_part
from schemas.api.filters import Filter
from schemas.api.pages import Cursor
from schemas.api.retriever import BudgetLimits, InputField, Stage, flat_schema
from schemas.write_token import PATTERN

MAX_QUERIES = 50
"""What the high-level client says; the SDK's model sends at most 16 (contract, section 8, line 40)."""


_EXACT: JsonObject = {"properties": {"exact": {"type": "boolean"}}}
_LIMITED: JsonObject = {
    "properties": {"exact": {"type": "boolean"}, "limit": {"type": "integer", "minimum": 1, "maximum": 500}}
}
_AFTER: JsonObject = {
    "required": ["seed", "now", "offset"],
    "properties": {
        "seed": {"type": "string"},
        "now": {"type": "string", "format": "date-time"},
        "offset": {"type": "integer", "minimum": 0},
    },
}
"""What a page gives out as the ``after`` of the next."""


class OffsetPage(ApiRequest):
    """A page by its number."""

    method: Literal["offset"] = "offset"
    page_size: int = Field(10, ge=1, le=500)
    page_number: int = Field(1, ge=1, le=1_000_000)

    @property
    def size(self) -> int:
        """Documents on a page."""
        return self.page_size


class CursorPage(ApiRequest):
    """The page behind an opaque cursor."""

    method: Literal["cursor"] = "cursor"
    limit: int = Field(10, ge=1, le=500)
    cursor: Cursor | None = None

    @property
    def size(self) -> int:
        """Documents on a page."""
        return self.limit


class ScrollPage(ApiRequest):
    """The page behind a cursor that ends."""

    method: Literal["scroll"] = "scroll"
    limit: int = Field(100, ge=1, le=1_000)
    scroll_id: Cursor | None = None
    scroll_ttl: int = Field(300, ge=60, le=3_600)

    @property
    def size(self) -> int:
        """Documents on a page."""
        return self.limit


class KeysetPage(ApiRequest):
    """The page behind a document."""

    method: Literal["keyset"] = "keyset"
    limit: int = Field(10, ge=1, le=500)
    after: Annotated[JsonObject, Field(json_schema_extra=_AFTER)] | None = None

    @property
    def size(self) -> int:
        """Documents on a page."""
        return self.limit


PageOf = OffsetPage | CursorPage | ScrollPage | KeysetPage

_METHODS: dict[str, type[PageOf]] = {
    "offset": OffsetPage,
    "cursor": CursorPage,
    "scroll": ScrollPage,
    "keyset": KeysetPage,
}


_PAGES: JsonObject = {
    "anyOf": [
        {SHAPE: "CursorPage"},
        *(
            {"allOf": [{SHAPE: f"{method.capitalize()}Page"}, having("method")]}
            for method in ("offset", "scroll", "keyset")
        ),
    ]
}
"""By its ``method``, a cursor where none is said."""


class Consistency(ApiRequest):
    """How fresh the documents must be."""

    mode: Literal["strong", "eventual"]
    max_staleness_ms: int | None = Field(None, ge=0)


def wants_exact(settings: JsonObject | None) -> bool:
    """``settings.exact``; raises for one that is no boolean."""
    found = (settings or {}).get("exact", False)
    if type(found) is not bool:
        raise problem("exact must be true or false", "settings", "exact")
    return found


class RunRequest(ApiRequest):
    """What every execution takes."""

    inputs: JsonObject = Field(default_factory=dict)
    filters: Filter | None = None
    pagination: Annotated[JsonObject, WithJsonSchema(_PAGES)] | None = None
    limit: int | None = Field(None, ge=1, le=500)
    page_size: int | None = Field(None, ge=1, le=500)
    stream: bool = False
    return_presigned_urls: bool = False
    return_vectors: bool = False
    explain: bool = False
    settings: Annotated[JsonObject, Field(json_schema_extra=_EXACT)] | None = None

    @property
    def exact(self) -> bool:
        """``settings.exact``: no index may nominate."""
        return wants_exact(self.settings)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        wants_exact(self.settings)
        if None not in (self.limit, self.page_size) and self.limit != self.page_size:
            raise problem("limit and page_size mean the same: send one of them", "page_size", kind=CONFLICT)
        self.page()
        return self

    def page(self) -> PageOf:
        """Which documents of the result are wanted."""
        if self.pagination is None:
            return CursorPage(limit=self.limit or self.page_size or 10)
        method = self.pagination.get("method")
        model = _METHODS.get("cursor" if method is None else method) if isinstance(method, str | None) else None
        if model is None:
            raise problem(
                f"the method is one of {', '.join(_METHODS)}", "pagination", "method", kind="literal_error"
            )
        return read_part(model, self.pagination, "pagination")

    def size_warning(self) -> str | None:
        """What to tell about two sizes that disagree."""
        given = self.limit or self.page_size
        if self.pagination is None or given is None or given == self.page().size:
            return None
        return f"limit {given} was not used: pagination asks for pages of {self.page().size}"


class ExecuteRequest(RunRequest):
    """``ExecuteRetrieverRequest``."""

    expand: list[str] | None = Field(None, max_length=50)
    skip_cache: bool = False
    write_token: str | None = Field(None, max_length=4_096, json_schema_extra={"pattern": PATTERN})
    consistency: Consistency | None = None
    target_collection_id: str | None = None


class AdhocRequest(RunRequest):
    """``AdhocExecuteRequest``: a retriever that is not stored, and its inputs."""

    collection_identifiers: list[str] | None = None
    collection_ids: list[str] | None = None
    stages: list[Stage] = Field(min_length=1, max_length=50)
    input_schema: dict[str, InputField] | None = None
    budget_limits: BudgetLimits | None = None
    pre_filters: Filter | None = None
    """Another name of ``filters``."""
    skip_cache: bool = False

    _flat_schema = field_validator("input_schema", mode="before")(flat_schema)

    @model_validator(mode="after")
    def _one_filter(self) -> Self:
        if self.filters is not None and self.pre_filters is not None:
            raise problem("filters and pre_filters mean the same: send one of them", "pre_filters", kind=CONFLICT)
        return self


class BatchQuery(ApiRequest):
    """One question of a batch."""

    inputs: JsonObject
    filters: Filter | None = None


class BatchRequest(ApiRequest):
    """``ExecuteBatchRequest``."""

    queries: list[BatchQuery] = Field(min_length=1, max_length=MAX_QUERIES)
    settings: Annotated[JsonObject, Field(json_schema_extra=_LIMITED)] | None = None
    """Shared by every query: ``limit``, the most documents of each (10)."""
    concurrency: int = Field(5, ge=1, le=20)
    return_presigned_urls: bool = False
    return_vectors: bool = False
    stream: bool = False

    @model_validator(mode="after")
    def _limit(self) -> Self:
        found: Any = (self.settings or {}).get("limit", 10)
        if type(found) is not int or not 1 <= found <= 500:
            raise problem("limit must be a whole number from 1 to 500", "settings", "limit")
        wants_exact(self.settings)
        return self

    @property
    def exact(self) -> bool:
        """As :attr:`RunRequest.exact`."""
        return wants_exact(self.settings)

    @property
    def limit(self) -> int:
        """The most documents of each query."""
        return int((self.settings or {}).get("limit", 10))
