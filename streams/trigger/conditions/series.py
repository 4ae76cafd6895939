"""The sketches a trigger reads, as collect keeps them. Every function works in the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streams.engines.drift.series import AnySketch
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span, union, widths
from streams.runtime.database import Connection, columns, fetch_value
from streams.trigger.conditions.merges import Merges
from streams.trigger.conditions.unpacked import SeriesKey, Unpacked
from streams.trigger.conditions.windows import BucketKey, Row, Rows

_SERIES = (
    " s.namespace_id = c.namespace_id AND s.collection_id = c.collection_id AND s.feature = %(feature)s"
    " AND s.time_domain = %(domain)s"
)
_COLLECTIONS = "unnest(%(namespaces)s::text[], %(collections)s::text[]) AS c (namespace_id, collection_id)"


@dataclass(frozen=True, slots=True)
class Series:
    """What one trigger measures, in all the collections it watches."""

    collections: Sequence[tuple[str, str]]
    feature: str
    time_domain: str
    width_seconds: int
    """Of the narrowest buckets; there are wider ones beside them."""

    @classmethod
    def of(cls, collections: Sequence[tuple[str, str]], condition: Condition) -> "Series":
        """The series of a condition."""
        return cls(collections, condition.measured.key, condition.time_domain, condition.bucket_seconds)

    @property
    def key(self) -> SeriesKey:
        """What tells it from others."""
        return (*self.collections, self.feature, self.time_domain)

    @property
    def parameters(self) -> dict[str, Any]:
        """For the queries here."""
        return {
            "namespaces": [namespace for namespace, _ in self.collections],
            "collections": [collection for _, collection in self.collections],
            "feature": self.feature,
            "domain": self.time_domain,
            "width": self.width_seconds,
        }


class Facts(NamedTuple):
    """What is to be known of a series before a check."""

    covered: bool
    """Whether the sketches hold every stored document: collect has seeded the series, at each width, in each
    partition in which a watched collection has had records."""
    documents: int
    """How many came in some spans."""
    first: datetime | None
    """Where the first bucket that holds anything begins, if that was asked for."""


async def facts(connection: Connection, series: Series, spans: Iterable[Span], *, first: bool) -> Facts:
    """In one round trip: the documents in ``spans``, and ``first`` for where the series begins."""
    cursor = await connection.execute(
        _FACTS.encode(),
        {
            **series.parameters,
            **_spans(spans),
            "widths": list(widths(series.width_seconds)),
            "first": first,
        },
        prepare=True,
    )
    row = await cursor.fetchone()
    assert row is not None
    return Facts(row[0], row[1], None if row[2] is None else row[2].astimezone(UTC))


async def next_bucket(connection: Connection, series: Series, after: datetime) -> datetime | None:
    """End of the first bucket that ends after an instant."""
    where = " AND s.bucket_start > %(after)s::timestamptz - make_interval(secs => %(width)s)"
    parameters = {**series.parameters, "after": after}
    start: datetime | None = await fetch_value(connection, f"SELECT {_least(where)}", parameters)
    if start is None:
        return None
    try:
        return start.astimezone(UTC) + timedelta(seconds=series.width_seconds)
    except OverflowError:
        # The last bucket of the calendar: no check is after it.
        return None


async def read_rows(
    connection: Connection,
    series: Series,
    spans: Iterable[Span],
    *,
    sketches: bool,
    unpacked: Unpacked,
    merges: Merges | None = None,
) -> Rows:
    """Every row in ``spans``; without ``sketches`` only the counts. Sketches are not read again where ``unpacked``
    holds them as they are, and not row by row where the database keeps them merged for the trigger of ``merges``,
    which is told of those that it could keep."""
    wanted = union(spans)
    parameters = {**series.parameters, **_spans(wanted)}
    async with connection.cursor(binary=True) as cursor:
        if not sketches:
            await cursor.execute(_COUNTS.encode(), parameters, prepare=True)
            return Rows(Row(row[0], row[1], row[2], b"") for row in await cursor.fetchall())
        known = unpacked.within(series.key, wanted)
        versions = _arrays(((*key, held.version) for key, held in known.items()), 3)
        parameters |= dict(zip(("known_kinds", "known_starts", "known_versions"), versions, strict=True))
        parameters["trigger"] = None if merges is None else merges.trigger_id
        await cursor.execute(_SKETCHES.encode(), parameters, prepare=True)
        rows: list[Row] = []
        merged: dict[BucketKey, AnySketch | None] = {}
        read: dict[BucketKey, tuple[int, bool]] = {}
        async for width, start, documents, version, several, sketch in cursor:
            key = width, start
            rows.append(Row(width, start, documents, sketch or b""))
            if sketch is None:
                merged[key] = known[key].sketch
                unpacked.used(series.key, key)
            else:
                read[key] = version, several

    def keep(key: BucketKey, sketch: AnySketch | None) -> None:
        version, several = read[key]
        unpacked.keep(series.key, key, version, sketch)
        if several and merges is not None and sketch is not None:
            merges.add(key, version, sketch)

    return Rows(rows, merged, keep)


# One range of the primary key per span and collection. Merging is exact, so the order does not matter. A row that
# is written has another place in the table, or another transaction has written it there: so it has a version.
_IN_SPANS = (
    f" FROM {_COLLECTIONS} CROSS JOIN unnest(%(kinds)s::int[], %(starts)s::bigint[], %(ends)s::bigint[])"
    " AS p (width, start, stop) CROSS JOIN LATERAL (SELECT s.bucket_start, s.documents, s.ctid AS place,"
    " hashtextextended(s.ctid::text || ' ' || s.xmin::text, 0) AS version"
    f" FROM drift_sketches AS s WHERE{_SERIES} AND s.width_seconds = p.width"
    " AND s.bucket_start >= COALESCE(to_timestamp(p.start), '-infinity') AND s.bucket_start < to_timestamp(p.stop)"
    " OFFSET 0) AS s"
)


def _least(where: str = "") -> str:
    """One probe of the index per collection."""
    return (
        f"(SELECT min(least.bucket_start) FROM {_COLLECTIONS} CROSS JOIN LATERAL (SELECT s.bucket_start"
        f" FROM drift_sketches AS s WHERE{_SERIES} AND s.width_seconds = %(width)s{where}"
        " ORDER BY s.bucket_start LIMIT 1) AS least)"
    )


_FACTS = (
    f"SELECT NOT EXISTS (SELECT FROM {_COLLECTIONS} JOIN collection_counters AS k"
    " USING (namespace_id, collection_id) CROSS JOIN unnest(%(widths)s::int[]) AS w (width)"
    f" WHERE NOT EXISTS (SELECT FROM drift_seeds AS s WHERE{_SERIES} AND s.width_seconds = w.width"
    " AND s.partition = k.partition)),"
    f" (SELECT COALESCE(sum(s.documents), 0)::bigint{_IN_SPANS}),"
    f" CASE WHEN %(first)s THEN {_least()} END"
)
_COUNTS = (
    "SELECT p.width, extract(epoch FROM s.bucket_start)::bigint, sum(s.documents)::bigint"
    f"{_IN_SPANS} GROUP BY 1, 2"
)
# Of a bucket that is known as it is, one row without a sketch; of one that is kept merged, one row; of another,
# its rows, each found by its place.
_SKETCHES = (
    "WITH buckets AS MATERIALIZED (SELECT p.width, s.bucket_start, sum(s.documents)::bigint AS documents,"
    f" bit_xor(s.version) AS version, array_agg(s.place) AS places{_IN_SPANS} GROUP BY 1, 2)"
    " SELECT b.width, extract(epoch FROM b.bucket_start)::bigint, COALESCE(r.documents, b.documents), b.version,"
    " r.sketch IS NOT NULL AND cardinality(b.places) > 1,"
    " CASE WHEN k.version IS NULL THEN COALESCE(t.sketch, r.sketch) END FROM buckets AS b"
    " LEFT JOIN unnest(%(known_kinds)s::int[], %(known_starts)s::bigint[], %(known_versions)s::bigint[])"
    " AS k (width, start, version) ON k.width = b.width AND to_timestamp(k.start) = b.bucket_start"
    " AND k.version = b.version"
    " LEFT JOIN trigger_buckets AS t ON t.trigger_id = %(trigger)s AND t.width_seconds = b.width"
    " AND t.bucket_start = b.bucket_start AND t.version = b.version"
    " LEFT JOIN LATERAL (SELECT s.documents, s.sketch"
    " FROM unnest(CASE WHEN COALESCE(k.version, t.version) IS NULL THEN b.places END) AS u (place)"
    " JOIN drift_sketches AS s ON s.ctid = u.place) AS r ON true"
)


def _spans(spans: Iterable[Span]) -> dict[str, str]:
    return dict(zip(("kinds", "starts", "ends"), _arrays(union(spans), 3), strict=True))


def _arrays(rows: Iterable[Sequence[int | None]], width: int) -> list[str]:
    """Rows as one array per column, in words: of lists the client would look at every number by itself."""
    return [
        f"{{{','.join('NULL' if value is None else str(value) for value in column)}}}"
        for column in columns(rows, width)
    ]
