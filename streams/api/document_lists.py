"""Lists of stored documents: pages behind a cursor, filters and other orders in bounded work (contract 1.7, 2.9).

Where the database can find the page, it does. A filter is then looked at page by page: so much per request, and
the cursor says where the next one goes on, so that nothing is left out and nothing costs without end. What needs
all documents at once (another order, groups, figures) is refused beyond a number of documents rather than answered
from a part of them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from typing import Any, Final

from streams.api.document_query import Plan, Rank, Wanted, bad_cursor, values_of
from streams.api.stored import After, Name, Order, StoredDocument, after_of, named_documents, page_of_documents
from streams.engines.retrieval.filters.paths import Path, resolve
from streams.engines.retrieval.stages.values import identity
from streams.runtime.database import Connection
from streams.runtime.http.errors import ApiError
from streams.runtime.http.pages import PageRequest

PAGE: Final = 500
"""Documents read at a time."""
MAX_LOOKED_AT: Final = 10_000
"""Documents that one request for a page looks at."""
MAX_AT_ONCE: Final = 50_000
"""Documents that are sorted, grouped or counted together."""
MAX_IN_GROUP: Final = 100
"""Documents shown of a group."""


@dataclass(frozen=True, slots=True)
class Source:
    """Documents of some collections of a namespace."""

    connection: Connection
    namespace_id: str
    collection_ids: Sequence[str]

    async def page(
        self, order: Order, descending: bool, after: After | None, limit: int, offset: int = 0
    ) -> list[StoredDocument]:
        """The next of them in an order."""
        return await page_of_documents(
            self.connection, self.namespace_id, self.collection_ids, order, descending, after, limit, offset
        )

    async def fitting(self, wanted: Wanted, what: str) -> AsyncIterator[list[StoredDocument]]:
        """All that are wanted, page by page, newest first. Raises 400 when there are more than
        :data:`MAX_AT_ONCE` documents to look at; ``what`` says for what."""
        after: After | None = None
        looked_at = 0
        while page := await self.page("created_at", True, after, PAGE):
            looked_at += len(page)
            if looked_at > MAX_AT_ONCE:
                raise ApiError(
                    400, f"There are more than {MAX_AT_ONCE:,} documents to {what}; ask a smaller collection"
                )
            yield [document for document in page if wanted.fits(document)]
            after = after_of(page[-1], "created_at")
            # Others go on: a page of documents takes some milliseconds to be looked at.
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of documents."""

    documents: list[StoredDocument]
    next_cursor: tuple[Any, ...] | None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that share a value."""

    key: Any
    count: int
    documents: list[StoredDocument]


async def list_documents(source: Source, wanted: Wanted, plan: Plan, page: PageRequest) -> Listed:
    """One page. Raises 400 for a cursor of another list and for too many documents to sort."""
    if plan.order is None:
        return await _compared(source, wanted, plan, page)
    after = None if page.cursor is None else _after(plan, page.cursor)
    offset = page.offset if page.cursor is None else 0
    if wanted.everything:
        found = await source.page(plan.order, plan.descending, after, page.limit + 1, offset)
        more = len(found) > page.limit
        found = found[: page.limit]
        return Listed(found, _cursor(plan, found[-1], plan.order) if more else None)
    return await _looked_for(source, wanted, plan, plan.order, after, page.limit, offset)


async def _looked_for(
    source: Source, wanted: Wanted, plan: Plan, order: Order, after: After | None, limit: int, skip: int
) -> Listed:
    found: list[StoredDocument] = []
    last: StoredDocument | None = None
    looked_at = 0
    while looked_at < MAX_LOOKED_AT:
        documents = await source.page(order, plan.descending, after, PAGE)
        for document in documents:
            if wanted.fits(document):
                if skip:
                    skip -= 1
                elif len(found) == limit:
                    return Listed(found, _cursor(plan, found[-1], order))
                else:
                    found.append(document)
            last = document
        if len(documents) < PAGE:
            return Listed(found, None)
        looked_at += len(documents)
        after = after_of(documents[-1], order)
        await asyncio.sleep(0)
    if skip:
        raise ApiError(
            400, f"The offset lies beyond what is looked at in one request ({MAX_LOOKED_AT:,}); use the cursor"
        )
    assert last is not None
    told = f"{looked_at:,} documents were looked at; next_cursor goes on behind them"
    return Listed(found, _cursor(plan, last, order), [told])


def _cursor(plan: Plan, document: StoredDocument, order: Order) -> tuple[Any, ...]:
    after = after_of(document, order)
    value = after.value if isinstance(after.value, str) else after.value.isoformat()
    return (plan.label, value, after.document_id, after.collection_id)


def _after(plan: Plan, cursor: tuple[Any, ...]) -> After:
    if len(cursor) != 4 or cursor[0] != plan.label:
        raise bad_cursor()
    _, value, document_id, collection_id = cursor
    if not all(isinstance(part, str) and "\x00" not in part for part in cursor[1:]):
        raise bad_cursor()
    if plan.order == "document_id":
        return After(value, document_id, collection_id)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise bad_cursor() from None
    if moment.tzinfo is None:
        raise bad_cursor()
    return After(moment, document_id, collection_id)


async def _compared(source: Source, wanted: Wanted, plan: Plan, page: PageRequest) -> Listed:
    """By keys that the database has no order of: all are looked at, what the page could hold is kept."""
    behind = None
    if page.cursor is not None:
        values = page.cursor[1] if len(page.cursor) == 4 and page.cursor[0] == plan.label else None
        if not isinstance(values, list) or len(values) != len(plan.keys):
            raise bad_cursor()
        behind = Rank(plan.keys, values, (str(page.cursor[2]), str(page.cursor[3])))
    offset = page.offset if page.cursor is None else 0
    most = offset + page.limit + 1
    best: list[tuple[Rank, Name]] = []
    async for documents in source.fitting(wanted, "sort"):
        ranked = ((Rank(plan.keys, values_of(plan.keys, one), one.name), one.name) for one in documents)
        best += [entry for entry in ranked if behind is None or behind < entry[0]]
        if len(best) > 2 * most + PAGE:
            best = nsmallest(most, best, key=_rank)
    best = nsmallest(most, best, key=_rank)[offset:]
    shown = best[: page.limit]
    found = await named_documents(source.connection, source.namespace_id, [name for _, name in shown])
    results = [found[name] for _, name in shown if name in found]
    if len(best) <= page.limit or not results:
        return Listed(results, None)
    last = results[-1]
    return Listed(results, (plan.label, values_of(plan.keys, last), *last.name))


def _rank(entry: tuple[Rank, Name]) -> Rank:
    return entry[0]


async def count_documents(source: Source, wanted: Wanted) -> int:
    """How many are wanted. Raises 400 when there are too many to look at."""
    total = 0
    async for documents in source.fitting(wanted, "count"):
        total += len(documents)
    return total


async def grouped(source: Source, wanted: Wanted, path: Path, limit: int, offset: int) -> tuple[list[Group], int]:
    """Groups by a field, the largest first, and how many there are. A document without it is in the group of
    null, one with several values by its first."""
    counts: dict[Any, list[Any]] = {}
    async for documents in source.fitting(wanted, "group"):
        for document in documents:
            value = (resolve(document.event.root(), path) or [None])[0]
            group = counts.setdefault(identity(value), [value, 0, []])
            group[1] += 1
            if len(group[2]) < MAX_IN_GROUP:
                group[2].append(document.name)
    ranked = sorted(counts.values(), key=lambda group: -group[1])
    groups: list[Group] = []
    for value, count, names in ranked[offset : offset + limit]:
        found = await named_documents(source.connection, source.namespace_id, names)
        groups.append(Group(value, count, [found[name] for name in names if name in found]))
    return groups, len(ranked)
