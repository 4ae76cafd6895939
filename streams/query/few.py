"""The view's writes, where a batch is small: one statement, that is one transaction and one round trip
(docs/decisions/038).

The statement takes the batch for new: its documents unseen, the partitions of their days there, the station's
positions where this process left them. Where that is not so nothing is written, and what writes any batch
(:mod:`streams.query.store`) finds out what is.
"""

from collections.abc import Sequence
from typing import Any, Final

from psycopg.errors import CheckViolation, UniqueViolation

from streams.query.partitions import DROP_LOCK
from streams.query.results import (
    COUNT_COLUMNS,
    COUNT_TYPES,
    DOCUMENT_COLUMNS,
    DOCUMENT_TYPES,
    EXECUTION_COLUMNS,
    EXECUTION_TYPES,
    count_columns,
    execution_columns,
)
from streams.query.rows import Rows
from streams.query.store import adding_counts, upserts
from streams.query.waking import CHANNEL
from streams.runtime.binary_copy import arrays, columns_of, parameters
from streams.runtime.database import MOVED, Advance, Connection, columns, move_values

FEW: Final = 2_000
"""Up to about so many executions, parameters of a statement are written no slower than by COPY, whose round trips
cost more then."""
_DOCUMENT: Final = 3
"""How many executions a document counts for: its columns are taken apart one by one."""
NotAsExpected: Final = (UniqueViolation, CheckViolation)
"""What :func:`write_few` raises where the batch is not new, a day is missing, days are being dropped, or positions
are not where they were left."""

_DOCUMENTS: Final = (
    f"INSERT INTO result_documents ({DOCUMENT_COLUMNS}) SELECT * FROM unnest({parameters(DOCUMENT_TYPES)})"
)
_EXECUTIONS: Final = (
    f"INSERT INTO alert_executions ({EXECUTION_COLUMNS}) SELECT * FROM unnest({parameters(EXECUTION_TYPES)})"
)
_COUNTS: Final = adding_counts(f"SELECT * FROM unnest({parameters(COUNT_TYPES)}) AS counted ({COUNT_COLUMNS})")
# The lock is only tried: whoever drops days holds it and waits for the tables that this statement has locked. A
# crash of the database may undo the commit, rows and positions together: they are then read again.
_AS_EXPECTED: Final = f"""
SELECT CASE WHEN (SELECT count(*) FROM moved) = %s AND pg_try_advisory_xact_lock_shared({DROP_LOCK}) THEN true
       ELSE not_as_expected() END, set_config('synchronous_commit', 'off', true)
"""


def are_few(rows: Rows) -> bool:
    """Whether a batch is one for :func:`write_few`: small, no document part's place is to be claimed, and of
    nothing is told twice."""
    return (
        sum(_DOCUMENT + len(result.alerts) for result in rows.results) <= FEW
        and not any(result.keyed for result in rows.results)
        and all(len({row[: upsert.key] for row in values}) == len(values) for upsert, values in upserts(rows))
    )


async def write_few(connection: Connection, station: str, moves: Sequence[Advance], rows: Rows) -> None:
    """Move the station's positions and add a batch with :func:`are_few` to the view; or raise one of
    :data:`NotAsExpected` and do nothing. The connection is in autocommit mode."""
    parts, values = [MOVED], list[Any](move_values(station, moves))
    told = ""
    if rows.results:
        documents = b"".join([result.document_row(result.place) for result in rows.results])
        executions = sum(len(result.alerts) for result in rows.results)
        counters, counts = count_columns(rows.results)
        for name, statement, added in (
            ("documents", _DOCUMENTS, columns_of(connection, documents, DOCUMENT_TYPES)),
            (
                "executions",
                _EXECUTIONS,
                arrays(connection, execution_columns(rows.results), executions, EXECUTION_TYPES),
            ),
            ("counts", _COUNTS, arrays(connection, counts, counters, COUNT_TYPES)),
        ):
            parts.append(f"{name} AS ({statement})")
            values += added
        told = f", pg_notify('{CHANNEL}', '')"
    for number, (upsert, others) in enumerate(upserts(rows)):
        parts.append(f"others_{number} AS ({upsert.several()})")
        values += columns(others, len(others[0]))
    statement = f"WITH {', '.join(parts)} {_AS_EXPECTED}{told}"
    await connection.execute(statement.encode(), [*values, len(moves)], prepare=True)
