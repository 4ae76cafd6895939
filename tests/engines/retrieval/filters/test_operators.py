"""The operator table of the contract (section 5), row by row."""

from typing import Any

import pytest

from streams.engines.retrieval.filters.operators import NAMES
from streams.engines.retrieval.filters.parse import matches, parse_filter

DOCUMENT: dict[str, Any] = {
    "title": "Storm over Malmö",
    "count": 5,
    "ratio": 0.5,
    "flag": True,
    "zero": 0,
    "nothing": None,
    "empty": [],
    "tags": ["Health", "news", 7, None],
    "nested": [["a", "b"], "c"],
    "day": "2024-05-01",
    "at": "2024-05-01T12:00:00+02:00",
    "numeric": "10",
    "people": [{"name": "Ann", "age": 30}, {"name": "Bo"}, {"name": None}],
    "a.b": "dotted",
    "a": {"b": "walked", "c": {"d": 1}},
    "habits": "She drinks, and he was DRINKING, happy",
    "object": {"x": 1},
    "nulls": [{"v": None}, {"v": None}],
    "mixed": [1, None],
    "quote": "Don’t sell 442,000 shares of U.S. stock, 3.5 each; the dogs' kennel",
    "lines": "first line\nsecond line",
    "huge": 10**400,
    "odd": [float("nan"), float("inf"), "\ud800"],
    "city": {"lat": 59.33, "lon": 18.07},
    "stops": [[11.97, 57.71], [12.57, 55.68], "none"],
    "fiji": {"lat": -17.8, "lon": 178.0},
    "wrong": [{"lat": 91, "lon": 0}, [181, 0], ["1", "2"], {"lat": True, "lon": 1}, [1, 2, 3], {"lat": 1}, []],
    "list": [[{"v": 1}], {"v": [2, {"w": 3}]}],
}

HOLDS: list[tuple[str, str, Any]] = [
    ("title", "eq", "storm over malmö"),
    ("count", "eq", 5.0),
    ("flag", "eq", True),
    ("zero", "eq", 0),
    ("tags", "eq", "health"),
    ("tags", "eq", 7),
    ("tags", "eq", ["health", "NEWS", 7, None]),
    ("nested", "eq", ["A", "b"]),
    ("nothing", "eq", None),
    ("missing", "eq", None),
    ("empty", "eq", []),
    ("title", "ne", "calm"),
    ("missing", "ne", "x"),
    ("count", "ne", "5"),
    ("flag", "ne", 1),
    ("zero", "ne", False),
    ("count", "ne", None),
    ("count", "gt", 4),
    ("count", "gte", 5),
    ("ratio", "lt", 1),
    ("ratio", "lte", 0.5),
    ("tags", "gt", 6),
    ("title", "gt", "STORM"),
    ("day", "gte", "2024-05-01T00:00:00Z"),
    ("day", "lt", "2024-05-01T00:00:01Z"),
    ("at", "lte", "2024-05-01T10:00:00Z"),
    ("at", "gte", "2024-05-01T10:00:00Z"),
    ("at", "gt", "2024-05-01"),
    ("people.age", "gt", 20),
    ("count", "in", [1, 5]),
    ("tags", "in", ["NEWS"]),
    ("missing", "in", [None]),
    ("count", "nin", [1, 2]),
    ("missing", "nin", [1]),
    ("count", "nin", []),
    ("title", "contains", "over MAL"),
    ("title", "contains", ""),
    ("tags", "contains", "news"),
    ("tags", "contains", 7),
    ("title", "starts_with", "STORM"),
    ("tags", "starts_with", "hea"),
    ("title", "ends_with", "MÖ"),
    ("title", "regex", "st.rm.*over"),
    ("tags", "regex", "^ne"),
    ("title", "exists", True),
    ("nothing", "exists", True),
    ("missing", "exists", False),
    ("people.age", "exists", True),
    ("nothing", "is_null", True),
    ("missing", "is_null", True),
    ("nulls.v", "is_null", True),
    ("people.name", "is_null", False),
    ("title", "is_null", False),
    ("empty", "is_null", False),
    ("title", "text", "STORM OVER"),
    ("tags", "text", "ealt"),
    ("title", "phrase", "over malmö"),
    ("habits", "phrase", "drinks and he"),
    ("habits", "words", "drink"),
    ("habits", "words", "happiness drinking he"),
    ("people.name", "eq", "bo"),
    ("people.0.name", "eq", "Ann"),
    ("people.1.name", "eq", "Bo"),
    ("tags.2", "eq", 7),
    ("a.b", "eq", "dotted"),
    ("a.c.d", "eq", 1),
    ("list.v", "eq", 2),
    ("list.v.w", "eq", 3),
    ("list.v.1.w", "exists", True),
    ("list.0.v", "eq", 1),
    ("mixed", "eq", [1, None]),
    ("mixed", "ne", None),
    ("mixed", "nin", [None]),
    ("missing", "in", [1, None]),
    ("nothing", "in", [None, 1]),
    ("count", "nin", [None]),
    ("nothing", "ne", 0),
    ("huge", "gt", 1e308),
    ("huge", "eq", 10**400),
    ("huge", "gte", 10**400),
    ("odd", "gt", 10**400),
    ("odd", "ne", 1),
    ("at", "eq", "2024-05-01t12:00:00+02:00"),
    ("day", "in", ["2024-05-01"]),
    ("at", "lte", "20240501T100000Z"),
    ("at", "gte", "2024-05-01 10"),
    ("title", "eq", "STORM OVER MALMÖ"),
    ("title", "regex", "(?-i)Storm"),
    ("lines", "regex", "line\nsecond"),
    ("lines", "regex", "first.line"),
    ("lines", "regex", "(?s)first.*second"),
    ("lines", "regex", "(?m)^second"),
    ("quote", "phrase", "don’t SELL"),
    ("quote", "phrase", "u.s"),
    ("quote", "phrase", "of u.s. stock -- 3.5"),
    ("quote", "phrase", "442,000"),
    ("quote", "words", "dog share stocks selling"),
    ("tags", "phrase", "news"),
    ("tags", "words", "HEALTHS"),
    ("nested", "contains", "C"),
    ("city", "geo_radius", {"center": {"lat": 59, "lon": 18}, "radius": 40_000}),
    ("city", "geo_radius", {"center": {"lat": 59.33, "lon": 18.07}, "radius": 0}),
    ("stops", "geo_radius", {"center": {"lat": 55.6, "lon": 13}, "radius": 50_000}),
    ("fiji", "geo_radius", {"center": {"lat": -17, "lon": -179}, "radius": 400_000}),
    (
        "stops",
        "geo_bounding_box",
        {"top_left": {"lat": 56, "lon": 12}, "bottom_right": {"lat": 55.68, "lon": 12.57}},
    ),
    (
        "fiji",
        "geo_bounding_box",
        {"top_left": {"lat": -10, "lon": 170}, "bottom_right": {"lat": -20, "lon": -170}},
    ),
    (
        "city",
        "geo_polygon",
        {"exterior": {"points": [{"lat": 59, "lon": 18}, {"lat": 60, "lon": 18}, {"lat": 59, "lon": 19}]}},
    ),
    ("wrong.2", "ne", 3),
]

