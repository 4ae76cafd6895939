"""What a stage of a retriever is: one interface for every stage, in percolation, look-up and ad-hoc execution.

A module that holds a stage has it as ``STAGE``; ``registry.py`` lists them. Beside them is what several stages
share; what runs them is in ``execution/``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.api.base import JsonObject
from streams.engines.retrieval.stages.parameters import StageParameters

if TYPE_CHECKING:
    from streams.engines.retrieval.execution.run import Definitions, Run
    from streams.engines.retrieval.percolate.draft import Draft

Category = Literal["filter", "sort", "reduce", "apply", "enrich"]
P = TypeVar("P", bound=StageParameters)
Vector = NDArray[np.float32]


@dataclass(slots=True)
class Row:
    """One candidate on its way through the stages; a stage may change it in place or make new ones."""

    document_id: str
    collection_id: str
    fields: dict[str, Any]
    """Root fields of the document as filters and templates see them, without ids and score. The mapping is the
    row's own; what is nested in it may be shared with the corpus and is replaced, never changed in place."""
    score: float | None = None
    """Relevance, higher is better; ``None`` where no stage has given one."""
    features: Mapping[str, Vector] = field(default_factory=dict)
    """Feature name → vector, shape ``(dimensions,)``."""
    matched: Mapping[str, float] = field(default_factory=dict)
    """Feature URI → rounded cosine, of the searches that found it."""

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
    says why one arriving document cannot decide it. A stage that changes the row, or needs more than a predicate,
    calls ``draft.to_tail()``: it and every later stage then run on the one row when the rest has matched."""
    per_row: frozenset[str] = frozenset()
    """Parameters that may hold templates of ``DOC``. The stage gets them as they are written and fills them for
    each row with ``run.render(value, row)``; every other parameter is filled before it is validated."""
    source: bool = False
    """As the first stage it finds its candidates itself (``run.first``, ``run.where``). A first stage that does
    not is given the documents in scope that ``run.where`` lets through."""
    needs_filter: Callable[[Mapping[str, Any], Any], str | None] | None = None
    """From its parameters and ``pre_filters`` as they are written: why they cannot do together."""
    needs_no_filter: JsonObject | None = None
    """With ``needs_filter``: the shape of parameters that do without ``pre_filters``."""
    reads: "Callable[[P, Definitions], Sequence[str]] | None" = None
    """Collections it reads beside the retriever's own, by id or name as its parameters say."""
    asks: "Callable[[P, Definitions, str], Sequence[Mapping[str, Any]]] | None" = None
    """Other retrievers it runs (parameters, definitions, place for messages), each with the collections it runs
    them over. Raises :class:`PlanError` for one that is not there, or is not known before templates are filled."""
