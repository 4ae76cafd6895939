"""How an alert attached on ingest is checked, and which other documents it needs for that (design section 4)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from streams.engines.retrieval.errors import PlanError, StageError
from streams.engines.retrieval.execution.look_up import LookUp, prepare_look_up, takes_from_document
from streams.engines.retrieval.execution.prepare import PreparedStage
from streams.engines.retrieval.execution.reading import stage_reads
from streams.engines.retrieval.execution.run import Definitions
from streams.engines.retrieval.execution.windowed import has_window
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.constants import renderer
from streams.engines.retrieval.percolate.plan import Plan


def read_standing(
    retriever: Mapping[str, Any],
    alert: Mapping[str, Any],
    application: Mapping[str, Any] | None,
    definitions: Definitions,
    *,
    collection_id: str,
) -> Plan | LookUp:
    """The plan of an alert whose inputs are constants, else how it looks the document up. Raises
    :class:`PlanError` with words for the user when it can run neither way."""
    if takes_from_document(application):
        if has_window(alert):
            raise PlanError(
                "window_seconds counts documents that match, and this alert looks each of them up: give its inputs"
                " as constants, or leave the window out"
            )
        return prepare_look_up(retriever, alert, application, definitions)
    return compile_plan(retriever, alert, application, collection_id=collection_id)


_NONE: Final[frozenset[str]] = frozenset()


def reference_collections(standing: Plan | LookUp, definitions: Definitions) -> frozenset[str]:
    """Ids of the collections whose documents must be at hand when a document is checked. Raises
    :class:`PlanError` when they cannot be told beforehand."""
    if isinstance(standing, Plan):
        # One for all that read nothing: an empty set of one's own is 216 bytes, for each of a million alerts.
        return frozenset(_read_by_tail(standing.tail, standing.inputs, definitions)) if standing.tail else _NONE
    return standing.reference_collections


def _read_by_tail(
    stages: Iterable[PreparedStage], inputs: Mapping[str, Any], definitions: Definitions
) -> Iterator[str]:
    render = renderer(inputs)
    for stage in stages:
        if stage.stage.reads is None and stage.stage.asks is None:
            continue
        try:
            parameters = stage.parameters(render)
        except (StageError, PlanError) as error:
            raise PlanError(f"{stage.place}: what it reads must be known beforehand: {error}") from error
        yield from stage_reads(stage, parameters, definitions)
