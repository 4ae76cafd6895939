"""What the planner knows of tables: PostgreSQL looks at most once a minute whether they have grown.

Until it has, a table that was filled a moment ago counts as empty: of two indexes the wrong one is as good, and a
join of two short lists is made by holding each row against each. A minute is what a clustering of 60,000 documents
that have just come may then take instead of two seconds.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from psycopg import sql

from streams.runtime.database import Database

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(seconds=3)
FEWEST: Final = 2_000
"""Changed rows that are worth a look."""

_GROWN = """
SELECT s.schemaname, s.relname FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = current_schema() AND s.n_mod_since_analyze >= %s AND s.n_mod_since_analyze > c.reltuples
ORDER BY 1, 2
"""


class Statistics:
    """Has tables looked at that have doubled since they were; the rest PostgreSQL does in its own time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at: datetime | None = None

    async def tick(self, now: datetime) -> None:
        """Analyze what has grown, if it is time to look. What another process analyzes is skipped."""
        if self._looked_at is not None and timedelta() <= now - self._looked_at < EVERY:
            return
        self._looked_at = now
        async with self._database.connection() as connection:
            grown = await (await connection.execute(_GROWN.encode(), (FEWEST,))).fetchall()
        for table in grown:
            async with self._database.transaction() as connection:
                await connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(sql.Identifier(*table)))
            log.debug("analyzed", table=table[1])
