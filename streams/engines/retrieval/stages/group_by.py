"""``group_by``: documents with the same value of a field together (contract section 6)."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.parameters import FieldPath, StageParameters
from streams.engines.retrieval.stages.percolating import DEPENDS_ON_OTHERS
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.values import by_score, identity, number, order, value


class Parameters(StageParameters):
    """By what, how many of each, and what comes out."""

    guide: ClassVar[dict[str, str]] = {"field": "group_by_field", "docs_per_group": "max_per_group"}

    group_by_field: FieldPath = "source_object_id"
    max_per_group: int = Field(default=10, ge=1, le=1000)
    output_mode: Literal["first", "all", "flatten"] = "all"
    """``first``: the best document of each group; ``all``: one row per group, ``{key, count, documents}``;
    ``flatten``: the documents, group after group."""
    max_groups: int | None = Field(default=None, ge=1, le=1000)
    """The guides': at most so many groups."""
    sort_groups_by: Literal["score", "count", "key"] | None = None
    """The guides': best score, most documents or least key first; else as the groups first appear."""
    sort_docs_by: FieldPath = "score"
    """The guides': the number that puts documents first inside their group."""


def groups(rows: Sequence[Row], field: str) -> list[list[Row]]:
    """Rows by the value of a field, groups and their rows in order of appearance; documents without the field
    are one group."""
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        found.setdefault(identity(value(row, field)), []).append(row)
    return list(found.values())


def group(rows: Sequence[Row], parameters: Parameters) -> list[Row]:
    """The rows grouped as asked."""
    field = parameters.group_by_field
    found = [by_score(members, parameters.sort_docs_by) for members in groups(rows, field)]
    if parameters.sort_groups_by == "count":
        found.sort(key=len, reverse=True)
    elif parameters.sort_groups_by == "key":
        found.sort(key=lambda members: order(value(members[0], field)) or (9, 0))
    elif parameters.sort_groups_by == "score":
        found.sort(key=_best, reverse=True)
    found = found[: parameters.max_groups]
    if parameters.output_mode == "first":
        return [members[0] for members in found]
    if parameters.output_mode == "flatten":
        return [row for members in found for row in members[: parameters.max_per_group]]
    return [_row(members, field, parameters.max_per_group) for members in found]


def _best(members: Sequence[Row]) -> float:
    return max((score for row in members if (score := number(row.score)) is not None), default=float("-inf"))


def _row(members: Sequence[Row], field: str, most: int) -> Row:
    """A group as a row: it goes on as its first document, with the group for its fields."""
    first = members[0]
    documents = [row.root() for row in members[:most]]
    return replace(first, fields={"key": value(first, field), "count": len(members), "documents": documents})


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Group."""
    return group(rows, parameters)


STAGE = Stage(
    stage_id="group_by",
    category="reduce",
    summary="Group documents by a field, the best of each group first",
    parameters=Parameters,
    run=run,
    percolate=DEPENDS_ON_OTHERS,
)
