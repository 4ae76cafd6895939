"""Holds documents back until the definitions their writers saw are in force here (design section 3, causality).

Definitions come over the topic, within milliseconds of the write. When they do not (the relay is down or behind),
they are read from the database, so no document is ever checked with older definitions than its writer saw.

The design has the wait outside the batch lock, with the partition paused. It is inside it: it is short, because
after ``wait_seconds`` one read of the database ends it, and a rebalance can wait that long.
"""

from collections.abc import Iterable

import structlog

from schemas.errors import DecodeError
from schemas.headers import DefinitionsVersion
from streams.runtime import metrics
from streams.runtime.database import Database
from streams.runtime.definitions import current_version
from streams.runtime.definitions_tail import DefinitionsTail

log = structlog.get_logger(__name__)


class VersionGate:
    """Brings definitions versions into force before documents that depend on them are checked."""

    def __init__(self, tail: DefinitionsTail, database: Database, wait_seconds: float) -> None:
        self._tail = tail
        self._database = database
        self._wait_seconds = wait_seconds

    async def reach(self, versions: Iterable[str]) -> None:
        """Have everything in force that a batch's writers saw.

        A version of another stream, one that was never committed and one that cannot be read are ignored and
        counted: a producer must not be able to stop the stream. Raises ``psycopg.OperationalError`` when the
        database is away, so that the batch is tried again.
        """
        wanted = [number for text in versions if (number := self._ahead(text)) is not None]
        if not wanted:
            return
        async with self._database.connection() as connection:
            committed = await current_version(connection)
        known = [number for number in wanted if number <= committed.number]
        if len(known) < len(wanted):
            metrics.VERSION_WAITS.labels("never_committed").inc(len(wanted) - len(known))
        if known:
            await self._bring(max(known))

    def _ahead(self, text: str) -> int | None:
        """The number of a version that is not in force yet and may come."""
        catalog = self._tail.catalog
        try:
            version = DefinitionsVersion.parse(text)
        except DecodeError:
            metrics.VERSION_WAITS.labels("malformed").inc()
            return None
        if version.epoch != catalog.epoch:
            metrics.VERSION_WAITS.labels("other_stream").inc()
            return None
        return version.number if version.number > catalog.version else None

    async def _bring(self, number: int) -> None:
        """Wait for a committed version, then read it."""
        version = DefinitionsVersion(self._tail.catalog.epoch, number)
        metrics.VERSION_WAITS.labels("begun").inc()
        if await self._tail.wait_for(version, self._wait_seconds):
            metrics.VERSION_WAITS.labels("reached").inc()
            return
        await self._tail.refresh()
        metrics.VERSION_WAITS.labels("refreshed").inc()
        log.warning("definitions_late", version=number, in_force=self._tail.catalog.version)
