"""List style A over definitions: search, sort, cursor and offset pages (contract 1.7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends

from schemas.api.pages import ListRequest, Pagination, Sort
from schemas.events.definition import Kind
from streams.api.listed import check_sorts, item, keys_of
from streams.retrieval.sifting import Sifted, read_filter
from streams.runtime.database import Connection
from streams.runtime.definitions import StoredDefinition, select_definitions
from streams.runtime.http.bounds import counted, refuse_many
from streams.runtime.http.errors import invalid
from streams.runtime.http.json_route import BodyOfGet
from streams.runtime.http.pages import PageRequest, bad_cursor, page_envelope
from streams.runtime.list_counts import listed

_NAME = "coalesce(d.name, d.body->>'name', '')"
"""Webhooks have a name that need not be theirs alone."""
_SORTS = {"created_at": "d.created_at", "updated_at": "d.updated_at", "name": _NAME, "id": "d.id"}
_CASTS = {"created_at": "::timestamptz", "updated_at": "::timestamptz", "name": "", "id": ""}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of definitions."""

    results: list[StoredDefinition]
    total: int
    pagination: Pagination


async def list_body(
    asked: Annotated[ListRequest, Depends(BodyOfGet(ListRequest))], search: str | None = None
) -> ListRequest:
    """What a list by GET asks for."""
    return asked if search is None else asked.model_copy(update={"search": search})


ListBodyDep = Annotated[ListRequest, Depends(list_body)]


def like(search: str) -> str:
    """The LIKE pattern of a search: a substring, or the whole text when it holds ``*`` wildcards."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%") if "*" in search else f"%{escaped}%"


def order_of(kind: Kind, body: ListRequest) -> list[Sort]:
    """What to sort by, newest first unless asked otherwise. Raises 422 for a field that there is not."""
    sorts = [*([body.sort] if body.sort else []), *(body.sorts or [])]
    aliases = {f"{kind}_name": "name", f"{kind}_id": "id"}
    found = [Sort(field=aliases.get(sort.field, sort.field), direction=sort.direction) for sort in sorts]
    check_sorts(kind, found)
    return found or [Sort(field="created_at", direction="desc")]


async def list_page(
    connection: Connection,
    kind: Kind,
    namespace_id: str,
    page: PageRequest,
    body: ListRequest,
    *,
    ids: Sequence[str] | None = None,
) -> Page:
    """One page of a kind, newest first unless sorted otherwise. ``ids`` restricts to those."""
    sorts = order_of(kind, body)
    where = "d.kind = %(kind)s AND d.namespace_id = %(namespace)s"
    values: dict[str, Any] = {"kind": kind, "namespace": namespace_id, "limit": page.limit + 1, "offset": 0}
    if ids is not None:
        where += " AND d.id = ANY(%(ids)s)"
        values["ids"] = list(ids)
    if body.search:
        if "\x00" in body.search:
            raise invalid("Text must not contain a NUL character", "search")
        match = "LIKE" if body.case_sensitive else "ILIKE"
        where += (
            f" AND (d.id {match} %(search)s OR {_NAME} {match} %(search)s"
            f" OR d.body->>'description' {match} %(search)s)"
        )
        values["search"] = like(body.search)
    sifting = bool(body.filters) or len(sorts) > 1 or sorts[0].field not in _SORTS
    total = await listed(connection, kind, namespace_id) if ids is None else len(ids)
    if sifting or body.search:
        refuse_many(total, "filters, search and other orders than by time, name and id")
    if sifting:
        return await _sifted(connection, kind, where, values, page, body, sorts)
    field, descending = sorts[0].field, sorts[0].direction == "desc"
    column, direction, sign = _SORTS[field], "DESC" if descending else "ASC", "<" if descending else ">"
    if ids is not None or body.search:
        source = f"FROM definitions AS d WHERE d.deleted_at IS NULL AND {where}"
        total = await counted(connection, source, values, "search")
    if page.cursor is not None:
        if (
            len(page.cursor) != 4
            or list(page.cursor[:2]) != [field, descending]
            or not all(isinstance(part, str) and "\x00" not in part for part in page.cursor[2:])
            or (_CASTS[field] and not _is_instant(page.cursor[2]))
        ):
            raise bad_cursor()
        where += f" AND ({column}, d.id) {sign} (%(after)s{_CASTS[field]}, %(after_id)s)"
        values["after"], values["after_id"] = page.cursor[2:]
    else:
        values["offset"] = page.offset
    rows = await select_definitions(
        connection,
        f"{where} ORDER BY {column} {direction}, d.id {direction} LIMIT %(limit)s OFFSET %(offset)s",
        values,
    )
    results = rows[: page.limit]
    more = (field, descending, _key(results[-1], field), results[-1].record.id) if len(rows) > page.limit else None
    return Page(results, total, Pagination(**page_envelope(page, total, more)))


async def _sifted(
    connection: Connection,
    kind: Kind,
    where: str,
    values: dict[str, Any],
    page: PageRequest,
    body: ListRequest,
    sorts: Sequence[Sort],
) -> Page:
    """A page of what no index has in order. Of each definition only the fields asked about are read; the page is
    then read whole."""
    wanted = read_filter(body.filters, case_sensitive=body.case_sensitive) if body.filters else None
    rows = await connection.execute(
        "SELECT d.id, d.name, d.created_at, d.updated_at, (SELECT coalesce(jsonb_object_agg(f.key, f.value), '{}')"
        " FROM jsonb_each(d.body) AS f WHERE f.key = ANY(%(keys)s)) FROM definitions AS d"
        f" WHERE d.deleted_at IS NULL AND {where}".encode(),
        {**values, "keys": sorted(keys_of(wanted, sorts))},
    )
    items = [item(kind, *row) for row in await rows.fetchall()]
    shown, following, fitting = Sifted(wanted, sorts).page(items, page)
    return Page(
        await _named(connection, kind, values["namespace"], shown),
        fitting,
        Pagination(**page_envelope(page, fitting, following)),
    )


async def _named(
    connection: Connection, kind: Kind, namespace_id: str, ids: Iterable[str]
) -> list[StoredDefinition]:
    """Definitions in the order of their ids."""
    order = list(ids)
    rows = await select_definitions(
        connection,
        "d.kind = %(kind)s AND d.namespace_id = %(namespace)s AND d.id = ANY(%(ids)s)",
        {"kind": kind, "namespace": namespace_id, "ids": order},
    )
    by_id = {row.record.id: row for row in rows}
    return [by_id[identifier] for identifier in order]


def _key(stored: StoredDefinition, field: str) -> str:
    if field == "id":
        return stored.record.id
    if field == "name":
        return stored.record.name or stored.body.get("name") or ""
    return (stored.created_at if field == "created_at" else stored.updated_at).isoformat()


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
