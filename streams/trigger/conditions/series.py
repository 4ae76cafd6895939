"""The series of sketches that a trigger looks at, as collect keeps it. Every question is one of the caller's
transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from streams.engines.rules.condition import Condition
from streams.engines.rules.rollup import Span, union, widths
from streams.runtime.database import Connection, fetch_value, integers
from streams.trigger.conditions.unpacked import SeriesKey

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


@dataclass(frozen=True, slots=True)
class FactsWanted:
    """What is asked of a series before a check."""

    series: Series
    spans: Sequence[Span]
    """Whose documents are counted."""
    first: bool
    """Whether it is asked where the series begins."""

    async def ask(self, connection: Connection) -> "FactsAsked":
        """Send the question."""
        parameters = {
            **self.series.parameters,
            **span_arrays(self.spans),
            "widths": list(widths(self.series.width_seconds)),
            "first": self.first,
        }
        return FactsAsked(self, await connection.execute(_FACTS.encode(), parameters, prepare=True))


@dataclass(frozen=True, slots=True)
class FactsAsked:
    """A question that was sent."""

    wanted: FactsWanted
    cursor: AsyncCursor[TupleRow]

    async def answer(self) -> Facts:
        """Wait for the answer."""
        row = await self.cursor.fetchone()
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


# One range of the primary key per span and collection. Merging is exact, so the order does not matter. A row that
# is written has another place in the table, or another transaction has written it there: so it has a version.
IN_SPANS = (
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
    f" (SELECT COALESCE(sum(s.documents), 0)::bigint{IN_SPANS}),"
    f" CASE WHEN %(first)s THEN {_least()} END"
)


def span_arrays(spans: Iterable[Span]) -> dict[str, str]:
    """For :data:`IN_SPANS`."""
    return dict(zip(("kinds", "starts", "ends"), integers(union(spans), 3), strict=True))
