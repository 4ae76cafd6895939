"""Instants, keys and the order of values."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.retrieval.filters.parse import matches, parse_filter
from streams.engines.retrieval.filters.values import fold, instant

NOON = 1_714_564_800_000_000  # 2024-05-01T12:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01T12:00:00Z", "2024-05-01T12:00:00", "2024-05-01 12:00", "2024-05-01t12:00z", "2024-05-01T12"),
        *("2024-05-01T14:00:00+02:00", "2024-05-01T14:00+0200", "2024-05-01T14+02", "2024-05-01T06:30:00-05:30"),
        *("2024-05-01T12:00:00.000000Z", "2024-05-01T12:00:00,0", "2024-05-01T12:00:00.0000001Z"),
        *("20240501T120000Z", "20240501T1200", "20240501T140000.0+02:00", "2024-05-01T12:00:00-00:00"),
    ],
)
def test_forms_of_one_instant(text: str) -> None:
    assert instant(text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        *("", "2024", "2024-05", "20240501", "2024-122", "2024-W18-3", "2024-5-1", "2024-13-01", "2023-02-29"),
        *("2024-05-01T25:00", "2024-05-01T12:60", "2024-05-01T12:00:60Z", "2024-05-01T12:00 Z", "2024-05-01Z"),
        *("2024-05-01T12:00:00+25:00", " 2024-05-01", "2024-05-01\n", "2024-05-01T", "٢٠٢٤-٠٥-٠١", "0000-01-01"),
        *("2024-05-01x12:00", "24-05-01T12:00", "2024-05-01T1200", "20240501T12:00:00", "2024/05/01 12:00"),
    ],
)
def test_what_is_no_date_is_text(text: str) -> None:
    assert instant(text) is None


_MINUTES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=_MINUTES))
def test_instants_are_the_calendar_s(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert instant(moment.isoformat()) == expected
    assert instant(moment.isoformat(" ")) == expected


_DIGITS = r"[0-9]{4}-?[01][0-9]-?[0-3][0-9]([Tt ][0-2][0-9](:?[0-6][0-9](:?[0-6][0-9]([.,][0-9]{1,9})?)?)?)?"


@given(st.from_regex(_DIGITS + r"([Zz]|[+-][0-2][0-9](:?[0-6][0-9])?)?", fullmatch=True))
def test_what_looks_like_a_date_raises_nothing(text: str) -> None:
    assert matches(parse_filter({"field": "a", "operator": "gte", "value": text}), {"a": text})


def test_a_date_is_midnight_utc() -> None:
    assert instant("2024-05-01") == instant("2024-05-01T00:00:00Z") == NOON - 12 * 3600 * 10**6


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (True, 1, False),
        (False, 0, False),
        (None, 0, False),
        ("1", 1, False),
        ("A", "a", True),
        ("straße", "STRASSE", False),
        ("ẞ", "ß", True),
        ("ΟΔΟΣ", "οδοσ", True),
        ("οδος", "οδοσ", False),
        ("İ", "i", True),
        ([1, ["A"]], [1.0, ["a"]], True),
        ([1], [True], False),
        (10**400, 10**400 + 1, False),
    ],
)
def test_keys(one: Any, other: Any, same: bool) -> None:
    assert (fold(one) == fold(other)) is same


_VALUES = [1, 2.5, -(10**400), 10**400, "a", "B", "1", "2024-01-01", "2024-01-01T00:00:00.5Z", True, None, [], {}]


def _kind(value: Any) -> str:
    if type(value) in (int, float):
        return "number"
    return "none" if type(value) is not str else "date" if value.startswith("2024") else "text"


@pytest.mark.parametrize("bound", [item for item in _VALUES if _kind(item) != "none"], ids=str)
def test_only_like_types_have_an_order(bound: Any) -> None:
    for value in _VALUES:
        above, below_or_same = (
            matches(parse_filter({"field": "a", "operator": name, "value": bound}), {"a": value})
            for name in ("gt", "lte")
        )
        if _kind(bound) == "text" and type(value) is str:  # beside text a date is text
            assert above is (value.lower() > bound.lower())
            assert above is not below_or_same
        elif _kind(bound) == _kind(value):
            assert above is not below_or_same
        else:
            assert not above
            assert not below_or_same
