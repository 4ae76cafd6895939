"""Recorded retriever runs, and which alerts run a retriever."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from psycopg.rows import class_row

from streams.query.compose.rows import RetrieverRun
from streams.runtime.database import Connection, fetch_value
from streams.runtime.erasure import erased_since, named_in, without_erased

ADHOC: Final = ""
"""The id under which runs of retrievers that were never stored are recorded."""
_COLUMNS = "execution_id, retriever_id, status, created_at, completed_at, detail"
# The runs of alerts' look-ups are listed as what they are, executions of alerts: their ids have more digits.
_OF_RETRIEVER = (
    "namespace_id = %(namespace)s AND retriever_id = %(retriever)s"
    " AND (%(status)s::text IS NULL OR status = %(status)s)"
    " AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)"
    " AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s) AND execution_id !~ '^exec_[0-9a-f]{25,}$'"
)


class Key(NamedTuple):
    """Where a run stands among others, and which it is."""

    created_at: datetime
    execution_id: str


async def run(
    connection: Connection, namespace_id: str, retriever_id: str, execution_id: str
) -> RetrieverRun | None:
    """One recorded run."""
    async with connection.cursor(row_factory=class_row(RetrieverRun)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM retriever_executions"
            " WHERE execution_id = %s AND namespace_id = %s AND retriever_id = %s".encode(),
            (execution_id, namespace_id, retriever_id),
        )
        found = await cursor.fetchone()
    if found is None:
        return None
    # What was deleted since is shown no more.
    erased = await erased_since(connection, namespace_id, named_in(found.detail), found.created_at)
    return replace(found, detail=without_erased(found.detail, erased)) if erased else found


async def newest(
    connection: Connection,
    namespace_id: str,
    retriever_id: str,
    status: str | None,
    limit: int,
    offset: int = 0,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[Key], int]:
    """The newest recorded runs of a retriever, begun ``since`` and before ``until``, and how many there are."""
    parameters = {
        "namespace": namespace_id,
        "retriever": retriever_id,
        "status": status,
        "limit": limit,
        "offset": offset,
        "since": since,
        "until": until,
    }
    total = await fetch_value(
        connection, f"SELECT count(*) FROM retriever_executions WHERE {_OF_RETRIEVER}", parameters
    )
    cursor = await connection.execute(
        f"SELECT created_at, execution_id FROM retriever_executions WHERE {_OF_RETRIEVER}"
        " ORDER BY created_at DESC, execution_id DESC LIMIT %(limit)s OFFSET %(offset)s".encode(),
        parameters,
    )
    return [Key(*row) for row in await cursor.fetchall()], int(total)


async def runs(connection: Connection, keys: Iterable[Key]) -> dict[Key, RetrieverRun]:
    """Recorded runs. Each holds what was found, up to a megabyte: to be asked for a page, not for what lies before
    it."""
    async with connection.cursor(row_factory=class_row(RetrieverRun)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM retriever_executions WHERE execution_id = ANY(%s)".encode(),
            ([key.execution_id for key in keys],),
        )
        return {Key(run.created_at, run.execution_id): run for run in await cursor.fetchall()}


async def alerts_of(connection: Connection, namespace_id: str, retriever_id: str) -> list[int]:
    """The numbers of the alerts that run a retriever."""
    cursor = await connection.execute(
        "SELECT number FROM definitions WHERE kind = 'alert' AND namespace_id = %s AND deleted_at IS NULL"
        " AND body ->> 'retriever_id' = %s ORDER BY number",
        (namespace_id, retriever_id),
    )
    return [row[0] for row in await cursor.fetchall()]
