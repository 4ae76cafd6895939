"""A taxonomy's fields written into documents that are kept (contract 4.11). Pure.

Each document is matched as the stage ``taxonomy_enrich`` matches a row; what it is given becomes part of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.budget import Budget
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.execute import run_on_rows
from streams.engines.retrieval.execution.prepare import prepare_stage
from streams.engines.retrieval.execution.reading import stage_reads
from streams.engines.retrieval.execution.rows import row_of
from streams.engines.retrieval.execution.run import Definitions
from streams.engines.retrieval.execution.without import Without
from streams.engines.retrieval.stages.taxonomy import Node, roots
from streams.engines.retrieval.stages.taxonomy_enrich import Chain, Parameters, assignments, written_back
from streams.engines.retrieval.stages.values import identity


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A taxonomy ready to be matched any number of times."""

    parameters: Parameters
    nodes: Sequence[Node]
    reads: frozenset[str]
    """Ids of the collections its retrievers look in."""


@dataclass(frozen=True, slots=True)
class Enriched:
    """What became of one document."""

    event: DocumentEvent | None
    """As it is now; ``None`` where nothing of it changed."""
    matched: bool
    changed: tuple[str, ...] = ()
    """Root fields of ``event`` that are new or other than they were."""
    problem: str | None = None
    """Why it could not be matched or written."""
    chains: Sequence[Chain] = ()
    """What it was matched to, best first."""


def read_taxonomy(taxonomy_id: str, definitions: Definitions) -> Taxonomy:
    """The taxonomy of an id, with what it needs to be matched. Raises :class:`PlanError` for one that is not there
    or could never be matched."""
    stage = prepare_stage({"stage_id": "taxonomy_enrich", "parameters": {"taxonomy_id": taxonomy_id}})
    reads = frozenset(stage_reads(stage, stage.sketch(), definitions))
    body = definitions.taxonomy(taxonomy_id)
    assert body is not None
    parameters = Parameters(taxonomy_id=taxonomy_id, top_k=body["config"].get("top_k") or 1)
    return Taxonomy(parameters, roots(body), reads)


async def materialize(
    taxonomy: Taxonomy,
    events: Sequence[DocumentEvent],
    corpus: Corpus,
    definitions: Definitions,
    *,
    now: datetime,
    clock: Callable[[], float],
    seed: str = "",
) -> list[Enriched]:
    """What each document becomes, in their order. A document never matches itself."""
    return [await _one(taxonomy, event, corpus, definitions, now, clock, seed) for event in events]


async def _one(
    taxonomy: Taxonomy,
    event: DocumentEvent,
    corpus: Corpus,
    definitions: Definitions,
    now: datetime,
    clock: Callable[[], float],
    seed: str,
) -> Enriched:
    within = Without(corpus, event) if event.collection_id in taxonomy.reads else corpus
    run = run_on_rows(within, {}, now=now, budget=Budget(clock, None, None), definitions=definitions, seed=seed)
    run.place = f"taxonomy {taxonomy.parameters.taxonomy_id}"
    row = row_of(event)
    try:
        chains = await assignments(row, taxonomy.nodes, taxonomy.parameters, run)
    except StageError as error:
        return Enriched(None, False, problem=str(error))
    if not chains:
        return Enriched(None, False)
    kept = _kept(event, row.fields, written_back(row, chains, taxonomy.parameters).fields)
    return replace(kept, chains=chains)


def _kept(event: DocumentEvent, before: Mapping[str, Any], after: Mapping[str, Any]) -> Enriched:
    """The document with the fields it was given."""
    changed = {
        name: found
        for name, found in after.items()
        if name not in before or (found is not before[name] and identity(found) != identity(before[name]))
    }
    if not changed:
        return Enriched(None, True)
    if event.payload is not None and not isinstance(event.payload, dict):
        return Enriched(None, True, problem="its payload is no object, so it has no fields to write to")
    payload = dict(event.payload or {})
    text, asset_id = event.text, event.asset_id
    for name, found in changed.items():
        # A field of the event itself, unless its payload has one of that name over it.
        if name == "text" and name not in payload and isinstance(found, str):
            text = found
        elif name == "asset_id" and name not in payload and isinstance(found, str):
            asset_id = found
        else:
            payload[name] = found
    return Enriched(replace(event, payload=payload, text=text, asset_id=asset_id), True, tuple(changed))
