"""Which collections stages read beside the documents they are given, through other retrievers too (design
section 4): what must be at hand before they run where not every document is."""

from collections.abc import Iterator

from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.execute import MAX_NESTED
from streams.engines.retrieval.execution.prepare import Prepared, PreparedStage, prepare
from streams.engines.retrieval.execution.run import Definitions
from streams.engines.retrieval.templates.filling import holds_template


def retriever_reads(retriever: Prepared, definitions: Definitions, depth: int = 0) -> Iterator[str]:
    """Ids of the collections a retriever finds its documents in and its stages read. Raises :class:`PlanError`
    when they cannot be told, or are not there."""
    for name in retriever.collections or ():
        yield _id(name, "collection_identifiers", definitions)
    for stage in retriever.stages:
        yield from stage_reads(stage, stage.sketch(), definitions, depth)


def stage_reads(
    stage: PreparedStage, parameters: object, definitions: Definitions, depth: int = 0
) -> Iterator[str]:
    """Ids of the collections a stage reads. Raises as :func:`retriever_reads`."""
    if stage.stage.reads is not None:
        for name in stage.stage.reads(parameters, definitions):
            yield _id(name, stage.place, definitions)
    if stage.stage.asks is None:
        return
    for retriever in stage.stage.asks(parameters, definitions, stage.place):
        if depth >= MAX_NESTED:
            raise PlanError(f"{stage.place}: retrievers are nested more than {MAX_NESTED} deep, or in a circle")
        try:
            prepared = prepare(retriever)
        except PlanError as error:
            raise PlanError(f"{stage.place}: its retriever: {error}") from error
        if prepared.collections is None:
            raise PlanError(
                f"{stage.place}: its retriever searches every collection; a standing alert needs to know which:"
                " give it collection_identifiers"
            )
        yield from retriever_reads(prepared, definitions, depth + 1)


def _id(name: str, place: str, definitions: Definitions) -> str:
    if holds_template(name):
        raise PlanError(f"{place}: a standing alert names its collections; a template cannot ({name})")
    found = definitions.collection_id(name)
    if found is None:
        raise PlanError(f"{place}: there is no collection {name!r}")
    return found
