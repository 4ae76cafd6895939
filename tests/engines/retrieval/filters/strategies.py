"""Random filters over every operator, and documents that they often hit; for tests of anything that evaluates
filters."""

from typing import Any

from hypothesis import strategies as st

from streams.engines.retrieval.filters.operators import NAMES

FIELDS = ("x", "y", "x.y", "x.0", "y.x.y", "text", "metadata.x", "place", "missing")
"""Paths filters ask for; documents have most of them, in several shapes."""

_TEXTS = (
    *("a", "A", "ab", "aB c", "b", "c", "flu", "Flu", "Flu shot", "flu shots", "The flu, shot down", "shot flu"),
    *(
        "don't",
        "DON’T panic",
        "U.S. dollar",
        "442,000 dollars",
        "snake_case 3.5",
        "drinking",
        "He drinks.",
        "running",
    ),
    *("straße", "STRASSE", "Straße", "İstanbul", "istanbul", "ΟΔΟΣ", "οδος", "οδοσ", "naïve Café", "CAFÉ"),
    *(
        "流感 Flu",
        "流感",
        "コロナ",
        "שלום",
        "😀 flu",
        "flu\nshot",
        "",
        " ",
        "-",
        "_",
        "\x00a",
        "a.b",
        "x@y.z",
        "1",
        "10",
        "2.5",
    ),
)
_DATES = (
    *("2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-01 00:00:00.5", "2023-12-31"),
    *("2024-01-01t00:00z", "20240101T000000Z", "2024-02-30", "2024", "20240101", "2024-01-01T00"),
)
_NUMBERS = (0, 1, -1, 1.0, 2.5, -3, 10, 10**20, 10**400, 0.1, -0.0, 1e308)
_LATS = (0, 10, 10.5, 45.0, -45, 90, -90)
_LONS = (0, 10, 20, 20.0, 170, 180, -180, -170, -10.5)


def texts() -> st.SearchStrategy[str]:
    """Strings that meet often."""
    return st.sampled_from(_TEXTS)


def numbers() -> st.SearchStrategy[int | float]:
    """Numbers that meet often, huge ones among them."""
    return st.sampled_from(_NUMBERS)


def dates() -> st.SearchStrategy[str]:
    """Dates and datetimes of several forms, and what only looks like one."""
    return st.sampled_from(_DATES)


def scalars() -> st.SearchStrategy[Any]:
    """Any scalar of JSON."""
    return st.one_of(texts(), numbers(), dates(), st.booleans(), st.none())


def points() -> st.SearchStrategy[dict[str, Any]]:
    """A place as an object."""
    return st.fixed_dictionaries({"lat": st.sampled_from(_LATS), "lon": st.sampled_from(_LONS)})


def places() -> st.SearchStrategy[Any]:
    """A place as documents write it, rightly or wrongly."""
    pairs = st.tuples(st.sampled_from(_LONS), st.sampled_from(_LATS)).map(list)
    wrong = st.sampled_from(
        [{"lat": 91, "lon": 0}, {"lat": "1", "lon": 1}, {"lat": True, "lon": 0}, [1], [1, 2, 3], [None, 1]]
    )
    one = st.one_of(points(), pairs, wrong)
    return st.one_of(one, st.lists(one, max_size=3))


