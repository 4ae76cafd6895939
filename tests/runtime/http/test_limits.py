"""The token bucket against a plain count of what was let through."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.http.limits import Limits, Refusal, Usage

gaps = st.lists(st.floats(0, 3), min_size=1, max_size=60)


@given(gaps, st.integers(1, 5), st.sampled_from([0.5, 1.0, 4.0]))
def test_in_no_span_of_time_is_more_let_through_than_the_rate_and_a_burst(
    waits: list[float], burst: int, rate: float
) -> None:
    usage = Usage(Limits(rate, burst, 1_000, 1))
    now, taken = 0.0, list[float]()
    for wait in waits:
        now += wait
        refusal = usage.enter("k", now, stream=False)
        if refusal is None:
            taken.append(now)
        else:
            # It says when to come again, and is right.
            assert 0 < refusal.retry_after_seconds <= 1 / rate
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - start) * rate + 1e-6


def test_a_key_that_rested_may_burst_and_one_that_did_not_waits_as_told() -> None:
    usage = Usage(Limits(2.0, 4, 100, 1))
    assert [usage.enter("a", 10.0, stream=False) for _ in range(4)] == [None] * 4
    refusal = usage.enter("a", 10.0, stream=False)
    assert refusal is not None
    assert refusal.retry_after_seconds == 0.5
    # Another key has its own.
    assert usage.enter("b", 10.0, stream=False) is None
    assert usage.enter("a", 10.0 + refusal.retry_after_seconds, stream=False) is None
    assert isinstance(usage.enter("a", 10.5, stream=False), Refusal)


def test_what_is_left_is_told_as_the_draft_says() -> None:
    usage = Usage(Limits(2.0, 10, 100, 1))
    assert usage.headers("a", 0.0) == {"RateLimit-Policy": '"key";q=10;w=5', "RateLimit": '"key";r=10;t=0'}
    for _ in range(3):
        usage.enter("a", 0.0, stream=False)
    assert usage.headers("a", 0.0)["RateLimit"] == '"key";r=7;t=2'
    assert usage.headers("a", 1.0)["RateLimit"] == '"key";r=9;t=1'
    unlimited = Usage(Limits(0.0, 1, 1_000, 1))
    assert [unlimited.enter("a", 0.0, stream=False) for _ in range(500)] == [None] * 500
    assert unlimited.headers("a", 0.0) == {}


def test_requests_and_streams_at_the_same_time_are_counted_apart() -> None:
    usage = Usage(Limits(0.0, 1, 2, 1))
    assert usage.enter("a", 0.0, stream=True) is None
    assert usage.enter("a", 0.0, stream=False) is None
    assert usage.enter("a", 0.0, stream=False) is None
    for stream, words in ((True, "1 event streams"), (False, "2 requests")):
        refusal = usage.enter("a", 0.0, stream=stream)
        assert refusal is not None
        assert words in refusal.reason
        assert usage.enter("b", 0.0, stream=stream) is None
    usage.leave("a", stream=True)
    assert usage.enter("a", 0.0, stream=True) is None
    assert usage.enter("a", 0.0, stream=False) is not None
