"""What the stages of a retriever ask of one arriving document, while they are read (design section 4)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.engines.retrieval.errors import FilterError, PlanError
from streams.engines.retrieval.execution.filter_check import WrittenFilter
from streams.engines.retrieval.filters.nodes import ALWAYS, Node
from streams.engines.retrieval.filters.parse import parse_filter
from streams.engines.retrieval.percolate.plan import ScoreTest, Search


@dataclass(slots=True)
class Draft:
    """What the stages read so far ask for."""

    collection_id: str | None
    """Where documents arrive; ``None`` where that is not known."""
    render: Callable[[Any], Any]
    """Fills templates with the alert's constants. Raises :class:`PlanError`."""
    tailed: bool = False
    """The current stage and all after it run on the row; what they add here is dropped."""
    filters: list[Node] = field(default_factory=list)
    searches: list[Search] | None = None
    fusion: Literal["mean", "max"] = "mean"
    ranked: bool = False
    """Several searches are fused by rank, so their score means nothing for one document."""
    score_tests: list[ScoreTest] = field(default_factory=list)

    def add_filter(self, written: WrittenFilter | None, place: str, *, case_sensitive: bool = False) -> None:
        """Take a filter in, its templates filled here; nothing is added for none. Raises :class:`PlanError`."""
        if written is None or self.tailed:
            return
        parsed = written.parsed
        if parsed is None:
            try:
                raw = self.render(written.raw)
                parsed = parse_filter(raw, case_sensitive_default=case_sensitive, place=place)
            except FilterError as error:
                raise PlanError(str(error)) from error
        if parsed.root != ALWAYS:
            self.filters.append(parsed.root)

    def to_tail(self) -> None:
        """Have this stage and every later one run on the row, after the rest has matched."""
        self.tailed = True
