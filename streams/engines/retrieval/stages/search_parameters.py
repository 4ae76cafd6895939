"""The parameters of ``feature_search`` (contract section 6, Search)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from schemas.api.base import JsonObject
from streams.engines.retrieval.errors import FilterError, PlanError
from streams.engines.retrieval.execution.filter_check import BAD_FORM, WrittenFilter, read_filter
from streams.engines.retrieval.stages.facets import Facet
from streams.engines.retrieval.stages.parameters import FieldPath, Fraction, StageParameters
from streams.engines.retrieval.stages.search_shapes import SEARCH
from streams.engines.retrieval.templates.filling import holds_template
from streams.engines.retrieval.vectors.queries import vector_queries

MAX_SEARCHES: Final = 10


def _query(raw: Any) -> Any:
    if raw is not None and not isinstance(raw, str | list | Mapping):
        raise PydanticCustomError(BAD_FORM, "query is required: {{input_mode, value}}")
    return raw


class Search(StageParameters):
    """One search. ``query`` is read when its templates are filled."""

    checked: ClassVar[JsonObject] = SEARCH

    feature_uri: str = Field(min_length=1)
    query: Annotated[Any, AfterValidator(_query)]
    top_k: int = Field(default=100, ge=1, le=5_000)
    min_score: Fraction | None = None
    weight: Fraction = 1.0
    lexical: bool = False
    optional: bool = False
    on_empty: Literal["error", "skip", "random"] = "error"
    collection_identifiers: list[str] | None = None
    filters: Any = None
    query_preprocessing: None = None
    _filter: WrittenFilter | None = PrivateAttr(default=None)
    _vectors: tuple[int, bytes] | None = PrivateAttr(default=None)

    @property
    def where(self) -> WrittenFilter | None:
        """``filters``, read."""
        return self._filter

    @property
    def vectors(self) -> NDArray[np.float64] | None:
        """A query of vectors that are written out, as unit vectors; ``None`` for any other."""
        if self._vectors is None:
            return None
        count, data = self._vectors
        return np.frombuffer(data, dtype=np.float64).reshape(count, -1)

    @model_validator(mode="after")
    def _read(self) -> Self:
        """What is written out is read at once."""
        if self.filters is not None:
            try:
                self._filter = read_filter(self.filters, "filters")
            except FilterError as error:
                raise PydanticCustomError(BAD_FORM, "{words}", {"words": str(error)}) from error
        query = self.query
        if isinstance(query, Mapping) and query.get("input_mode", "vector") != "vector":
            return self
        vector = query.get("value") if isinstance(query, Mapping) else query
        if (
            isinstance(vector, list)
            and vector
            and not self.lexical
            and not holds_template([vector, self.feature_uri])
        ):
            try:
                queries = vector_queries(vector, self.feature_uri, "query")
                # As bytes, which compare: an array would keep two equal parameters from being equal.
                self._vectors = (len(queries), queries.tobytes())
            except PlanError as error:
                raise PydanticCustomError(BAD_FORM, "{words}", {"words": str(error)}) from error
        return self


class GroupBy(StageParameters):
    """Groups of what was found."""

    field: FieldPath
    max_per_group: int = Field(default=1, ge=1, le=100)
    limit: int = Field(default=25, ge=1, le=500)
    """Groups, at most; it replaces ``final_top_k``."""
    output_mode: Literal["first", "all", "flatten"] = "all"


class Parameters(StageParameters):
    """What is searched and how what is found becomes one list."""

    guide: ClassVar[dict[str, str]] = {"limit": "final_top_k"}
    checked: ClassVar[JsonObject] = {
        "properties": {
            "fusion": {"enum": ["rrf", "dbsf", "weighted", "max", None], "default": "rrf"},
            "query_preprocessing": {"type": "null"},
        }
    }

    searches: list[Search] = Field(default=[], max_length=MAX_SEARCHES)
    final_top_k: int = Field(default=25, ge=1, le=5_000)
    fusion: Literal["rrf", "dbsf", "weighted", "max", "learned"] = "rrf"
    group_by: GroupBy | None = None
    facets: list[Facet] | None = None
    collection_identifiers: list[str] | None = None
    query_preprocessing: None = None
    learning_config: dict[str, Any] | None = None
    hard_timeout_ms: int | None = Field(default=None, ge=1)
    interactive: bool = False
    degrade_retry: bool = False
    auto_preprocess: bool = True
    cache_behavior: Literal["auto", "disabled", "aggressive"] = "auto"
    cache_ttl_seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _guide_form(cls, raw: Any) -> Any:
        """``feature_uris`` of the guides as searches."""
        if not isinstance(raw, Mapping):
            return raw
        if raw.get("query_preprocessing") is not None:
            raise PydanticCustomError(BAD_FORM, "query_preprocessing needs a hosted model")
        listed = raw.get("feature_uris")
        if listed is None:
            return raw
        if (
            raw.get("searches")
            or not isinstance(listed, list)
            or not all(isinstance(one, Mapping) for one in listed)
        ):
            raise PydanticCustomError(
                BAD_FORM, "write feature_uris as searches: [{{feature_uri, query, min_score}}]"
            )
        rest = {key: value for key, value in raw.items() if key != "feature_uris"}
        return {**rest, "searches": [from_guide(one) for one in listed]}

    @model_validator(mode="after")
    def _fusable(self) -> "Parameters":
        if self.searches:
            if self.fusion == "learned" and len(self.searches) > 1:
                raise PydanticCustomError(
                    BAD_FORM, "learned fusion needs a hosted model; use rrf, dbsf, weighted or max"
                )
            if sum(search.weight for search in self.searches) <= 0:
                raise PydanticCustomError(BAD_FORM, "at least one search needs a weight above 0")
        return self


def from_guide(one: Mapping[str, Any]) -> dict[str, Any]:
    """One of the guides' ``feature_uris`` as a search."""
    rest = {key: value for key, value in one.items() if key not in ("uri", "input")}
    given = one.get("input")
    if isinstance(given, Mapping) and "vector" in given:
        query: Any = {"input_mode": "vector", "value": given["vector"]}
    elif isinstance(given, Mapping) and "text" in given:
        query = {"input_mode": "text", "value": given["text"]}
    else:
        query = given
    return {"feature_uri": one.get("uri"), "query": query, **rest}


def lacks_candidates(raw: Mapping[str, Any], pre_filters: Any) -> str | None:
    """Why empty searches cannot be: nothing says which documents to scan."""
    if (
        raw.get("searches")
        or raw.get("feature_uris")
        or (isinstance(pre_filters, Mapping) and any_condition(pre_filters))
    ):
        return None
    return "searches are empty; give one, or pre_filters to scan by"


def any_condition(raw: Mapping[str, Any]) -> bool:
    """Whether a filter asks anything."""
    return any(value not in (None, [], {}) for key, value in raw.items() if key != "case_sensitive")