FAILS: list[tuple[str, str, Any]] = [
    ("title", "eq", "storm"),
    ("flag", "eq", 1),
    ("zero", "eq", False),
    ("count", "eq", "5"),
    ("tags", "eq", ["health"]),
    ("tags", "eq", None),
    ("empty", "eq", None),
    ("object", "eq", "x"),
    ("tags", "ne", "NEWS"),
    ("missing", "ne", None),
    ("count", "gt", 5),
    ("numeric", "gt", 5),
    ("count", "gt", "1"),
    ("flag", "gte", 0),
    ("missing", "lt", 100),
    ("count", "lte", 4.9),
    ("nothing", "lt", 100),
    ("title", "lt", "2024-01-01"),
    ("day", "gt", "2024-05-01"),
    ("count", "in", []),
    ("missing", "in", ["x"]),
    ("title", "in", ["storm"]),
    ("missing", "nin", [None]),
    ("tags", "nin", ["news"]),
    ("tags", "contains", "ew"),
    ("count", "contains", "5"),
    ("count", "contains", 5),
    ("missing", "contains", ""),
    ("title", "starts_with", "over"),
    ("title", "ends_with", "storm"),
    ("count", "starts_with", "5"),
    ("title", "regex", "^over"),
    ("missing", "regex", ".*"),
    ("missing", "exists", True),
    ("people.height", "exists", True),
    ("nothing", "exists", False),
    ("title", "is_null", True),
    ("nothing", "is_null", False),
    ("missing", "is_null", False),
    ("title", "text", "calm"),
    ("missing", "text", ""),
    ("title", "phrase", "over malm"),
    ("title", "phrase", "malmö over"),
    ("habits", "words", "drink water"),
    ("habits", "words", "hap"),
    ("tags.9", "exists", True),
    ("people.3", "exists", True),
    ("title.x", "exists", True),
    ("list.v.w", "eq", 1),
    ("list.1", "exists", False),
    ("mixed", "is_null", True),
    ("mixed", "in", [None]),
    ("count", "in", [None, "5"]),
    ("nothing", "nin", [None]),
    ("huge", "lt", 1e308),
    ("odd", "eq", float(2)),
    ("odd", "lt", 10**400),
    ("odd", "text", "d"),
    ("odd", "regex", "."),
    ("odd", "words", "d"),
    ("numeric", "eq", 10),
    ("numeric", "in", [10]),
    ("numeric", "lte", 10),
    ("count", "contains", "5"),
    ("flag", "contains", True),
    ("flag", "in", [1, "true"]),
    ("flag", "text", "true"),
    ("object", "contains", "x"),
    ("object", "exists", False),
    ("at", "gt", "2024-05-01T10:00:00.000001Z"),
    ("title", "regex", "(?-i)STORM"),
    ("lines", "regex", "line.second"),
    ("lines", "regex", "line$.*x"),
    ("lines", "regex", "first line$"),
    ("quote", "phrase", "sell 442"),
    ("quote", "phrase", "don"),
    ("quote", "phrase", "shares u.s"),
    ("quote", "phrase", "share"),
    ("quote", "words", "sell bonds"),
    ("nested", "contains", "a"),
    ("city", "geo_radius", {"center": {"lat": 59, "lon": 18}, "radius": 30_000}),
    ("city.lat", "geo_radius", {"center": {"lat": 59, "lon": 18}, "radius": 30_000_000}),
    ("wrong", "geo_radius", {"center": {"lat": 59, "lon": 18}, "radius": 30_000_000}),
    ("stops", "geo_bounding_box", {"top_left": {"lat": 56, "lon": 12.58}, "bottom_right": {"lat": 55, "lon": 13}}),
    (
        "fiji",
        "geo_bounding_box",
        {"top_left": {"lat": -10, "lon": -170}, "bottom_right": {"lat": -20, "lon": 170}},
    ),
    (
        "city",
        "geo_polygon",
        {"exterior": {"points": [{"lat": 60, "lon": 19}, {"lat": 60, "lon": 18}, {"lat": 59, "lon": 19}]}},
    ),
]


