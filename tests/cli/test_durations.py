import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.durations import parse_duration, parse_expiry

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30m", timedelta(minutes=30)),
        (" 12h ", timedelta(hours=12)),
        ("90 d", timedelta(days=90)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
    ],
)
def test_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "h", "12", "-1h", "1.5h", "1y", "1h30m", "٣d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no length of time"):
        parse_duration(text)


def test_an_end_is_a_length_of_time_from_now_or_an_instant() -> None:
    assert parse_expiry("1d", NOW) == NOW + timedelta(days=1)
    assert parse_expiry("2027-01-31", NOW) == datetime(2027, 1, 31, tzinfo=UTC)
    assert parse_expiry("2026-03-02T14:00:00+01:00", NOW) == NOW + timedelta(minutes=30)


@pytest.mark.parametrize("text", ["0s", "2026-03-02T12:30:00Z", "2020-01-01", "999999w", "soon"])
def test_an_end_lies_in_the_future(text: str) -> None:
    with pytest.raises(ValueError, match=r"not in the future|calendar|neither"):
        parse_expiry(text, NOW)


@given(st.text(max_size=12))
def test_nothing_but_a_value_error_comes_of_any_text(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_expiry(text, NOW) > NOW
