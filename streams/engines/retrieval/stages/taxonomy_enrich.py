"""``taxonomy_enrich``: documents matched against a taxonomy and given its fields (contract 4.11 and 6)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from schemas.api.base import JsonObject
from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.filter_check import FilterTree
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.joining import appended
from streams.engines.retrieval.stages.parameters import OR_FILTER, FieldPath, Fraction, StageParameters
from streams.engines.retrieval.stages.percolating import on_the_row
from streams.engines.retrieval.stages.stage import Row, Stage
from streams.engines.retrieval.stages.taxonomy import (
    EnrichmentField,
    InputMapping,
    Node,
    every,
    roots,
)
from streams.engines.retrieval.stages.values import identity, put, value, values

if TYPE_CHECKING:
    from streams.engines.retrieval.execution.run import Definitions

RESULT_FIELD: Final = "taxonomy"
"""Where the assignment itself goes when nothing says which fields to copy."""


class Parameters(StageParameters):
    """Which taxonomy, how many assignments, and what they give."""

    guide: ClassVar[dict[str, str]] = {"min_confidence": "min_score"}
    checked: ClassVar[JsonObject] = {"properties": {"when": OR_FILTER}}

    taxonomy_id: str = Field(min_length=1)
    fields: Annotated[list[EnrichmentField], Field(min_length=1)] | None = None
    """Without it what the taxonomy's nodes give."""
    top_k: int = Field(default=3, ge=1, le=50)
    """1: one row per document; more: one row per assignment."""
    min_score: Fraction = 0.0
    """The least score of a match, at every level."""
    when: FilterTree = None
    """A filter; documents that do not fit pass unchanged."""
    result_field: FieldPath | None = None
    """The guides': where the assignment goes, ``{taxonomy_id, collection_id, document_id, score, path}``; without
    it nowhere, or to ``taxonomy`` when there are no fields to copy."""
    include_ancestors: bool = True
    """The guides': levels above the deepest match give their fields too."""


@dataclass(frozen=True, slots=True)
class Match:
    """A document of a node that the row matched."""

    node: Node
    hit: Row


Chain = tuple[Match, ...]
"""The matches of one assignment, root first."""


async def run(rows: list[Row], parameters: Parameters, run: Run) -> list[Row]:
    """Match each row, and give it the fields of its best assignments."""
    if not rows:
        return []
    body = run.definitions.taxonomy(parameters.taxonomy_id)
    if body is None:
        raise StageError(f"{run.place}: taxonomy_id: there is no taxonomy {parameters.taxonomy_id!r}")
    try:
        nodes = roots(body)
    except ValueError as error:
        raise StageError(f"{run.place}: the taxonomy {parameters.taxonomy_id}: {error}") from error
    enriched: list[Row] = []
    for row in rows:
        if not run.fits(parameters.when, row):
            enriched.append(row)
            continue
        chains = await assignments(row, nodes, parameters, run)
        enriched += [_given(row, chain, parameters) for chain in chains] or [row]
    return enriched


async def assignments(row: Row, nodes: Sequence[Node], parameters: Parameters, run: Run) -> list[Chain]:
    """The best assignments, by the score of their deepest match; of equal ones the deeper first."""
    found = await _descend(row, nodes, (), parameters, run)
    found.sort(key=lambda chain: (-_score(chain[-1].hit), -len(chain)))
    return found[: parameters.top_k]


async def _descend(row: Row, nodes: Sequence[Node], above: Chain, parameters: Parameters, run: Run) -> list[Chain]:
    """A node's best match goes down to its children; where none of them matches, every match of the node is an
    assignment of its own."""
    found: list[Chain] = []
    for node in nodes:
        hits = [hit for hit in await _hits(row, node, run) if _score(hit) >= parameters.min_score]
        hits = hits[: parameters.top_k]
        if not hits:
            continue
        deeper = await _descend(row, node.children, (*above, Match(node, hits[0])), parameters, run)
        found += deeper or [(*above, Match(node, hit)) for hit in hits]
    return found


async def _hits(row: Row, node: Node, run: Run) -> list[Row]:
    retriever = run.definitions.retriever(node.retriever_id)
    if retriever is None:
        raise StageError(f"{run.place}: the taxonomy's retriever {node.retriever_id!r} does not exist")
    collection = run.definitions.collection_id(node.collection_id)
    if collection is None:
        raise StageError(f"{run.place}: the taxonomy's collection {node.collection_id!r} does not exist")
    inputs: dict[str, Any] = {}
    for mapping in node.input_mappings:
        found = await _input(row, mapping, run)
        if found is None and mapping.source_type == "vector":
            # Without its vector a document is like nothing.
            return []
        if found is not None:
            inputs[mapping.input_key] = found
    return await run.nested({**retriever, "collection_identifiers": [collection]}, inputs)


