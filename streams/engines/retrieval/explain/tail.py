"""Why an alert whose last stages change the document fires on it, or not (``tail.py``)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.execution.seed import seed_of
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.tail import tail_rows
from streams.engines.retrieval.execution.verdict import weigh
from streams.engines.retrieval.explain.explanation import Explanation, explain
from streams.engines.retrieval.explain.rows import Ran
from streams.engines.retrieval.percolate.plan import Plan, judge
from streams.engines.retrieval.percolate.reference import cosine


async def explain_tail(
    plan: Plan,
    alert: Mapping[str, Any],
    document: DocumentEvent,
    surroundings: Surroundings,
) -> Explanation:
    """As ``explain``, with ``plan.tail`` run on a document that matches so far; ``alert`` is its body. What is
    drawn by chance is what match draws."""
    told = explain(plan, document)
    hit = judge(plan, [cosine(search, document) for search in plan.searches]) if told.matches else None
    if hit is None or not plan.tail:
        return told
    ran = Ran(plan.tail, row_of(document).fields)
    try:
        rows = await tail_rows(
            plan,
            document,
            hit.score,
            hit.matched_features,
            surroundings,
            seed=seed_of(document, alert),
            watch=ran,
            warnings=ran.warnings,
        )
    except StageError as error:
        ran.error = str(error)
        return replace(told, matches=False, reason=failed(ran.error), tail=ran)
    weighed = weigh(alert, rows)
    if weighed.fired is None:
        told = replace(told, matches=False, reason=f"its last stages leave {weighed.reason}")
    return replace(told, tail=ran, verdict=weighed)


def failed(error: str) -> str:
    """Why stages that failed fire nothing."""
    return f"its stages failed, which fires nothing: {error}"
