"""Instants as text: read back exactly, milliseconds unless more is needed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import format_instant, from_millis, is_plain_instant, parse_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
zones = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC) | zones)  # noqa: DTZ001


@given(moments)
def test_round_trip(moment: datetime) -> None:
    text = format_instant(moment)
    assert parse_instant(text) == moment
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    spec = "microseconds" if plain.microsecond % 1000 else "milliseconds"
    assert text == plain.isoformat(timespec=spec) + "Z"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2014, 10, 1, 12, tzinfo=UTC), "2014-10-01T12:00:00.000Z"),
        (datetime(2014, 10, 1, 12, 0, 0, 120_000, tzinfo=UTC), "2014-10-01T12:00:00.120Z"),
        (datetime(2014, 10, 1, 12, 0, 0, 120_001, tzinfo=UTC), "2014-10-01T12:00:00.120001Z"),
        (datetime(33, 1, 1, tzinfo=timezone(timedelta(hours=-2))), "0033-01-01T02:00:00.000Z"),
    ],
)
def test_format(moment: datetime, text: str) -> None:
    assert format_instant(moment) == text


@given(st.integers(-(10**12), 10**13))
def test_millis_are_exact(millis: int) -> None:
    assert (from_millis(millis) - EPOCH) // timedelta(milliseconds=1) == millis


@given(
    st.from_regex(
        r"\A[0-9]{4}-[W0-9][0-9]-?[0-9][0-9]?[T ][0-2][0-9]:?[0-5][0-9]:?[0-5][0-9][.,][0-9]{3,6}(Z|\+00:00)?\Z"
    )
    | moments.map(format_instant)
)
def test_a_plain_instant_is_written_as_it_was_read(text: str) -> None:
    try:
        moment = parse_instant(text)
    except ValueError:
        return
    if is_plain_instant(text):
        assert format_instant(moment) == text
    assert is_plain_instant(format_instant(moment.replace(microsecond=0)))
