"""The view made again from the topics."""

from typing import Final

from streams.query.station import NAME
from streams.runtime.database import Database

VIEW: Final = (
    "result_documents",
    "alert_executions",
    "result_bases",
    "result_additions",
    "alert_execution_counts",
    "match_progress",
    "trigger_executions",
    "retriever_executions",
    "delivery_status",
)
"""Tables that are made from the topics alone."""


async def empty_view(database: Database) -> None:
    """Empty the view and forget how far it had come: every query service that runs or starts fills it again from
    the beginning of the topics."""
    async with database.transaction() as connection:
        await connection.execute(f"TRUNCATE {', '.join(VIEW)}".encode())
        await connection.execute("DELETE FROM positions WHERE station = %s", (NAME,))
        # What comes again holds what was taken out of it.
        await connection.execute("UPDATE erased_documents SET swept = false WHERE swept")
