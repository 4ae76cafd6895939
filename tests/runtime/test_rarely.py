"""The same thing is said once a minute."""

from datetime import UTC, datetime, timedelta

from streams.runtime.rarely import EVERY, Rarely

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def test_once_a_minute_with_the_count_of_what_was_kept_back() -> None:
    rarely = Rarely()
    assert rarely.due("a", "12 ms of 10", NOW) == 0
    assert rarely.due("a", "13.5 ms of 10", NOW + timedelta(seconds=1)) is None
    assert rarely.due("a", "another", NOW) == 0
    assert rarely.due("b", "12 ms of 10", NOW) == 0
    assert rarely.due("a", "9 ms of 10", NOW + timedelta(seconds=59)) is None
    assert rarely.due("a", "9 ms of 10", NOW + EVERY) == 2
    assert rarely.due("a", "9 ms of 10", NOW + 2 * EVERY) == 0


def test_it_holds_a_bounded_number_of_things() -> None:
    rarely = Rarely()
    assert all(rarely.due(str(at), "x", NOW) == 0 for at in range(10_000))
    assert rarely.due("more", "x", NOW) is None
    assert rarely.due("more", "x", NOW + EVERY) == 0
