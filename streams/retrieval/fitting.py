"""Documents of a collection that fit a filter: as much of it as SQL can decide is decided there, the rest here."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from heapq import nsmallest
from typing import Any, Final

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.execution.budget import Check
from streams.engines.retrieval.filters.parse import Filter, matches
from streams.retrieval import reading
from streams.retrieval.reading import COLUMNS, OF, Stored
from streams.retrieval.sql.filters import compile_filter

_SAMPLE: Final = 200


class Fitting:
    """A filter on the documents of a namespace; ``check`` is called with every page and may raise."""

    def __init__(self, stored: Stored, where: Filter, check: Check = lambda: None) -> None:
        self._stored = stored
        self._where = where
        self._check = check
        self._sql = compile_filter(where, "d")
        self._from = f"FROM documents d WHERE {OF} AND {self._sql.possible}"

    async def every(self, collection_id: str) -> AsyncGenerator[list[DocumentEvent], None]:
        """All that fit, in no order, a page at a time."""
        statement = f"SELECT {COLUMNS}, {self._sql.sure} {self._from}"
        pages = self._stored.pages(statement, self._parameters(collection_id), reading.PAGE)
        async with aclosing(pages):
            async for page in pages:
                self._check()
                yield self._kept(collection_id, page)

    async def ids(self, collection_id: str) -> list[str]:
        """The ids of all that fit, in no order."""
        if not self._sql.exact:
            async with aclosing(self.every(collection_id)) as pages:
                return [event.document_id async for page in pages for event in page]
        self._check()
        cursor = await self._stored.connection.execute(
            f"SELECT document_id {self._from}".encode(), self._parameters(collection_id)
        )
        return [row[0] for row in await cursor.fetchall()]

    async def share(self, collection_id: str) -> float:
        """About which part of the documents fit."""
        cursor = await self._stored.connection.execute(
            f"SELECT avg(CASE WHEN {self._sql.possible} THEN 1 ELSE 0 END)"
            f" FROM (SELECT * FROM documents WHERE {OF} LIMIT {_SAMPLE}) AS d".encode(),
            self._parameters(collection_id),
        )
        found = (await cursor.fetchall())[0][0]
        return 1.0 if found is None else float(found)

    async def among(self, collection_id: str, ids: Collection[str]) -> set[str]:
        """Those of the named documents that fit."""
        self._check()
        shown = "document_id" if self._sql.exact else f"{COLUMNS}, {self._sql.sure}"
        cursor = await self._stored.connection.execute(
            f"SELECT {shown} {self._from} AND document_id = ANY(%(ids)s)".encode(),
            {**self._parameters(collection_id), "ids": list(ids)},
        )
        rows = await cursor.fetchall()
        if self._sql.exact:
            return {row[0] for row in rows}
        return {event.document_id for event in self._kept(collection_id, rows)}

    async def first(self, collection_id: str, limit: int) -> tuple[list[DocumentEvent], int]:
        """The first that fit, by id (by code point, whatever the database's language), and how many fit."""
        if not self._sql.exact:
            return await self._looked_through(collection_id, limit)
        self._check()
        parameters = {**self._parameters(collection_id), "limit": limit}
        if not limit:
            cursor = await self._stored.connection.execute(f"SELECT count(*) {self._from}".encode(), parameters)
            return [], (await cursor.fetchall())[0][0]
        cursor = await self._stored.connection.execute(
            f'SELECT document_id, count(*) OVER () {self._from} ORDER BY document_id COLLATE "C"'
            " LIMIT %(limit)s".encode(),
            parameters,
        )
        rows = await cursor.fetchall()
        named = await self._stored.named(collection_id, [row[0] for row in rows])
        return [named[row[0]] for row in rows], rows[0][1] if rows else 0

    async def _looked_through(self, collection_id: str, limit: int) -> tuple[list[DocumentEvent], int]:
        kept: list[DocumentEvent] = []
        count = 0
        async with aclosing(self.every(collection_id)) as pages:
            async for page in pages:
                count += len(page)
                kept += page if limit else ()
                if len(kept) > 2 * limit + reading.PAGE:
                    kept = nsmallest(limit, kept, key=_document_id)
        return nsmallest(limit, kept, key=_document_id), count

    def _kept(self, collection_id: str, rows: Sequence[Sequence[Any]]) -> list[DocumentEvent]:
        events = [(self._stored.event(collection_id, row[:-1]), row[-1]) for row in rows]
        return [event for event, sure in events if sure or matches(self._where, event.root())]

    def _parameters(self, collection_id: str) -> dict[str, Any]:
        return {**self._stored.parameters(collection_id), **self._sql.parameters}


def _document_id(event: DocumentEvent) -> str:
    return event.document_id
