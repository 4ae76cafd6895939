"""Lists of stored documents: pages behind a cursor, filters and other orders in bounded work (contract 1.7, 2.9).

Where the database can find the page, it does. A filter is then looked at page by page: so much per request, and
the cursor says where the next one goes on, so that nothing is left out and nothing costs without end. What needs
all documents at once (another order, groups, figures) is refused beyond a number of documents rather than answered
from a part of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from typing import Any, Final, NamedTuple

from streams.api.document_query import Plan, Rank, Wanted, values_of
from streams.api.stored import After, Name, Order, StoredDocument, after_of, named_documents, page_of_documents
from streams.engines.retrieval.filters.paths import Path, resolve
from streams.engines.retrieval.stages.values import identity
from streams.runtime.database import Connection
from streams.runtime.http.errors import conflict
from streams.runtime.http.pages import PageRequest, bad_cursor

PAGE: Final = 500
"""Documents read at a time."""
MAX_WINDOW: Final = 5_000
"""Documents looked at by one statement where the database narrows them."""
MAX_LOOKED_AT: Final = 20_000
"""Documents that one request for a page looks at."""
MAX_AT_ONCE: Final = 50_000
"""Documents that are sorted, grouped or counted together."""
MAX_IN_GROUP: Final = 100
"""Documents shown of a group."""


class Window(NamedTuple):
    """What is wanted of some documents that follow each other."""

    documents: list[StoredDocument]
    looked_at: int
    """Documents up to its end, from where the first window began."""
    after: After | None
    ended: bool
    """Nothing comes behind it."""


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
        where = (self.connection, self.namespace_id, self.collection_ids)
        return (await page_of_documents(*where, order, descending, after, limit, offset)).documents

    async def windows(
        self, wanted: Wanted, order: Order, descending: bool, after: After | None, most: int
    ) -> AsyncGenerator[Window, None]:
        """What is wanted of them, window by window, until ``most`` have been looked at or there are no more."""
        where = (self.connection, self.namespace_id, self.collection_ids)
        size, looked_at = min(PAGE, most), 0
        while looked_at < most:
            looked = await page_of_documents(*where, order, descending, after, size, where=wanted.narrowing)
            looked_at += looked.looked_at
            after = looked.after
            ended = looked.looked_at < size
            yield Window([one for one in looked.documents if wanted.fits(one)], looked_at, after, ended)
            if ended:
                return
            if wanted.narrowing is not None:
                # The database passes over most of them: then more at a time.
                size = min(4 * size, MAX_WINDOW)
            size = min(size, max(1, most - looked_at))
            # Others go on: documents take some microseconds each to be looked at.
            await asyncio.sleep(0)

    async def fitting(self, wanted: Wanted, what: str) -> AsyncGenerator[list[StoredDocument], None]:
        """All that are wanted, page by page, newest first. Raises 409 when there are more than
        :data:`MAX_AT_ONCE` documents to look at; ``what`` says for what."""
        async with aclosing(self.windows(wanted, "created_at", True, None, MAX_AT_ONCE + 1)) as windows:
            async for window in windows:
                if window.looked_at > MAX_AT_ONCE:
                    raise conflict(
                        f"There are more than {MAX_AT_ONCE:,} documents to {what}; ask a smaller collection"
                    )
                yield window.documents


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
    """One page. Raises 404 for a cursor of another list and 409 for too many documents to sort."""
    if plan.order is None:
        return await _compared(source, wanted, plan, page)
    after = None if page.cursor is None else _after(plan, page.cursor)
    offset = page.offset if page.cursor is None else 0
    if wanted.everything:
        found = await source.page(plan.order, plan.descending, after, page.limit + 1, offset)
        more = len(found) > page.limit
        found = found[: page.limit]
        return Listed(found, _cursor(plan, after_of(found[-1], plan.order)) if more else None)
    return await _looked_for(source, wanted, plan, plan.order, after, page.limit, offset)


async def _looked_for(
    source: Source, wanted: Wanted, plan: Plan, order: Order, after: After | None, limit: int, skip: int
) -> Listed:
    found: list[StoredDocument] = []
    looked_at = 0
    async with aclosing(source.windows(wanted, order, plan.descending, after, MAX_LOOKED_AT)) as windows:
        async for window in windows:
            fitting = window.documents[skip:]
            skip -= len(window.documents) - len(fitting)
            found += fitting
            if len(found) > limit:
                return Listed(found[:limit], _cursor(plan, after_of(found[limit - 1], order)))
            if window.ended:
                return Listed(found, None)
            looked_at, after = window.looked_at, window.after
    if skip:
        raise conflict(
            f"The offset lies beyond what is looked at in one request ({MAX_LOOKED_AT:,}); use the cursor"
        )
    assert after is not None
    told = f"{looked_at:,} documents were looked at; next_cursor goes on behind them"
    return Listed(found, _cursor(plan, after), [told])


def _cursor(plan: Plan, after: After) -> tuple[Any, ...]:
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
    """How many are wanted. Raises 409 when there are too many to look at."""
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
