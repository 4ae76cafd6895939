"""The sketches a trigger reads, as collect keeps them. Every function works in the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span, union, widths
from streams.runtime.database import Connection, fetch_value
from streams.trigger.conditions.windows import Row, Rows

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


async def read_rows(connection: Connection, series: Series, spans: Iterable[Span], *, sketches: bool) -> Rows:
    """Every row in ``spans``; without ``sketches`` only the counts."""
    columns = "extract(epoch FROM s.bucket_start)::bigint, s.documents, " + (
        "s.sketch" if sketches else "''::bytea"
    )
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT p.width, {columns}{_IN_SPANS}".encode(),
            {**series.parameters, **_spans(spans)},
        )
        return Rows([Row(*row) async for row in cursor])


async def count(connection: Connection, series: Series, spans: Iterable[Span]) -> int:
    """How many documents came in ``spans``."""
    query = f"SELECT COALESCE(sum(s.documents), 0)::bigint{_IN_SPANS}"
    return int(await fetch_value(connection, query, {**series.parameters, **_spans(spans)}))


# One range of the primary key per span and collection. Merging is exact, so the order does not matter.
_IN_SPANS = (
    f" FROM {_COLLECTIONS} CROSS JOIN unnest(%(kinds)s::int[], %(starts)s::bigint[], %(ends)s::bigint[])"
    " AS p (width, start, stop) CROSS JOIN LATERAL (SELECT s.bucket_start, s.documents, s.sketch"
    f" FROM drift_sketches AS s WHERE{_SERIES} AND s.width_seconds = p.width"
    " AND s.bucket_start >= COALESCE(to_timestamp(p.start), '-infinity') AND s.bucket_start < to_timestamp(p.stop)"
    " OFFSET 0) AS s"
)


def _spans(spans: Iterable[Span]) -> dict[str, Any]:
    wanted = union(spans)
    return {
        "kinds": [span.width for span in wanted],
        "starts": [span.start for span in wanted],
        "ends": [span.end for span in wanted],
    }
