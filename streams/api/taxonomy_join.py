"""A taxonomy tried out on documents of a request: what an enrichment would make of them. Nothing is written."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from schemas.api.base import JsonObject
from schemas.api.join import JoinResponse, JoinStats, TaxonomyMatch
from schemas.errors import DecodeError
from schemas.events.document import DocumentEvent
from schemas.events.plain import read_plain
from streams.engines.retrieval.errors import BudgetError, PlanError
from streams.engines.retrieval.execution.corpus import Corpus
from streams.engines.retrieval.execution.materialize import Enriched, materialize, read_taxonomy
from streams.engines.retrieval.stages.taxonomy_enrich import Chain
from streams.retrieval.apart import Deadline, apart
from streams.retrieval.corpus import PostgresCorpus
from streams.retrieval.running import TIME_LIMIT_MS, limit_statements
from streams.runtime.agent import Context
from streams.runtime.definitions import StoredDefinition
from streams.runtime.http.errors import conflict, invalid
from streams.runtime.named import named_definitions


def read_samples(raw: Sequence[JsonObject], namespace_id: str, now: datetime) -> list[DocumentEvent]:
    """The documents of a request. Raises 422 naming the one that is none."""
    found: list[DocumentEvent] = []
    for index, item in enumerate(raw):
        try:
            event = read_plain(item, f"document_{index}", now)
        except DecodeError as error:
            raise invalid(f"The document cannot be read: {error}", "body", "source_documents", index) from error
        if event is None:
            raise conflict("The event brings no document", "body", "source_documents", index)
        found.append(replace(event, namespace_id=namespace_id))
    return found


async def join(
    context: Context, taxonomy: StoredDefinition, events: Sequence[DocumentEvent], now: datetime
) -> JoinResponse:
    """Match documents against a taxonomy over the documents that have been collected. Raises 409 for a taxonomy
    that cannot be matched any more, and when it takes too long."""
    taxonomy_id, namespace_id = taxonomy.record.id, taxonomy.record.namespace_id
    async with context.database.transaction(snapshot=True) as connection:
        await limit_statements(connection, TIME_LIMIT_MS)
        named = await named_definitions(connection, namespace_id, taxonomy_id)
        deadline = Deadline(time.monotonic, TIME_LIMIT_MS)
        corpus = await PostgresCorpus.open(connection, namespace_id, deadline)
        try:
            read = read_taxonomy(taxonomy_id, named)

            async def run(there: Corpus) -> list[Enriched]:
                return await materialize(read, events, there, named, now=now, clock=time.monotonic)

            enriched = await apart(run, corpus, deadline)
        except PlanError as error:
            raise conflict(str(error), "path", "taxonomy_identifier") from error
        except BudgetError as error:
            raise conflict(f"{error}; try fewer documents", "body", "source_documents") from error
    name = str(taxonomy.body["taxonomy_name"])
    pairs = list(zip(events, enriched, strict=True))
    return JoinResponse(
        stats=JoinStats(
            processed_docs=len(events),
            batches=1,
            errors=sum(one.problem is not None for one in enriched),
            enriched=sum(one.matched and one.problem is None for one in enriched),
        ),
        results=[(one.event or event).root() for event, one in pairs],
        matches=[_match(event, chain, taxonomy_id, name) for event, one in pairs for chain in one.chains],
        errors=[
            {"document_id": event.document_id, "error": one.problem}
            for event, one in pairs
            if one.problem is not None
        ],
    )


def _match(event: DocumentEvent, chain: Chain, taxonomy_id: str, name: str) -> TaxonomyMatch:
    leaf = chain[-1]
    fields = [field.target for match in chain for field in match.node.enrichment_fields or ()]
    return TaxonomyMatch(
        document_id=event.document_id,
        taxonomy_id=taxonomy_id,
        taxonomy_name=name,
        node_id=leaf.hit.document_id,
        label=leaf.node.label,
        score=leaf.hit.score,
        path=[match.node.label or match.node.collection_id for match in chain],
        hierarchy_level=len(chain) - 1,
        enriched_fields=list(dict.fromkeys(fields)),
    )
