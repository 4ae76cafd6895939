"""Action ``collection_trigger``: make a collection again from what feeds it (contract 2.8, 4.8).

The stored documents of its sources are written into it, under their own ids; a collection without sources has its
own documents written once more. Either way they pass through the stream: alerts are checked on them, vectors and
counters are kept up.
"""

from collections.abc import Sequence
from typing import Any, Final

from streams.act.actions.action import Finish
from streams.act.actions.resources import filter_of, needed, written_to
from streams.act.failures import ActionError
from streams.act.rewriting import Made, rewrite
from streams.act.walk import Found, Source
from streams.act.work import Work
from streams.runtime.database import Connection
from streams.runtime.writes import copy_of, existing_ids

STEP: Final = 1_000
"""Documents per step."""


async def run(work: Work) -> Finish:
    """Write the documents of the sources into the collection."""
    command, config = work.job.command, work.job.command.action_config
    if config.get("include_buckets"):
        raise ActionError("this server has no buckets; name collections in include_collections instead")
    wanted = filter_of(config, "source_filters", "filters")
    async with work.read() as connection:
        target = await written_to(connection, command.namespace_id, config.get("collection_id"))
        names = await _sources(connection, command.namespace_id, target, config)
    sources = [
        Source(command.namespace_id, name, command.until, wanted, config.get("document_ids")) for name in names
    ]

    async def make(found: Sequence[Found]) -> list[Made]:
        there: set[str] = set()
        if config.get("dedup_strategy") == "skip":
            ids = [one.event.document_id for one in found]
            async with work.read() as connection:
                there = await existing_ids(connection, command.namespace_id, target, ids)
        return [Made() if one.event.document_id in there else _made(one, target) for one in found]

    return await rewrite(work, sources, STEP, make, collection_id=target, source_collection_ids=names)


def _made(one: Found, target: str) -> Made:
    if one.event.collection_id == target:
        return Made(one.event, one.version)
    return Made(copy_of(one.event, target))


async def _sources(connection: Connection, namespace_id: str, target: str, config: dict[str, Any]) -> list[str]:
    """Ids of the collections that feed the target: those named, else those of its definition, else itself."""
    named = config.get("include_collections")
    if not named:
        source = (await needed(connection, "collection", namespace_id, target)).body.get("source") or {}
        named = [*(source.get("collection_ids") or ()), *filter(None, (source.get("collection_id"),))]
    rows = [await needed(connection, "collection", namespace_id, name) for name in named]
    return list(dict.fromkeys(row.record.id for row in rows)) or [target]
