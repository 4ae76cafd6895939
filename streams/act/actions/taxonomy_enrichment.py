"""Action ``taxonomy_enrichment``: match the documents of a collection against a taxonomy and write its fields into
them, in place or into another collection (contract 4.8, 4.11)."""

import asyncio
import pickle
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from schemas.events.document import DocumentEvent
from schemas.times import format_instant, parse_instant
from streams.act.actions.action import Finish
from streams.act.actions.resources import filter_of, needed, written_to
from streams.act.failures import ActionError
from streams.act.lease import Job
from streams.act.rewriting import Made, rewrite
from streams.act.walk import Found, Source
from streams.act.work import Work
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.materialize import Enriched, Taxonomy, materialize, read_taxonomy
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.retrieval.reading import Stored
from streams.runtime.database import Connection
from streams.runtime.named import NamedDefinitions, named_definitions
from streams.runtime.writes import copy_of

MOST_REFERENCES: Final = 100_000
"""Documents a taxonomy's collections may hold: they are in memory while others are matched against them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Documents for one process, and what they are matched against."""

    taxonomy: Taxonomy
    definitions: NamedDefinitions
    references: bytes
    """The documents of the taxonomy's collections, pickled."""
    events: Sequence[DocumentEvent]
    now: datetime


async def run(work: Work) -> Finish:
    """Enrich the documents that are there, ``batch_size`` a step, a step shared by ``parallelism`` processes."""
    command, config = work.job.command, work.job.command.action_config
    namespace_id = command.namespace_id
    wanted = filter_of(config, "filters")
    async with work.read() as connection:
        taxonomy_id = (await needed(connection, "taxonomy", namespace_id, config.get("taxonomy_id"))).record.id
        origin = (await needed(connection, "collection", namespace_id, config.get("collection_id"))).record.id
        target = await written_to(connection, namespace_id, config.get("target_collection_id") or origin)
        definitions = await named_definitions(connection, namespace_id, taxonomy_id)
        try:
            taxonomy = read_taxonomy(taxonomy_id, definitions)
        except PlanError as error:
            raise ActionError(str(error)) from error
        references = await _references(connection, namespace_id, sorted(taxonomy.reads))
        seen, seen_until = config.get("since"), config.get("since_until")
        if config.get("incremental"):
            seen, seen_until = await _seen_before(connection, work.job)
    source = Source(
        namespace_id,
        origin,
        command.until,
        wanted,
        config.get("document_ids"),
        seen,
        None if seen_until is None else parse_instant(seen_until),
    )
    now = command.nominal_at

    async def make(found: Sequence[Found]) -> list[Made]:
        events = [one.event for one in found]
        slices = [
            Slice(taxonomy, definitions, references, part, now) for part in _parts(events, config["parallelism"])
        ]
        enriched: list[Enriched] = [one for part in await _each(work, slices) for one in part]
        return [_made(one, what, target) for one, what in zip(found, enriched, strict=True)]

    told = {
        "taxonomy_id": taxonomy_id,
        "collection_id": origin,
        "target_collection_id": target,
        "since": seen,
        "since_until": seen_until,
        "until": None if command.until is None else format_instant(command.until),
    }
    return await rewrite(work, [source], config["batch_size"], make, **told)


async def _each(work: Work, slices: Sequence[Slice]) -> list[list[Enriched]]:
    """All slices at once; when one fails, the others are stopped."""
    tasks = [asyncio.create_task(work.compute(enrich, part)) for part in slices]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def enrich(part: Slice) -> list[Enriched]:
    """In a child process: what each document becomes."""
    matching = materialize(
        part.taxonomy,
        part.events,
        _corpus(part.references),
        part.definitions,
        now=part.now,
        clock=time.monotonic,
        seed=part.taxonomy.parameters.taxonomy_id,
    )
    # Nobody asks here what they were matched to.
    return [replace(one, chains=()) for one in asyncio.run(matching)]


@lru_cache(maxsize=1)
def _corpus(references: bytes) -> MemoryCorpus:
    """Built once for all slices of a job that a process is given."""
    corpus = MemoryCorpus()
    for event in pickle.loads(references):  # noqa: S301  # pickled by our own worker
        corpus.apply(event)
    return corpus


def _parts(events: Sequence[DocumentEvent], count: int) -> list[Sequence[DocumentEvent]]:
    size = -(-len(events) // min(count, len(events)))
    return [events[start : start + size] for start in range(0, len(events), size)]


def _made(one: Found, what: Enriched, target: str) -> Made:
    if what.problem is not None or not what.matched:
        return Made(matched=what.matched, problem=what.problem)
    if one.event.collection_id == target:
        return Made(what.event, one.version, what.changed)
    return Made(copy_of(what.event or one.event, target))


async def _references(connection: Connection, namespace_id: str, collection_ids: Sequence[str]) -> bytes:
    stored = Stored(connection, namespace_id)
    count = sum([await stored.count(collection_id) for collection_id in collection_ids])
    if count > MOST_REFERENCES:
        raise ActionError(
            f"the taxonomy's collections ({', '.join(collection_ids)}) hold {count:,} documents, at most"
            f" {MOST_REFERENCES:,} can be matched against; divide it into several taxonomies"
        )
    events: list[DocumentEvent] = []
    for collection_id in collection_ids:
        names = await stored.feature_names(collection_id)
        async with aclosing(stored.every(collection_id)) as pages:
            async for page in pages:
                vectors = await stored.vectors(collection_id, [event.document_id for event in page], names)
                for event in page:
                    event.features = vectors.get(event.document_id, {})
                events += page
    return pickle.dumps(events, protocol=5)


async def _seen_before(connection: Connection, job: Job) -> tuple[Mapping[str, int] | None, str | None]:
    """Up to where the trigger's last run that completed had read, and before when those documents occurred, where
    it ran in event time; ``None`` when there was none."""
    cursor = await connection.execute(
        "SELECT outcome -> 'positions', outcome ->> 'until' FROM jobs WHERE trigger_id = %s"
        " AND status = 'completed' AND action_type = 'taxonomy_enrichment'"
        " ORDER BY started_at DESC, job_id DESC LIMIT 1",
        (job.command.trigger_id,),
    )
    return await cursor.fetchone() or (None, None)
