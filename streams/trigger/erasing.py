"""Takes what deleted documents held out of stored results. Until then reads leave it out (``runtime.erasure``)."""

from datetime import datetime, timedelta
from typing import Final

from streams.runtime.database import Database
from streams.runtime.erasure import sweep

EVERY: Final = timedelta(minutes=10)


class Erasing:
    """Sweeps results for deletions, every ten minutes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept_at: datetime | None = None

    async def tick(self, now: datetime) -> None:
        """Deal with every deletion that is due at ``now``, if it is time to look."""
        if self._swept_at is not None and timedelta() <= now - self._swept_at < EVERY:
            return
        await sweep(self._database, now)
        self._swept_at = now
