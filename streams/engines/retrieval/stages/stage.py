"""What a stage of a retriever is: one interface for every stage, in percolation, look-up and ad-hoc execution.

Each module beside this one holds one stage as a :class:`Stage` named ``STAGE``; ``registry.py`` lists them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.stages import Draft
    from streams.engines.retrieval.stages.run import Run

Category = Literal["filter", "sort", "reduce", "apply", "enrich"]
P = TypeVar("P", bound=BaseModel)
Vector = NDArray[np.float32]


@dataclass(slots=True)
class Row:
    """One candidate on its way through the stages; a stage may change it in place or make new ones."""

    document_id: str
    collection_id: str
    fields: dict[str, Any]
    """Root fields of the document as filters and templates see them, without ids and score."""
    score: float | None = None
    """Relevance, higher is better; ``None`` where no stage has given one."""
    features: Mapping[str, Vector] = field(default_factory=dict)
    """Feature name → vector, shape ``(dimensions,)``."""

    def root(self) -> dict[str, Any]:
        """The row as filters and templates see it: its fields, its ids and its score."""
        ids = {"document_id": self.document_id, "collection_id": self.collection_id}
        return {**ids, **self.fields} if self.score is None else {**ids, **self.fields, "score": self.score}


@dataclass(frozen=True, slots=True)
class Stage(Generic[P]):
    """One stage (contract section 6)."""

    stage_id: str
    category: Category
    summary: str
    """What it does, in a sentence for people."""
    parameters: type[P]
    """Its parameters with their bounds and defaults: the SDK's names, the guides' names as aliases."""
    run: "Callable[[list[Row], P, Run], Awaitable[list[Row]]]"
    """Rows in, rows out. Raises ``StageError`` in words for the user."""
    percolate: "Callable[[Draft, P, str], None] | str"
    """Reads it into the plan of a standing alert (draft, parameters, place for messages; raises ``PlanError``), or
    says why one arriving document cannot decide it."""