def _boxes() -> st.SearchStrategy[dict[str, Any]]:
    def upright(corners: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
        first, second = corners
        if first["lat"] < second["lat"]:
            first, second = second, first
        return {"top_left": first, "bottom_right": second}

    return st.tuples(points(), points()).map(upright)


_POLYGONS = (
    [(0, 0), (20, 0), (20, 20), (0, 20)],
    [(5, -11), (15, 25), (11, 0)],
    [(-50, 165), (50, 165), (50, -165), (-50, -165)],
)
_HOLE = {"points": [{"lat": lat, "lon": lon} for lat, lon in ((9, 9), (11, 9), (11, 11), (9, 11))]}


def _polygons() -> st.SearchStrategy[dict[str, Any]]:
    rings = st.sampled_from(_POLYGONS).map(
        lambda ring: {"points": [{"lat": lat, "lon": lon} for lat, lon in ring]}
    )
    return st.fixed_dictionaries({"exterior": rings}, optional={"interiors": st.sampled_from([[], [_HOLE]])})


def _values() -> dict[str, st.SearchStrategy[Any]]:
    """What each operator takes."""
    lists = st.lists(scalars(), max_size=3)
    bounds = st.one_of(texts(), numbers(), dates())
    words = st.sampled_from(
        [text for text in _TEXTS if any(char.isalnum() for char in text)]
        + ["flu shot", "drink", "case", "the FLU", "run"]
    )
    patterns = ["a+b", "^f", "S$", ".", "flu.shot", "[0-9]+", r"\bflu\b", "(a|b)*c", "(?i)FLU", "é", "^$", r"\pL"]
    return {
        **dict.fromkeys(("eq", "ne"), st.one_of(scalars(), lists)),
        **dict.fromkeys(("in", "nin"), lists),
        **dict.fromkeys(("gt", "gte", "lt", "lte"), bounds),
        "contains": st.one_of(texts(), numbers(), st.booleans()),
        **dict.fromkeys(
            ("starts_with", "ends_with", "text"), st.one_of(texts(), st.sampled_from(["f", "t", "u s", "É"]))
        ),
        "regex": st.sampled_from(patterns),
        **dict.fromkeys(("phrase", "words"), words),
        **dict.fromkeys(("exists", "is_null"), st.booleans()),
        "geo_radius": st.fixed_dictionaries(
            {"center": points(), "radius": st.sampled_from([0, 1, 1_000_000, 2_500_000.5, 30_000_000])}
        ),
        "geo_bounding_box": _boxes(),
        "geo_polygon": _polygons(),
    }


def conditions(*operators: str, fields: tuple[str, ...] = FIELDS) -> st.SearchStrategy[dict[str, Any]]:
    """A condition with one of the operators; with any where none is named."""
    values = _values()

    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {"field": st.sampled_from(fields), "operator": st.just(name), "value": values[name]},
            optional={"case_sensitive": st.booleans()},
        )

    return st.one_of(*(of(name) for name in operators or NAMES))


def filters(*operators: str, max_leaves: int = 6) -> st.SearchStrategy[dict[str, Any]]:
    """A valid filter: conditions, nests of AND, OR and NOT with case flags, shorthand."""
    shorthand = st.dictionaries(
        st.sampled_from(FIELDS), st.one_of(scalars(), st.lists(scalars(), max_size=2)), max_size=2
    )
    leaves = (
        conditions(*operators) if operators else st.one_of(conditions(), conditions(), conditions(), shorthand)
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(st.sampled_from(["AND", "OR", "NOT"]), st.lists(inner, max_size=3), min_size=1),
            st.fixed_dictionaries(
                {"AND": st.lists(inner, min_size=1, max_size=3)}, optional={"case_sensitive": st.booleans()}
            ),
            st.fixed_dictionaries({"NOT": inner}),
        ),
        max_leaves=max_leaves,
    ).filter(_shallow)


def _shallow(raw: Any, levels: int = 9) -> bool:
    if isinstance(raw, dict):
        return levels > 0 and all(_shallow(raw[key], levels - 1) for key in ("AND", "OR", "NOT") if key in raw)
    return not isinstance(raw, list) or all(_shallow(item, levels) for item in raw)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """The root fields of a document: JSON with the paths of FIELDS in many shapes."""
    leaves = st.one_of(scalars(), texts(), st.lists(texts(), max_size=3), places())
    values = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["x", "y", "x.y", "0"]), inner, max_size=2),
        ),
        max_leaves=5,
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "x": values,
            "y": values,
            "x.y": values,
            "text": texts(),
            "metadata": st.fixed_dictionaries({}, optional={"x": values}),
            "place": places(),
            "payload": st.one_of(scalars(), st.fixed_dictionaries({}, optional={"x": values, "text": texts()})),
        },
    )
