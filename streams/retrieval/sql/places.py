"""Where the values of a dotted path stand in the row of a document, as SQL (``filters/paths.py`` says which).

Nearly always the path leads through objects to one value, which is read directly. A list of objects on the way
fans out. What neither can tell (a key of several segments in the middle of a path, an index behind a list of
objects) is left open for that row.
"""

from collections.abc import Callable
from typing import Final

from streams.engines.retrieval.filters.paths import Path
from streams.retrieval.sql.bounds import FALSE, NEVER, TRUE, UNKNOWN, Bounds, both
from streams.retrieval.sql.parameters import Parameters, quoted, storable

Test = Callable[[str], Bounds]
"""From a value (SQL, jsonb; null where there is none) whether it fits; what comes out null counts as false."""

ROOT: Final = "q.root"
"""The payload, as :data:`SOURCE` names it."""
SOURCE: Final = "(SELECT {table}.payload #> '{{}}' AS root OFFSET 0) AS q"
"""The payload read once for every use: a large one would be unpacked for each."""
_MAX_SEGMENTS: Final = 6
_MAX_INDEX: Final = 2**31
OCCURRED_AT: Final = "occurred_at"
_OCCURRED: Final = "({table}.occurred_at AT TIME ZONE 'UTC')"
_COLUMNS: Final = {
    "document_id": "to_jsonb({table}.document_id)",
    "collection_id": "to_jsonb({table}.collection_id)",
    "text": "to_jsonb({table}.text)",
    "asset_id": "to_jsonb({table}.asset_id)",
    # As ``format_instant`` writes it.
    OCCURRED_AT: (
        f"to_jsonb(to_char({_OCCURRED}, CASE WHEN mod(extract(microseconds FROM {_OCCURRED}), 1000) = 0"
        """ THEN 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END))"""
    ),
}
"""Fields that the event has beside its payload; one of the payload with that name comes first."""


def any_value(path: Path, test: Test, table: str, parameters: Parameters, column: str | None = None) -> Bounds:
    """Whether any value that the path leads to fits; ``column`` is whether the column of that name does, where it
    is cheaper to ask than its text."""
    segments = path.text.split(".")
    if not storable(path.text):
        return NEVER
    if len(segments) > _MAX_SEGMENTS or not all(map(_indexable, segments)):
        return UNKNOWN
    if len(segments) > 1:
        return _walked(segments, test, parameters)
    if column is None:
        return _holds(test(_single(path.text, table, parameters)))
    field = f"{ROOT} -> {parameters.text(path.text)}"
    return _holds(
        both(test(f"({field})"), lambda fits: f"CASE WHEN {field} IS NULL THEN {column} ELSE {fits} END")
    )


def _indexable(segment: str) -> bool:
    return not _digits(segment) or int(segment) < _MAX_INDEX


def _digits(segment: str) -> bool:
    return segment.isascii() and segment.isdigit()


def _holds(bounds: Bounds) -> Bounds:
    return both(bounds, lambda condition: condition if condition in (TRUE, FALSE) else f"({condition}) IS TRUE")


def _single(name: str, table: str, parameters: Parameters) -> str:
    key = parameters.text(name)
    if name == "payload":
        # A payload that is no object is a field of that name.
        return (
            f"CASE jsonb_typeof({ROOT}) WHEN 'object' THEN {ROOT} -> {key} WHEN 'null' THEN NULL ELSE {ROOT} END"
        )
    column = _COLUMNS.get(name)
    beside = "" if column is None else f"{column.format(table=table)}, "
    return f"COALESCE({ROOT} -> {key}, {beside}{_nested(parameters)} -> {key})"


def _nested(parameters: Parameters) -> str:
    return f"({ROOT} -> {parameters.text('payload')})"


