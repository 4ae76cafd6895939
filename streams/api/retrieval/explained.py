"""Explaining alerts that need stored documents: those that look a document up, and those with last stages of their
own. The stages run as an execution's do, on one state of the database and in a thread of their own."""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.look_up import LookUp, prepare_look_up, takes_from_document
from streams.engines.retrieval.execution.standing import reference_collections
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.explain.explanation import Explanation
from streams.engines.retrieval.explain.look_up import explain_look_up
from streams.engines.retrieval.explain.tail import explain_tail
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.plan import Plan
from streams.retrieval.apart import Deadline, apart
from streams.retrieval.corpus import PostgresCorpus
from streams.retrieval.running import TIME_LIMIT_MS, limit_statements
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.named import NamedDefinitions, named_definitions


@dataclass(frozen=True, slots=True)
class Explained:
    """An alert and the document it is explained on."""

    namespace_id: str
    retriever: Mapping[str, Any]
    alert: Mapping[str, Any]
    application: Mapping[str, Any] | None
    collection_id: str | None
    """Where the document arrives, as far as that is known."""
    document: DocumentEvent
    now: datetime
    """When the document came."""

    def plan(self) -> Plan | None:
        """What one document decides; ``None`` of an alert that looks it up. Raises :class:`PlanError`."""
        if takes_from_document(self.application):
            return None
        return compile_plan(self.retriever, self.alert, self.application, collection_id=self.collection_id)


async def explain_stored(context: Context, asked: Explained) -> Explanation:
    """Why the alert fires on the document, or not, by the documents that have been collected. What stages cannot
    do is in the explanation. Raises :class:`PlanError` for an alert that cannot stand."""
    async with context.database.transaction(snapshot=True) as connection:
        named = await _named(connection, asked)
        standing: Plan | LookUp | None = asked.plan()
        limit: float = TIME_LIMIT_MS
        if standing is None:
            standing = prepare_look_up(asked.retriever, asked.alert, asked.application, named)
            named = await _named(connection, asked, standing.inputs_for(asked.document))
            limit = min(limit, limit if standing.retriever.max_time_ms is None else standing.retriever.max_time_ms)
            standing = replace(standing, retriever=replace(standing.retriever, max_time_ms=limit))
        else:
            reference_collections(standing, named)
        await limit_statements(connection, TIME_LIMIT_MS)
        deadline = Deadline(time.monotonic, limit)
        corpus = await PostgresCorpus.open(connection, asked.namespace_id, deadline)
        told = await apart(_run(asked, standing, named), corpus, deadline)
    if told.look_up is None or not corpus.limits:
        return told
    limits = (*told.look_up.limits, *corpus.limits)
    return replace(told, look_up=replace(told.look_up, limits=limits))


def _run(
    asked: Explained, standing: Plan | LookUp, named: NamedDefinitions
) -> Callable[[Corpus], Coroutine[Any, Any, Explanation]]:
    async def run(corpus: Corpus) -> Explanation:
        surroundings = Surroundings(corpus, asked.now, time.monotonic, named)
        if isinstance(standing, Plan):
            return await explain_tail(standing, asked.alert, asked.document, surroundings)
        return await explain_look_up(standing, asked.alert, asked.document, surroundings)

    return run


async def _named(connection: Connection, asked: Explained, *inputs: Any) -> NamedDefinitions:
    """The definitions that stages may name, themselves or by inputs."""
    mappings = (asked.application or {}).get("input_mappings")
    return await named_definitions(
        connection, asked.namespace_id, asked.retriever["stages"], asked.alert.get("inputs"), mappings, *inputs
    )
