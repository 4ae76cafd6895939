"""Regular expressions: what they mean, what is refused, and that none can hang or fill a worker."""

import time

import pytest

from streams.engines.retrieval.filters.patterns import MAX_PATTERN, MAX_PROGRAM_BYTES, Pattern
from streams.engines.retrieval.filters.values import OperandError


def found(pattern: str, text: str, *, case_sensitive: bool = False) -> bool:
    return Pattern(pattern, case_sensitive=case_sensitive).found_in(text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("b+", "aBc", True),
        ("^b", "ab", False),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("a$", "a\n", False),
        ("(?m)a$", "a\nb", True),
        (r"\bflu\b", "the flu.", True),
        (r"^\w+$", "é", False),
        (r"^\pL+$", "été", True),
        ("É", "é", True),
        ("", "", True),
        ("\x00", "a\x00", True),
        ("😀.", "😀x", True),
        (".", "\ud800", False),
    ],
)
def test_search(pattern: str, text: str, expected: bool) -> None:
    assert found(pattern, text) is expected


def test_case() -> None:
    assert found("Flu", "fLU")
    assert not found("Flu", "flu", case_sensitive=True)
    assert found("(?i)Flu", "flu", case_sensitive=True)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "missing"),
        ("a(?=b)", "look-around"),
        ("a(?!b)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?P<x>a)(?P=x)", "back-references"),
        ("a++", "plain form"),
        ("(?>a)", "plain form"),
        ("a{1001}", "1000"),
        ("((a{1000}){1000})", "1000"),
        ("(((a{100}){100}){100})", "1000"),
        (r"(\pL\pM){1000}", "1 MiB"),
        ("[z-a]", "range"),
        ("x" * (MAX_PATTERN + 1), "2000 characters, found 2001"),
    ],
)
def test_refusals_say_what_to_do(pattern: str, says: str) -> None:
    started = time.perf_counter()
    with pytest.raises(OperandError) as caught:
        Pattern(pattern, case_sensitive=False)
    assert says in caught.value.problem
    assert time.perf_counter() - started < 5
    assert MAX_PROGRAM_BYTES == 1 << 20


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 100_000 + "b"),
        ("(a|a)*b", "a" * 100_000),
        ("(.*)*x", "y" * 100_000),
        ("(x+x+)+y", "x" * 100_000),
        ("[ab]*a[ab]{300}z", "ab" * 50_000),
    ],
)
def test_time_is_linear(pattern: str, text: str) -> None:
    started = time.perf_counter()
    assert not found(pattern, text)
    # Backtracking would outlast the universe; a busy machine needs some milliseconds.
    assert time.perf_counter() - started < 20


def test_a_pattern_is_its_text() -> None:
    pattern = Pattern("a+", case_sensitive=False)
    assert pattern == "a+"
    assert hash(pattern) == hash("a+")
    assert pattern == Pattern("a+", case_sensitive=True)  # conditions tell the two apart
