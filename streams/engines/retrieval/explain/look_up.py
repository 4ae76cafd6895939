"""Why an alert that looks a document up fires on it, or not (``execution/look_up.py``, ``verdict.py``)."""

from collections.abc import Mapping
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import InputError, PlanError, StageError
from streams.engines.retrieval.execution.corpus import Scope
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.inputs import fields_of
from streams.engines.retrieval.execution.look_up import LookUp
from streams.engines.retrieval.execution.seed import seed_of
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.verdict import unit_score, weigh
from streams.engines.retrieval.explain.explanation import Explanation
from streams.engines.retrieval.explain.index import Nomination
from streams.engines.retrieval.explain.rows import Given, LookedUp, Ran
from streams.engines.retrieval.explain.tail import failed

_ALWAYS = Nomination(
    "look_up", True, "evaluated for every document: what it asks is in other collections, not in the document"
)


async def explain_look_up(
    look_up: LookUp,
    alert: Mapping[str, Any],
    document: DocumentEvent,
    surroundings: Surroundings,
) -> Explanation:
    """Look ``document`` up as match does, over a corpus; ``alert`` is its body.
    What is drawn by chance is what match draws."""
    ran = Ran(look_up.retriever.stages)
    counts: dict[str, int] = {}
    execution: Execution | None = None
    try:
        for name in sorted(look_up.reference_collections):
            counts[name] = await surroundings.corpus.count(Scope((name,)))
        execution = await look_up.ask(document, surroundings, seed=seed_of(document, alert), watch=ran)
        ran.error = execution.error
        ran.warnings += execution.notes.warnings
    except (InputError, PlanError, StageError) as error:
        ran.error = str(error)
    notes = None if execution is None else execution.notes
    looked_up = LookedUp(
        given(look_up, document),
        tuple({"collection_id": name, "documents": count} for name, count in counts.items()),
        look_up.sees(document),
        ran,
        surroundings.corpus.position(),
        () if notes is None else tuple(notes.limits),
        () if notes is None else tuple(notes.degraded),
    )
    if execution is None or ran.error is not None:
        reason = failed(ran.error or "")
        return Explanation(False, None, reason, None, (), (), _ALWAYS, look_up=looked_up)
    rows = execution.rows
    weighed = weigh(alert, rows)
    score = unit_score(rows[0].score) if rows else None
    if weighed.fired is not None:
        score = weighed.fired.score
    return Explanation(
        weighed.fired is not None,
        score,
        weighed.reason,
        None,
        (),
        (),
        _ALWAYS,
        look_up=looked_up,
        verdict=weighed,
    )


def given(look_up: LookUp, document: DocumentEvent) -> tuple[Given, ...]:
    """The inputs of a look-up, and what gave each."""
    mapped = {one.input_key: one for one in look_up.mapped}
    inputs = look_up.inputs_for(document)
    told = []
    for name, declared in fields_of(look_up.retriever.input_schema).items():
        default = declared.get("default") if isinstance(declared, Mapping) else None
        if inputs.get(name) is None and default is not None:
            told.append(Given(name, "default", None, default))
    defaults = {one.input_key for one in told}
    for name, value in inputs.items():
        source = mapped.get(name)
        if source is not None:
            told.append(Given(name, source.source_type, source.path, value))
        elif name not in defaults:
            told.append(Given(name, "constant", None, value))
    return tuple(told)
