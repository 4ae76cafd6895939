"""Action ``document_changes``: change or delete all documents of a collection that fit (contract 2.9, bulk).

Asked for by requests that fit more documents than they change themselves. Each document is published whole with
the change beside it, as PATCH does: where another write comes in between, both count. What was written over HTTP
before it was asked for is among them, stored or not: whoever has an answer to a write may rely on it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from schemas.events.document import DELETED, DocumentEvent
from schemas.events.document_patch import DocumentPatch, parse_patch
from streams.act.actions.action import Finish
from streams.act.actions.resources import filter_of, written_to
from streams.act.rewriting import Made, rewrite
from streams.act.walk import Found, Source
from streams.act.work import Work

STEP: Final = 1_000
"""Documents per step."""


async def run(work: Work) -> Finish:
    """Change what fits, or delete it where no change is named."""
    command, config = work.job.command, work.job.command.action_config
    wanted = filter_of(config, "filters")
    async with work.read() as connection:
        collection_id = await written_to(connection, command.namespace_id, config.get("collection_id"))
    patch = None if config.get("patch") is None else parse_patch(config["patch"])
    now = work.context.clock()

    async def make(found: Sequence[Found]) -> list[Made]:
        return [_deleted(one.event, now) if patch is None else _changed(one.event, patch) for one in found]

    source = Source(command.namespace_id, collection_id, filter=wanted, as_read=True)
    return await rewrite(work, [source], STEP, make, collection_id=collection_id)


def _changed(event: DocumentEvent, patch: DocumentPatch) -> Made:
    return Made(patch.apply(event), patch=patch)


def _deleted(event: DocumentEvent, now: datetime) -> Made:
    return Made(DocumentEvent(DELETED, event.namespace_id, event.collection_id, event.document_id, now))
