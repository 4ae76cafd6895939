"""The sketches a trigger reads, as collect keeps them. Every function works in the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streams.engines.drift.series import AnySketch
from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span, union, widths
from streams.runtime.database import Connection, fetch_value
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


async def covered(connection: Connection, series: Series) -> bool:
    """Whether the sketches hold every stored document: collect has seeded the series, at each width, in each
    partition in which a watched collection has had records."""
    return bool(
        await fetch_value(
            connection,
            f"SELECT NOT EXISTS (SELECT FROM {_COLLECTIONS} JOIN collection_counters AS k"
            " USING (namespace_id, collection_id) CROSS JOIN unnest(%(widths)s::int[]) AS w (width)"
            f" WHERE NOT EXISTS (SELECT FROM drift_seeds AS s WHERE{_SERIES} AND s.width_seconds = w.width"
            " AND s.partition = k.partition))",
            {**series.parameters, "widths": list(widths(series.width_seconds))},
        )
    )


async def first_bucket(connection: Connection, series: Series) -> datetime | None:
    """Start of the first bucket that holds anything."""
    return await _least(connection, series, "")


async def next_bucket(connection: Connection, series: Series, after: datetime) -> datetime | None:
    """End of the first bucket that ends after an instant."""
    start = await _least(
        connection,
        series,
        " AND s.bucket_start > %(after)s::timestamptz - make_interval(secs => %(width)s)",
        after=after,
    )
    if start is None:
        return None
    try:
        return start + timedelta(seconds=series.width_seconds)
    except OverflowError:
        # The last bucket of the calendar: no check is after it.
        return None


async def _least(connection: Connection, series: Series, where: str, **parameters: Any) -> datetime | None:
    # One probe of the index per collection.
    found = await fetch_value(
        connection,
        f"SELECT min(least.bucket_start) FROM {_COLLECTIONS} CROSS JOIN LATERAL (SELECT s.bucket_start"
        f" FROM drift_sketches AS s WHERE{_SERIES} AND s.width_seconds = %(width)s{where}"
        " ORDER BY s.bucket_start LIMIT 1) AS least",
        {**series.parameters, **parameters},
    )
    return None if found is None else found.astimezone(UTC)


async def read_rows(
    connection: Connection, series: Series, spans: Iterable[Span], *, sketches: bool, unpacked: Unpacked
) -> Rows:
    """Every row in ``spans``; without ``sketches`` only the counts. Sketches are not read again where ``unpacked``
    holds them as they are."""
    parameters = {**series.parameters, **_spans(spans)}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_BUCKETS.encode(), parameters)
        buckets = [_Bucket(row[0], row[1], row[2], int(row[3])) for row in await cursor.fetchall()]
        if not sketches:
            return Rows(Row(one.width, one.start, one.documents, b"") for one in buckets)
        rows: list[Row] = []
        merged: dict[BucketKey, AnySketch | None] = {}
        missing: list[_Bucket] = []
        for one in buckets:
            found = unpacked.find(series.key, (one.width, one.start), one.version)
            if found is None:
                missing.append(one)
            else:
                merged[one.width, one.start] = found.sketch
                rows.append(Row(one.width, one.start, one.documents, b""))
        if not missing:
            return Rows(rows, merged)
        alone = [Span(one.width, one.start, one.start + one.width) for one in missing]
        await cursor.execute(_SKETCHES.encode(), {**series.parameters, **_spans(alone)})
        versions: dict[BucketKey, int] = {}
        async for width, start, documents, sketch, version in cursor:
            rows.append(Row(width, start, documents, sketch))
            versions[width, start] = versions.get((width, start), 0) + version
    return Rows(rows, merged, lambda key, sketch: unpacked.keep(series.key, key, versions[key], sketch))


class _Bucket(NamedTuple):
    width: int
    start: int
    documents: int
    version: int
    """Another one whenever any of its rows is written."""


async def count(connection: Connection, series: Series, spans: Iterable[Span]) -> int:
    """How many documents came in ``spans``."""
    query = f"SELECT COALESCE(sum(s.documents), 0)::bigint{_IN_SPANS}"
    return int(await fetch_value(connection, query, {**series.parameters, **_spans(spans)}))


# One range of the primary key per span and collection. Merging is exact, so the order does not matter. A row that
# is written has another place in the table, or another transaction has written it there: so it has a version.
_IN_SPANS = (
    f" FROM {_COLLECTIONS} CROSS JOIN unnest(%(kinds)s::int[], %(starts)s::bigint[], %(ends)s::bigint[])"
    " AS p (width, start, stop) CROSS JOIN LATERAL (SELECT s.bucket_start, s.documents, s.sketch,"
    " hashtextextended(s.ctid::text || ' ' || s.xmin::text, 0) AS version"
    f" FROM drift_sketches AS s WHERE{_SERIES} AND s.width_seconds = p.width"
    " AND s.bucket_start >= COALESCE(to_timestamp(p.start), '-infinity') AND s.bucket_start < to_timestamp(p.stop)"
    " OFFSET 0) AS s"
)


_BUCKETS = (
    "SELECT p.width, extract(epoch FROM s.bucket_start)::bigint, sum(s.documents)::bigint,"
    f" sum(s.version)::text{_IN_SPANS} GROUP BY 1, 2"
)
_SKETCHES = (
    f"SELECT p.width, extract(epoch FROM s.bucket_start)::bigint, s.documents, s.sketch, s.version{_IN_SPANS}"
)


def _spans(spans: Iterable[Span]) -> dict[str, Any]:
    wanted = union(spans)
    return {
        "kinds": [span.width for span in wanted],
        "starts": [span.start for span in wanted],
        "ends": [span.end for span in wanted],
    }
