"""Recorded retriever runs, and which alerts run a retriever."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.rows import class_row

from streams.query.compose.rows import RetrieverRun
from streams.runtime.database import Connection
from streams.runtime.erasure import erased_since, named_in, without_erased
from streams.runtime.http.bounds import counted
from streams.runtime.list_counts import listed

ADHOC: Final = ""
"""The id under which runs of retrievers that were never stored are recorded."""
_COLUMNS = "execution_id, retriever_id, status, created_at, completed_at, detail"
# Of what was found, which may be a megabyte, a list says only how much it is.
_SUMMARY = (
    "execution_id, retriever_id, status, created_at, completed_at, json_build_object("
    "'stage_statistics', detail->'stage_statistics', 'budget', detail->'budget',"
    " 'stages_completed', detail->'stages_completed', 'total_stages', detail->'total_stages',"
    " 'total_returned', CASE WHEN json_typeof(detail->'total_returned') = 'number' THEN detail->'total_returned'"
    " WHEN json_typeof(detail->'documents') = 'array' THEN to_json(json_array_length(detail->'documents')) END"
    ") AS detail"
)
# The runs of alerts' look-ups are listed as what they are, executions of alerts: their ids have more digits. The
# index of this list holds none of them.
_OF_RETRIEVER = (
    "namespace_id = %(namespace)s AND retriever_id = %(retriever)s AND execution_id !~ '^exec_[0-9a-f]{25,}$'"
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


@dataclass(frozen=True, slots=True)
class Listed:
    """Which recorded runs: of a retriever, of a status, begun ``since`` and before ``until``."""

    namespace_id: str
    retriever_id: str
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def _where(self) -> tuple[str, dict[str, Any]]:
        values = {"status": self.status, "since": self.since, "until": self.until}
        signs = {"status": "status =", "since": "created_at >=", "until": "created_at <"}
        asked = {name: value for name, value in values.items() if value is not None}
        where = "".join(f" AND {signs[name]} %({name})s" for name in asked)
        return _OF_RETRIEVER + where, {"namespace": self.namespace_id, "retriever": self.retriever_id, **asked}

    async def newest(
        self, connection: Connection, limit: int, offset: int = 0, *, after: Key | datetime | None = None
    ) -> list[Key]:
        """The newest of them: behind a run, or behind everything that is younger than an instant."""
        where, values = self._where
        if isinstance(after, datetime):
            where, values = f"{where} AND created_at <= %(moment)s", {**values, "moment": after}
        elif after is not None:
            where += " AND (created_at, execution_id) < (%(moment)s, %(id)s)"
            values |= {"moment": after.created_at, "id": after.execution_id}
        cursor = await connection.execute(
            f"SELECT created_at, execution_id FROM retriever_executions WHERE {where}"
            " ORDER BY created_at DESC, execution_id DESC LIMIT %(limit)s OFFSET %(offset)s".encode(),
            {**values, "limit": limit, "offset": offset},
        )
        return [Key(*row) for row in await cursor.fetchall()]

    async def every(self, connection: Connection) -> list[RetrieverRun]:
        """All of them, in no order, as :func:`summaries` are."""
        where, values = self._where
        return await _summaries(connection, where, values)

    async def count(self, connection: Connection) -> int:
        """How many there are. Raises 409 where there are too many between two instants."""
        if self.since is None and self.until is None:
            return await listed(
                connection, "retriever_execution", self.namespace_id, self.retriever_id, status=self.status
            )
        where, values = self._where
        return await counted(
            connection, f"FROM retriever_executions WHERE {where}", values, "executions in this time"
        )


async def summaries(connection: Connection, keys: Iterable[Key]) -> dict[Key, RetrieverRun]:
    """Recorded runs without what they found."""
    found = await _summaries(
        connection, "execution_id = ANY(%(ids)s)", {"ids": [key.execution_id for key in keys]}
    )
    return {Key(run.created_at, run.execution_id): run for run in found}


async def _summaries(connection: Connection, where: str, values: Mapping[str, Any]) -> list[RetrieverRun]:
    async with connection.cursor(row_factory=class_row(RetrieverRun)) as cursor:
        await cursor.execute(f"SELECT {_SUMMARY} FROM retriever_executions WHERE {where}".encode(), values)
        return await cursor.fetchall()


async def alerts_of(connection: Connection, namespace_id: str, retriever_id: str) -> list[int]:
    """The numbers of the alerts that run a retriever."""
    cursor = await connection.execute(
        "SELECT number FROM definitions WHERE kind = 'alert' AND namespace_id = %s AND deleted_at IS NULL"
        " AND body ->> 'retriever_id' = %s ORDER BY number",
        (namespace_id, retriever_id),
    )
    return [row[0] for row in await cursor.fetchall()]
