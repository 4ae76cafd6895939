"""When segments are built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.index.policy import MAX_SEGMENTS, Standing, decide


@pytest.mark.parametrize(
    ("standing", "wanted"),
    [
        (Standing(documents=99, segments=0, vectors=0, since=99), "nothing"),
        (Standing(documents=100, segments=0, vectors=0, since=100), "replace"),
        (Standing(documents=150, segments=1, vectors=100, since=50), "nothing"),
        (Standing(documents=300, segments=1, vectors=100, since=200), "replace"),
        (Standing(documents=500, segments=1, vectors=400, since=100), "add"),
        (Standing(documents=2_000, segments=MAX_SEGMENTS, vectors=1_900, since=100), "replace"),
        (Standing(documents=200, segments=3, vectors=500, since=10), "replace"),
        (Standing(documents=60, segments=1, vectors=100, since=0), "nothing"),
        (Standing(documents=40, segments=1, vectors=100, since=0), "retire"),
        (Standing(documents=0, segments=0, vectors=0, since=0), "nothing"),
    ],
)
def test_decisions(standing: Standing, wanted: str) -> None:
    assert decide(standing, large=100) == wanted


@given(st.lists(st.integers(1, 400), max_size=60))
def test_little_is_searched_exactly_and_no_vector_is_indexed_often(arrivals: list[int]) -> None:
    documents = segments = vectors = since = work = 0
    for count in arrivals:
        documents, since = documents + count, since + count
        what = decide(Standing(documents, segments, vectors, since), large=100)
        if what == "replace":
            segments, vectors, since, work = 1, documents, 0, work + documents
        elif what == "add":
            segments, vectors, since, work = segments + 1, vectors + since, 0, work + since
        assert since < 100
        assert segments <= MAX_SEGMENTS
        assert documents - vectors == since or not segments
        assert decide(Standing(documents, segments, vectors, since), large=100) == "nothing"
    # Seven segments of at least 100 lie between two replacements that do not double.
    assert work <= documents * (4 + documents / 700)
