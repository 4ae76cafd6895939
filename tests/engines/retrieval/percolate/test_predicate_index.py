"""The index of predicates answers exactly as plain evaluation, whatever alerts there are, whenever they came."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.parse import Filter, matches, parse_filter
from streams.engines.retrieval.filters.paths import parse_path
from streams.engines.retrieval.percolate import met
from streams.engines.retrieval.percolate.interval_index import IntervalIndex
from streams.engines.retrieval.percolate.normal import Interval
from streams.engines.retrieval.percolate.pattern_index import alternatives, needed
from streams.engines.retrieval.percolate.percolator import Percolator
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.percolate.postings import Postings
from streams.engines.retrieval.percolate.substring_index import SubstringIndex
from tests.engines.retrieval.filters.strategies import documents, filters

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def event(payload: Any) -> DocumentEvent:
    return DocumentEvent("document.upserted", "ns", "col", "doc", NOW, payload=payload, text="A text of its own")


def parsed(raw: list[dict[str, Any]]) -> list[Filter]:
    found = []
    for one in raw:
        try:
            found.append(parse_filter(one))
        except FilterError:
            continue
    return found


def percolator(asked: list[Filter]) -> Percolator[int]:
    return Percolator(range(len(asked)), lambda number: Plan(asked[number].root))


def expected(asked: list[Filter], present: set[int], event_: DocumentEvent) -> list[int]:
    return [number for number in sorted(present) if matches(asked[number], event_.root())]


def answers(index: Percolator[int], events: list[DocumentEvent]) -> list[list[int]]:
    return [[hit.alert for hit in hits] for hits in index.match(events)]


@settings(max_examples=250, deadline=None)
@given(st.lists(filters(max_leaves=8), max_size=12), st.lists(documents(), max_size=6))
def test_equals_plain_evaluation(raw: list[dict[str, Any]], payloads: list[dict[str, Any]]) -> None:
    asked, events = parsed(raw), [event(payload) for payload in payloads]
    index = percolator(asked)
    wanted = [expected(asked, set(range(len(asked))), one) for one in events]
    assert answers(index, events) == wanted
    # Once more, now that values are remembered; one by one; and each alert alone.
    assert answers(index, events) == wanted
    assert [answers(index, [one])[0] for one in events] == wanted
    for number, one in enumerate(asked):
        alone = [[number for _ in found] for found in answers(percolator([one]), events)]
        assert alone == [[number] if number in found else [] for found in wanted]


@settings(max_examples=200, deadline=None)
@given(st.lists(filters(), min_size=1, max_size=10), st.lists(documents(), max_size=4), st.data())
def test_alerts_come_and_go(
    raw: list[dict[str, Any]], payloads: list[dict[str, Any]], data: st.DataObject
) -> None:
    asked, events = parsed(raw), [event(payload) for payload in payloads]
    index: Percolator[int] = Percolator((), lambda number: Plan(asked[number].root))
    present: dict[int, int] = {}
    for number in range(len(asked)):
        present[index.add(number)] = number
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(present)))
            index.remove(gone)
            del present[gone]
        assert len(index) == len(present)
        assert answers(index, events) == [expected(asked, set(present.values()), one) for one in events]


def test_removed_alerts_make_room() -> None:
    """Changed over and over, a population takes the room of about twice its size, and every answer is right."""
    asked = [parse_filter({"AND": [{"n": number % 7}, {"NOT": [{"m": number % 3}]}]}) for number in range(9_000)]
    index: Percolator[int] = Percolator((), lambda number: Plan(asked[number].root))
    living: dict[int, int] = {}
    document = event({"n": 3, "m": 1})
    greatest = 0
    for number in range(9_000):
        living[number] = index.add(number)
        greatest = max(greatest, living[number])
        if number >= 500:
            index.remove(living.pop(number - 500))
        if number % 20 == 0:
            assert sorted(answers(index, [document])[0]) == expected(asked, set(living), document)
    assert len(index) == 500
    assert greatest < 4 * 1_024
    assert sorted(answers(index, [document])[0]) == expected(asked, set(living), document)
    with pytest.raises(KeyError):
        index.remove(greatest + 1)


def test_a_batch_larger_than_the_table() -> None:
    asked = [parse_filter({"AND": [{"a": n % 5}, {"b": {"gte": n}}, {"NOT": [{"c": n}]}]}) for n in range(200)]
    events = [event({"a": n % 6, "b": n, "c": n % 50}) for n in range(700)]
    wanted = [expected(asked, set(range(200)), one) for one in events]
    assert answers(percolator(asked), events) == wanted
    assert sum(map(len, wanted)) > 10_000


@settings(max_examples=15, deadline=None)
@given(st.lists(filters(), min_size=1, max_size=8), st.lists(documents(), max_size=4), st.integers(900, 1_500))
def test_a_population_that_is_put_in_order(
    raw: list[dict[str, Any]], payloads: list[dict[str, Any]], more: int
) -> None:
    """What documents met before thousands of alerts came, and others got new places, is found out anew."""
    asked, events = parsed(raw), [event(payload) for payload in payloads]
    asked += [parse_filter({"AND": [{"n": number % 5}, {"a": {"gte": number}}]}) for number in range(more)]
    index: Percolator[int] = Percolator((), lambda number: Plan(asked[number].root))
    for number in range(len(asked)):
        assert index.add(number) == number
        if number % 300 == 0:
            assert answers(index, events) == [expected(asked, set(range(number + 1)), one) for one in events]
    wanted = [expected(asked, set(range(len(asked))), one) for one in events]
    assert answers(index, events) == wanted
    assert answers(percolator(asked), events) == wanted
    assert sorted(index.together()) == list(range(len(asked)))


bounds = st.one_of(st.integers(-20, 20), st.floats(-20, 20, width=16), st.sampled_from([2**53, 1e308, -1e308]))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(bounds, bounds), max_size=30),
    st.lists(st.one_of(bounds, st.sampled_from([2**53 + 1, 10**400, "a", True])), min_size=1, max_size=3),
    st.integers(0, 3),
)
def test_intervals(pairs: list[tuple[float, float]], values: list[Any], copies: int) -> None:
    path = parse_path("x")
    ordered = [(float(min(pair)), float(max(pair))) for pair in pairs] * (1 + 40 * copies)
    index = IntervalIndex("number")
    found: list[int] = []
    for number, (low, high) in enumerate(ordered):
        index.add(Interval(path, "number", low, high), number)
        if number % 97 == 0:
            index.find(values, [])
    index.find(values, found)
    kept = [value for value in values if type(value) in (int, float)]
    wanted = [n for n, (low, high) in enumerate(ordered) if kept and max(kept) >= low and min(kept) <= high]
    assert sorted(found) == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 9)), max_size=3_000), st.integers(1, 900))
def test_postings(pairs: list[tuple[int, int]], every: int) -> None:
    postings = Postings()
    keys = np.array([0, 3, 4_999, 77, 3, 100_000], dtype=np.int32)
    for at, (key, value) in enumerate(pairs, start=1):
        postings.add(key, value)
        if at % every == 0 or at == len(pairs):
            positions, values = postings.gather(keys)
            assert positions.tolist() == sorted(positions.tolist())
            found = sorted(zip(positions.tolist(), values.tolist(), strict=True))
            wanted = [(n, value) for n, asked in enumerate(keys.tolist()) for k, value in pairs[:at] if k == asked]
            assert found == sorted(wanted)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab", max_size=4), max_size=150), st.text("abc", max_size=30), st.integers(1, 40))
def test_substrings(parts: list[str], text: str, every: int) -> None:
    index = SubstringIndex()
    for number, part in enumerate(parts):
        index.add(part, number)
        if number % every == 0:
            found: list[int] = []
            index.find(text, found)
            assert sorted(found) == [n for n in range(number + 1) if parts[n] in text]


@pytest.mark.parametrize(
    ("pattern", "parts", "length"),
    [
        ("abc", ["abc"], 3),
        ("abc+d", ["abc"], 4),
        ("abcd?e", ["abc"], 4),
        ("abcd*", ["abc"], 3),
        ("abcd{0,3}ef", ["abc"], 5),
        ("a{2}bcd", ["bcd"], 5),
        (".{1000,}", [""], 1_000),
        (r"^a{b}$", ["b}"], 2),
        (r"\\System32\\calc\.exe$", [r"\System32\calc.exe"], 18),
        ("(foo|bar)bazz", ["bazz"], 4),
        ("foo|b?ars|(x|y)", ["foo", "ars", ""], 0),
        ("[abc]def[^]x]ghij", ["ghij"], 9),
        (r"\d+abcd\w\b", ["abcd"], 6),
        (r"\x41bcd", [""], 0),
        (r"\Qa*b\E", [""], 0),
        ("(?i)KeEp", ["KeEp"], 4),
    ],
)
def test_what_a_pattern_cannot_match_without(pattern: str, parts: list[str], length: int) -> None:
    found = [needed(alternative) for alternative in alternatives(pattern)]
    assert [need.part for need in found] == parts
    assert min(need.length for need in found) == length


pieces = st.sampled_from(
    ["a", "B", ".", "b?", "a*", "b+", "[ab]", "a{2}", "(a|b)", "(ab)?", "|", "^", "$", r"\.", r"\w", "{"]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=6).map("".join), st.text("abAB.{", max_size=8))
def test_what_matches_has_what_is_needed(pattern: str, text: str) -> None:
    try:
        found = re2.search(f"(?i){pattern}" if pattern else pattern, text)
    except re2.error:
        return
    if found:
        needs = [needed(alternative) for alternative in alternatives(pattern)]
        assert any(need.part.casefold() in text.casefold() and need.length <= len(text) for need in needs)


def test_what_values_meet_is_forgotten_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(met, "_MOST", 20)
    asked = [parse_filter({"AND": [{"a": n % 5}, {"b": {"gte": n}}]}) for n in range(40)]
    index = percolator(asked)
    for start in range(0, 300, 30):
        events = [event({"a": n % 6, "b": n % 45}) for n in range(start, start + 30)]
        assert answers(index, events) == [expected(asked, set(range(40)), one) for one in events]