async def _input(row: Row, mapping: InputMapping, run: Run) -> Any:
    if mapping.override is not None or mapping.source_type == "literal":
        return mapping.override
    path = mapping.path or mapping.input_key
    if mapping.source_type == "vector":
        (vector,) = await run.vectors([row], path)
        return None if vector is None else vector.tolist()
    return value(row, f"document_blobs.{path}" if mapping.source_type == "blob" else path)


def _score(hit: Row) -> float:
    """A match without a score (found by a filter alone) is a full match."""
    return 1.0 if hit.score is None else hit.score


def _given(row: Row, chain: Chain, parameters: Parameters) -> Row:
    """The row with the fields of an assignment, root to leaf, so that deeper levels override."""
    copied = False
    for match, field in _fields(chain, parameters):
        copied = True
        row = _copied(row, match.hit, field)
    target = parameters.result_field or (None if copied else RESULT_FIELD)
    return row if target is None else put(row, target, assignment(chain, parameters))


def written_back(row: Row, chains: Sequence[Chain], parameters: Parameters) -> Row:
    """One row with the fields of all its assignments, best first, to be kept: the best gives what replaces, all of
    them what appends, and nothing is appended that is there already. Done again it changes nothing."""
    copied = False
    for rank, chain in enumerate(chains):
        for match, field in _fields(chain, parameters):
            copied = True
            if rank == 0 or field.merge_mode == "append":
                row = _copied(row, match.hit, field, once=True)
    target = parameters.result_field or (None if copied else RESULT_FIELD)
    if target is None or not chains:
        return row
    made = [assignment(chain, parameters) for chain in chains]
    return put(row, target, made[0] if parameters.top_k == 1 else made)


def assignment(chain: Chain, parameters: Parameters) -> dict[str, Any]:
    """What a row was matched to."""
    leaf = chain[-1]
    return {
        "taxonomy_id": parameters.taxonomy_id,
        "collection_id": leaf.hit.collection_id,
        "document_id": leaf.hit.document_id,
        "score": leaf.hit.score,
        "path": [match.node.label or match.node.collection_id for match in chain],
    }


def _fields(chain: Chain, parameters: Parameters) -> Iterator[tuple[Match, EnrichmentField]]:
    for match in chain if parameters.include_ancestors else chain[-1:]:
        for field in parameters.fields or match.node.enrichment_fields or ():
            yield match, field


def _copied(row: Row, hit: Row, field: EnrichmentField, *, once: bool = False) -> Row:
    found = values(hit, field.field_path)
    if not found:
        return row
    one = found[0] if len(found) == 1 else found
    if field.merge_mode != "append":
        return put(row, field.target, one)
    items = one if isinstance(one, list) else [one]
    if once:
        there = value(row, field.target)
        known = {identity(item) for item in (there if isinstance(there, list) else [there])}
        items = [item for item in items if identity(item) not in known]
    return appended(row, field.target, items) if items or not once else row


def asks(parameters: Parameters, definitions: "Definitions", place: str) -> list[Mapping[str, Any]]:
    """The retriever of every node, over the documents of the node."""
    body = definitions.taxonomy(parameters.taxonomy_id)
    if body is None:
        raise PlanError(f"{place}: taxonomy_id: there is no taxonomy {parameters.taxonomy_id!r}")
    try:
        nodes = every(roots(body))
    except ValueError as error:
        raise PlanError(f"{place}: the taxonomy {parameters.taxonomy_id}: {error}") from error
    asked: list[Mapping[str, Any]] = []
    for node in nodes:
        retriever = definitions.retriever(node.retriever_id)
        if retriever is None:
            raise PlanError(f"{place}: the taxonomy's retriever {node.retriever_id!r} does not exist")
        asked.append({**retriever, "collection_identifiers": [node.collection_id]})
    return asked


STAGE = Stage(
    stage_id="taxonomy_enrich",
    category="enrich",
    summary="Match documents against a taxonomy and copy the fields of the best matches",
    parameters=Parameters,
    run=run,
    percolate=on_the_row,
    per_row=frozenset(("when",)),
    asks=asks,
)