def condition(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize("raw", HOLDS, ids=str)
def test_holds(raw: tuple[str, str, Any]) -> None:
    assert matches(parse_filter(condition(*raw)), DOCUMENT)
    assert not matches(parse_filter({"NOT": [condition(*raw)]}), DOCUMENT)


@pytest.mark.parametrize("raw", FAILS, ids=str)
def test_fails(raw: tuple[str, str, Any]) -> None:
    assert not matches(parse_filter(condition(*raw)), DOCUMENT)
    assert matches(parse_filter({"NOT": [condition(*raw)]}), DOCUMENT)


def test_every_operator_is_in_the_table() -> None:
    assert {row[1] for row in HOLDS} == {row[1] for row in FAILS} == set(NAMES)


@pytest.mark.parametrize(
    ("operator", "value", "sensitive"),
    [
        ("eq", "STORM over Malmö", False),
        ("in", ["STORM over Malmö"], False),
        ("contains", "OVER", False),
        ("starts_with", "storm", False),
        ("ends_with", "malmö", False),
        ("regex", "STORM", False),
        ("phrase", "storm OVER", True),  # nor do the operators on words
        ("words", "STORMS", True),
        ("in", ["Storm over Malmö"], True),
        ("starts_with", "Storm", True),
        ("ends_with", "Malmö", True),
        ("contains", "MALMÖ", False),
        ("text", "STORM", True),  # text never minds case
        ("eq", "Storm over Malmö", True),
        ("contains", "Storm", True),
        ("regex", "Storm", True),
        ("gte", "Storm over Malmö", True),
        ("gt", "Storm over Malmö", False),
    ],
)
def test_case_sensitive(operator: str, value: Any, sensitive: bool) -> None:
    raw = {**condition("title", operator, value), "case_sensitive": True}
    assert matches(parse_filter(raw), DOCUMENT) is sensitive


def test_payload_is_tried_after_the_root() -> None:
    document = {"payload": {"lang": "en", "x": {"y": 1}}, "x": {"y": 2}}
    assert matches(parse_filter({"lang": "en", "x.y": 2}), document)
    assert not matches(parse_filter({"x.y": 1}), document)


def test_deep_documents_are_no_danger() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    nested: Any = {"a": 1}
    for _ in range(900):
        nested = {"a": nested}
    document = {"deep": deep, "a": nested}
    assert not matches(parse_filter(condition("deep", "eq", ["x"])), document)
    assert not matches(parse_filter(condition("deep", "contains", "x")), document)
    assert matches(parse_filter(condition(".".join(["a"] * 30), "exists", True)), document)
