"""Roll-ups: the rows that make up a span are that span, each second once, and few."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.engines.rules.rollup import WIDTHS, Span, cover, union, widths

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BASES = st.sampled_from(WIDTHS[:4])


def at(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


@given(BASES, st.integers(-(10**9), 10**9), st.integers(0, 4 * 10**7))
def test_a_span_is_covered_without_gap_or_overlap(base: int, start: int, length: int) -> None:
    spans = cover(at(start), at(start + length), base)
    reached = start // base * base
    for span in spans:
        assert span.width in widths(base)
        assert span.start == reached < span.end
        assert span.start % span.width == span.end % span.width == 0
        reached = span.end
    assert reached == (start + length) // base * base


@given(BASES, st.integers(-(10**9), 10**9))
def test_what_begins_with_everything_is_covered_too(base: int, end: int) -> None:
    spans = cover(None, at(end), base)
    assert spans[0].start is None
    assert [span.start for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert spans[-1].end == end // base * base


@given(st.sampled_from(WIDTHS[1:4]), st.integers(0, 10**9), st.integers(0, 366 * 86_400))
def test_a_year_cut_at_minutes_is_some_two_hundred_rows(base: int, start: int, length: int) -> None:
    rows = sum((span.end - (span.start or 0)) // span.width for span in cover(at(start), at(start + length), base))
    assert rows <= 2 * (59 + 23 + 29) + 13


def test_the_ends_of_the_calendar() -> None:
    spans = cover(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 60)
    assert [span.width for span in spans] == [86_400, 2_592_000, 86_400, 3_600, 60]
    assert cover(at(120), at(60), 60) == cover(at(61), at(62), 60) == []


SPANS = st.builds(
    lambda width, start, rows: Span(
        width, None if start is None else start * width, ((start or 0) + rows) * width
    ),
    st.sampled_from((1, 60)),
    st.none() | st.integers(-50, 50),
    st.integers(1, 20),
)


@given(st.lists(SPANS))
def test_the_union_holds_each_bucket_once(spans: list[Span]) -> None:
    def buckets(of: list[Span]) -> list[tuple[int, int]]:
        return [
            (width, second)
            for width, start, end in of
            for second in range(-80 * width if start is None else start, end, width)
        ]

    found = buckets(union(spans))
    assert len(found) == len(set(found))
    assert set(found) == set(buckets(spans))
