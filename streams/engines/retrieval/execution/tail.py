"""The end of a standing alert whose last stages change the document, on one document the rest has let through."""

from collections.abc import Mapping
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.budget import least
from streams.engines.retrieval.execution.execute import Watch, execute_tail
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.execution.seed import seed_of
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.verdict import Fired, decide
from streams.engines.retrieval.execution.without import Without
from streams.engines.retrieval.percolate.percolator import Hit
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.stages.stage import Row


async def run_tail(
    plan: Plan,
    alert: Mapping[str, Any],
    document: DocumentEvent,
    hit: Hit[Any],
    surroundings: Surroundings,
) -> Fired | None:
    """Whether the alert fires once ``plan.tail`` has run on the document of a hit; ``alert`` is its body. The same
    document gives the same answer: what is drawn by chance follows from its key and the alert. Raises
    ``StageError``."""
    seed = seed_of(document, alert)
    rows = await tail_rows(plan, document, hit.score, hit.matched_features, surroundings, seed=seed)
    return decide(alert, rows)


async def tail_rows(
    plan: Plan,
    document: DocumentEvent,
    score: float,
    matched: Mapping[str, float] | None,
    surroundings: Surroundings,
    *,
    seed: str,
    watch: Watch | None = None,
    warnings: list[str] | None = None,
    ceiling_ms: float | None = None,
) -> list[Row]:
    """The rows that ``plan.tail`` makes of a document that matches with a score. As in an execution, the row has a
    score where a search gave it. What is stored of the document itself is not found by it. ``ceiling_ms`` is the
    most it may take, whatever the retriever's budget allows. Raises ``StageError``."""
    row = row_of(document)
    if plan.searches:
        row.score, row.matched = score, matched or {}
    return await execute_tail(
        plan.tail,
        row,
        Without(surroundings.corpus, document),
        plan.inputs,
        now=surroundings.now,
        clock=surroundings.clock,
        definitions=surroundings.definitions,
        seed=seed,
        watch=watch,
        warnings=warnings,
        max_time_ms=least(plan.max_time_ms, ceiling_ms),
        max_credits=plan.max_credits,
    )
