"""The rows of sketches that a check reads, in one question of the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from streams.engines.drift.series import AnySketch
from streams.engines.rules.rollup import Span
from streams.runtime.database import Connection, integers
from streams.trigger.conditions.merges import Merges
from streams.trigger.conditions.series import IN_SPANS, Series, span_arrays
from streams.trigger.conditions.unpacked import Merged, Unpacked
from streams.trigger.conditions.windows import BucketKey, Row, Rows


@dataclass(frozen=True, slots=True)
class RowsWanted:
    """Every row of a series in some spans."""

    series: Series
    spans: Sequence[Span]
    """Each bucket once, as ``union`` gives them."""
    sketches: bool
    """Or only how many documents there are."""
    trigger_id: str | None
    """Whose merged buckets may be read in place of their rows."""

    async def ask(self, connection: Connection, unpacked: Unpacked) -> "RowsAsked":
        """Send the question. Sketches are not read again where ``unpacked`` holds them as they are."""
        parameters = {**self.series.parameters, **span_arrays(self.spans)}
        cursor = connection.cursor(binary=True)
        if not self.sketches:
            return RowsAsked(self, await cursor.execute(_COUNTS.encode(), parameters, prepare=True), {})
        known = unpacked.within(self.series.key, self.spans)
        versions = integers(((*key, held.version) for key, held in known.items()), 3)
        parameters |= dict(zip(("known_kinds", "known_starts", "known_versions"), versions, strict=True))
        parameters["trigger"] = self.trigger_id
        return RowsAsked(self, await cursor.execute(_SKETCHES.encode(), parameters, prepare=True), known)


@dataclass(frozen=True, slots=True)
class RowsAsked:
    """A question that was sent."""

    wanted: RowsWanted
    cursor: AsyncCursor[TupleRow]
    known: Mapping[BucketKey, Merged]

    async def answer(self, unpacked: Unpacked, merges: Merges | None = None) -> Rows:
        """Wait for the rows. What is unpacked of them is kept in ``unpacked``, and ``merges`` is told of buckets
        of several rows."""
        if not self.wanted.sketches:
            return Rows(Row(row[0], row[1], row[2], b"") for row in await self.cursor.fetchall())
        series = self.wanted.series.key
        rows: list[Row] = []
        merged: dict[BucketKey, AnySketch | None] = {}
        read: dict[BucketKey, tuple[int, bool]] = {}
        for width, start, documents, version, several, sketch in await self.cursor.fetchall():
            key = width, start
            rows.append(Row(width, start, documents, sketch or b""))
            if sketch is None:
                merged[key] = self.known[key].sketch
                unpacked.used(series, key)
            else:
                read[key] = version, several

        def keep(key: BucketKey, sketch: AnySketch | None) -> None:
            version, several = read[key]
            unpacked.keep(series, key, version, sketch)
            if several and merges is not None and sketch is not None:
                merges.add(key, version, sketch)

        return Rows(rows, merged, keep)


_COUNTS: Final = (
    f"SELECT p.width, extract(epoch FROM s.bucket_start)::bigint, sum(s.documents)::bigint{IN_SPANS} GROUP BY 1, 2"
)
# Of a bucket that is known as it is, one row without a sketch; of one that is kept merged, one row; of another,
# its rows, each found by its place.
_SKETCHES: Final = (
    "WITH buckets AS MATERIALIZED (SELECT p.width, s.bucket_start, sum(s.documents)::bigint AS documents,"
    f" bit_xor(s.version) AS version, array_agg(s.place) AS places{IN_SPANS} GROUP BY 1, 2)"
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
