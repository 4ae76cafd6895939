"""Holds documents back until the definitions their writers saw are in force here (design section 3, causality)."""

from collections.abc import Iterable

import psycopg
import structlog

from schemas.errors import DecodeError
from schemas.headers import DefinitionsVersion
from streams.runtime import metrics
from streams.runtime.database import Database
from streams.runtime.definitions import DefinitionsTail, current_version

log = structlog.get_logger(__name__)


class VersionGate:
    """Waits for definitions versions, each at most once and for a bounded time."""

    def __init__(self, tail: DefinitionsTail, database: Database, wait_seconds: float) -> None:
        self._tail = tail
        self._database = database
        self._wait_seconds = wait_seconds
        self._given_up = 0
        """Nothing waits again for a version up to this: the bound is per version, not per batch."""

    async def reach(self, versions: Iterable[str]) -> None:
        """Wait for what a batch's writers saw.

        A version of another stream, one that was never committed, one that cannot be read and one that does
        not come in time are ignored and counted: a producer must not be able to stop the stream.
        """
        wanted = [number for text in versions if (number := self._ahead(text)) is not None]
        if not wanted:
            return
        committed = await self._committed()
        for _ in [number for number in wanted if committed is not None and number > committed]:
            metrics.VERSION_WAITS.labels("never_committed").inc()
        known = [number for number in wanted if committed is None or number <= committed]
        if known:
            await self._wait(max(known))

    def _ahead(self, text: str) -> int | None:
        """The number of a version that is not in force yet and worth waiting for."""
        catalog = self._tail.catalog
        try:
            version = DefinitionsVersion.parse(text)
        except DecodeError:
            metrics.VERSION_WAITS.labels("malformed").inc()
            return None
        if version.epoch != catalog.epoch:
            metrics.VERSION_WAITS.labels("other_stream").inc()
            return None
        return version.number if version.number > max(catalog.version, self._given_up) else None

    async def _committed(self) -> int | None:
        """The last version in the database; ``None`` while it does not answer."""
        try:
            async with self._database.connection() as connection:
                return (await current_version(connection)).number
        except psycopg.Error as error:
            log.warning("definitions_version_unknown", error=str(error))
            return None

    async def _wait(self, number: int) -> None:
        version = DefinitionsVersion(self._tail.catalog.epoch, number)
        metrics.VERSION_WAITS.labels("begun").inc()
        if await self._tail.wait_for(version, self._wait_seconds):
            metrics.VERSION_WAITS.labels("reached").inc()
            return
        self._given_up = max(self._given_up, number)
        metrics.VERSION_WAITS.labels("timeout").inc()
        log.warning("definitions_version_missed", version=number, in_force=self._tail.catalog.version)
