"""Reference collections: what attached alerts look up must be in ``references`` before they are in force.

A call that names a collection for the first time waits until its documents are in the topic and answers then, so
an alert applies to every document written after the answer (design section 3, causality). No call holds a lock
while it waits: the feed is opened in a transaction of its own, and what was asked for is then done from the
beginning again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

from streams.api.names import resource
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.standing import read_standing, reference_collections
from streams.engines.retrieval.stages.registry import STAGES
from streams.runtime.agent import Context
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, delete_definition
from streams.runtime.feeds import drain_others, open_feeds, unready
from streams.runtime.http.errors import come_again, conflict
from streams.runtime.named import named_definitions

T = TypeVar("T")

WAIT_SECONDS: Final = 25.0
RETRY_AFTER_SECONDS: Final = 2
_POLL_SECONDS: Final = 0.05


class UnfedError(Exception):
    """Collections are named whose documents are not all in the topic. The caller's transaction is rolled back."""

    def __init__(self, namespace_id: str, collections: set[str]) -> None:
        super().__init__(f"{namespace_id}: {sorted(collections)}")
        self.namespace_id = namespace_id
        self.collections = collections


async def with_references(context: Context, work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work``, a transaction that ends with :func:`follow`, once the collections it names are fed. Raises 503
    when that takes longer than a request may."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return await work()
        except UnfedError as unfed:
            async with context.database.transaction() as connection:
                await open_feeds(connection, unfed.namespace_id, unfed.collections)
            await _fed(context, unfed, deadline)


async def _fed(context: Context, unfed: UnfedError, deadline: float) -> None:
    while True:
        async with context.database.connection() as connection:
            missing = await unready(connection, unfed.namespace_id, unfed.collections)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise come_again(
                f"The documents of {', '.join(sorted(missing))} are still being prepared for looking up, by the"
                " collect and relay stations. Ask again in a moment",
                RETRY_AFTER_SECONDS,
            )
        await asyncio.sleep(_POLL_SECONDS)


async def follow(connection: Connection, namespace_id: str) -> None:
    """To be called after definitions were written, in their transaction: have the collections that attached alerts
    of the namespace look things up in, and no others, in the topic. Raises :class:`UnfedError`."""
    named = await _named(connection, namespace_id)
    missing = await unready(connection, namespace_id, named) if named else set()
    if missing:
        raise UnfedError(namespace_id, missing)
    await drain_others(connection, namespace_id, named)


async def refuse_looked_up(connection: Connection, namespace_id: str, collection: StoredDefinition) -> None:
    """Raises 409 for a collection that alerts attached to other collections look things up in."""
    alerts = (await _named(connection, namespace_id, without=collection.record.id)).get(collection.record.id)
    if alerts:
        names = ", ".join(repr(name) for name in sorted(alerts)[:5])
        raise conflict(
            f"Alerts look documents up in the collection, among them {names}: detach or change those first"
        )


# Attachments that may look something up: with an input from the document, or with a stage that reads collections.
_LOOKING = """
SELECT c.id, application, a.body, r.body
FROM definitions c CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(c.body -> 'alert_applications') WHEN 'array' THEN c.body -> 'alert_applications'
    ELSE '[]'::jsonb END) AS application
JOIN definitions a ON a.kind = 'alert' AND a.namespace_id = c.namespace_id AND a.deleted_at IS NULL
 AND a.id = application ->> 'alert_id'
JOIN definitions r ON r.kind = 'retriever' AND r.namespace_id = c.namespace_id AND r.deleted_at IS NULL
 AND r.id = a.body ->> 'retriever_id'
WHERE c.kind = 'collection' AND c.namespace_id = %(namespace)s AND c.deleted_at IS NULL
  AND c.id IS DISTINCT FROM %(without)s::text
  AND coalesce(application ->> 'execution_mode', 'on_ingest') = 'on_ingest'
  AND (application -> 'input_mappings' @? '$[*].source.source_type ? (@ != "constant")'
       OR EXISTS (SELECT FROM jsonb_array_elements(r.body -> 'stages') AS stage
                  WHERE stage -> 'config' ->> 'stage_id' = ANY(%(reading)s)))
"""


def _mentions(rows: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Where other definitions may be named: in stages, and in constants that their templates are filled with."""
    for _, application, alert, retriever in rows:
        yield retriever["stages"]
        yield alert.get("inputs")
        yield application.get("input_mappings")


async def _looking(
    connection: Connection, namespace_id: str, *, without: str | None = None
) -> list[tuple[str, frozenset[str] | None]]:
    """The names of attached alerts that may look things up, each with the collections it does so in, or ``None``
    when it cannot be checked; attachments to the collection ``without`` left out."""
    reading = [name for name, stage in STAGES.items() if stage.reads is not None or stage.asks is not None]
    cursor = await connection.execute(
        _LOOKING.encode(), {"namespace": namespace_id, "reading": reading, "without": without}
    )
    rows = await cursor.fetchall()
    if not rows:
        return []
    definitions = await named_definitions(connection, namespace_id, *_mentions(rows))
    read: list[tuple[str, frozenset[str] | None]] = []
    for collection_id, application, alert, retriever in rows:
        found: frozenset[str] | None = None
        # What cannot be read is refused where it is attached or changed; it looks nothing up.
        with suppress(PlanError):
            standing = read_standing(retriever, alert, application, definitions, collection_id=collection_id)
            found = reference_collections(standing, definitions)
        read.append((alert["name"], found))
    return read


async def _named(connection: Connection, namespace_id: str, *, without: str | None = None) -> dict[str, set[str]]:
    """The collections that attached alerts look things up in, each with the names of the alerts."""
    named: dict[str, set[str]] = {}
    for alert, collections in await _looking(connection, namespace_id, without=without):
        for name in collections or ():
            named.setdefault(name, set()).add(alert)
    return named


async def _broken(connection: Connection, namespace_id: str) -> set[str]:
    """The alerts that are attached but cannot be checked."""
    return {alert for alert, found in await _looking(connection, namespace_id) if found is None}


async def delete_needed(connection: Connection, stored: StoredDefinition) -> None:
    """Delete a retriever or a taxonomy. Raises 409 when an attached alert needs it, also one that
    names it by a constant."""
    namespace_id = stored.record.namespace_id
    before = await _broken(connection, namespace_id)
    await delete_definition(connection, stored.record.kind, namespace_id, stored.record.id)
    if broken := sorted(await _broken(connection, namespace_id) - before):
        names = ", ".join(map(repr, broken[:5]))
        raise conflict(
            f"The {resource(stored.record.kind)} is named by the inputs of alerts, among them {names}:"
            " detach or change those first",
        )
