"""The view's writes, where a batch is small: one statement, that is one transaction and one round trip
(docs/decisions/038).

The statement takes the batch for new: its documents unseen, the partitions of their days there, the station's
positions where this process left them. Where that is not so nothing is written, and what writes any batch
(:mod:`streams.query.store`) finds out what is.
"""

from collections.abc import Sequence
from itertools import chain
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
    counted,
    execution_columns,
)
from streams.query.rows import Rows
from streams.query.store import adding_counts, upserts
from streams.query.waking import CHANNEL
from streams.runtime.binary_copy import arrays, columns_of, columns_of_values, parameters
from streams.runtime.database import MOVE_TYPES, MOVED, Advance, Connection, move_rows

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
_AS_EXPECTED: Final = """
SELECT CASE WHEN (SELECT count(*) FROM moved) = %s{more} THEN true ELSE not_as_expected() END,
    set_config('synchronous_commit', 'off', true)
"""
"""A crash of the database may undo the commit, rows and positions together: they are then read again."""
# Who drops days holds the lock and waits for the tables that this statement has locked before: it is only tried.
# A worker that lost its partition may wait for the lock as well, the row of its position in hand: of these three
# PostgreSQL gives up one, which tries again.
_NO_DAY_IS_DROPPED: Final = f" AND pg_try_advisory_xact_lock_shared({DROP_LOCK})"


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
    added: list[tuple[str, Sequence[Any]]] = []
    if rows.results:
        documents = b"".join([result.document_row(result.place) for result in rows.results])
        executions = sum(len(result.alerts) for result in rows.results)
        counters = counted([(result, result.place) for result in rows.results])
        added = [
            (_DOCUMENTS, columns_of(connection, documents, DOCUMENT_TYPES)),
            (_EXECUTIONS, arrays(connection, execution_columns(rows.results), executions, EXECUTION_TYPES)),
            (_COUNTS, arrays(connection, count_columns(counters), len(counters), COUNT_TYPES)),
        ]
    added += [
        (upsert.several(), columns_of_values(connection, others, upsert.types)) for upsert, others in upserts(rows)
    ]
    # PostgreSQL does them from the last to the first: in the order in which any batch is written.
    added.reverse()
    parts = "".join(f", added_{number} AS ({statement})" for number, (statement, _) in enumerate(added))
    checked = _AS_EXPECTED.format(more=_NO_DAY_IS_DROPPED if rows.results else "")
    told = f", pg_notify('{CHANNEL}', '')" if rows.results else ""
    values = [
        station,
        *columns_of_values(connection, move_rows(moves), MOVE_TYPES),
        *chain.from_iterable(columns for _, columns in added),
        len(moves),
    ]
    # psycopg prepares what has succeeded several times; one that is refused at first it would forget, and the
    # server keep.
    await connection.execute(f"WITH {MOVED}{parts} {checked}{told}".encode(), values)