def _walked(segments: list[str], test: Test, parameters: Parameters) -> Bounds:
    nested = _nested(parameters)
    ours, theirs = (_one(node, segments, parameters) for node in (ROOT, nested))
    many, many_there = (_many(node, segments, parameters) for node in (ROOT, nested))
    spread, spread_there = (_spread(node, segments, parameters) for node in (ROOT, nested))
    indexed = any(map(_digits, segments[1:]))
    first, last = test(ours), test(theirs)
    fanned = fanned_there = UNKNOWN
    if not indexed:
        fanned = both(test("v.value"), lambda fits: f"EXISTS (SELECT FROM {spread} WHERE {fits})")
        fanned_there = both(test("v.value"), lambda fits: f"EXISTS (SELECT FROM {spread_there} WHERE {fits})")
    there = TRUE if indexed else f"EXISTS (SELECT FROM {spread})"

    def case(one: str, out: str, other: str, out_there: str) -> str:
        return (
            f"CASE WHEN {ours} IS NOT NULL THEN {one} WHEN {many} AND {there} THEN {out}"
            f" WHEN {theirs} IS NULL AND {many_there} THEN {out_there} ELSE {other} END"
        )

    found = _holds(
        Bounds(
            case(first.sure, fanned.sure, last.sure, fanned_there.sure),
            case(first.possible, fanned.possible, last.possible, fanned_there.possible),
        )
    )
    open_rows = _open(segments, parameters)
    return Bounds(f"NOT {open_rows} AND {found.sure}", f"{open_rows} OR {found.possible}") if open_rows else found


def _spread(node: str, segments: list[str], parameters: Parameters) -> str:
    path = "$" + "".join(f".{quoted(segment)}" for segment in segments)
    return f"jsonb_path_query({node}, {parameters.jsonpath(path)}) AS v (value)"


def _one(node: str, segments: list[str], parameters: Parameters) -> str:
    """The value behind objects alone, or under the whole path as a key."""
    chain = _chain(node, segments, parameters)
    return f"COALESCE({node} -> {parameters.text('.'.join(segments))}, {chain})"


def _chain(node: str, segments: list[str], parameters: Parameters) -> str:
    # A text is a key of objects only; an index would find a scalar, too, as its own first element.
    chain = f"{node} -> {parameters.text(segments[0])}"
    for segment in segments[1:]:
        step = f"({chain}) -> {parameters.text(segment)}"
        if _digits(segment):
            indexed = f"CASE jsonb_typeof({chain}) WHEN 'array' THEN ({chain}) -> {int(segment)} END"
            step = f"COALESCE({step}, {indexed})"
        chain = step
    return chain


def _many(node: str, segments: list[str], parameters: Parameters) -> str:
    """Whether a list stands on the way where a key follows."""
    return (
        "("
        + " OR ".join(
            f"jsonb_typeof({_chain(node, segments[:at], parameters)}) = 'array'"
            for at in range(1, len(segments))
            if not _digits(segments[at])
        )
        + ")"
        if any(not _digits(segment) for segment in segments[1:])
        else FALSE
    )


def _open(segments: list[str], parameters: Parameters) -> str | None:
    """Which rows are left open: those with keys of several segments on the way, other than the whole path as
    one, and where the payload itself is a list on the way."""
    count = len(segments)
    anywhere = any(map(_digits, segments[1:]))
    found = []
    for start in range(count):
        before = "".join(f".{quoted(segment)}" for segment in segments[:start])
        for end in range(start + 2, count + 1):
            if end - start < count:
                key = quoted(".".join(segments[start:end]))
                places = [".**"] if anywhere else [before, f'."payload"{before}']
                found += [f"exists(@{place}.{key})" for place in places]
    conditions = []
    if found:
        anything = parameters.jsonpath(f"$ ? ({' || '.join(found)})")
        conditions.append(f"({ROOT} @? {anything}) IS TRUE")
    if segments[0] == "payload":
        conditions.append(f"COALESCE(jsonb_typeof({ROOT}) = 'array', FALSE)")
    return f"({' OR '.join(conditions)})" if conditions else None
