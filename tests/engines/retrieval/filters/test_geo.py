"""Places, against plain references that share no code: vectors on the sphere, and exact winding numbers."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streams.engines.retrieval.errors import FilterError
from streams.engines.retrieval.filters.geo import EARTH_RADIUS, distance
from streams.engines.retrieval.filters.parse import matches, parse_filter

Pair = tuple[float, float]

lats = st.floats(-90, 90)
lons = st.floats(-180, 180)


def asks(operator: str, value: Any, point: Any) -> bool:
    return matches(parse_filter({"field": "at", "operator": operator, "value": value}), {"at": point})


def spot(lat: float, lon: float) -> dict[str, float]:
    return {"lat": lat, "lon": lon}


def ring(*corners: Pair) -> dict[str, Any]:
    return {"points": [spot(lat, lon) for lat, lon in corners]}


def angle_between(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """By vectors: atan2 of the cross and the dot product."""

    def vector(lat: float, lon: float) -> tuple[float, float, float]:
        a, b = math.radians(lat), math.radians(lon)
        return math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)

    (x1, y1, z1), (x2, y2, z2) = vector(lat1, lon1), vector(lat2, lon2)
    cross = (y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)
    return math.atan2(math.hypot(*cross), x1 * x2 + y1 * y2 + z1 * z2)


@given(lats, lons, lats, lons)
def test_distance(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    expected = EARTH_RADIUS * angle_between(lat1, lon1, lat2, lon2)
    # Half a metre on half way round the globe, where the haversine is at its worst.
    assert distance(lat1, lon1, lat2, lon2) == pytest.approx(expected, rel=1e-9, abs=0.5)


def test_known_distances() -> None:
    assert distance(59.33, 18.07, 59.33, 18.07) == 0
    assert distance(0, 0, 0, 180) == pytest.approx(math.pi * EARTH_RADIUS)
    assert distance(0, 179.5, 0, -179.5) == pytest.approx(math.radians(1) * EARTH_RADIUS)
    assert distance(90, 10, 90, -120) == pytest.approx(0, abs=1e-6)
    assert distance(48.8566, 2.3522, 51.5074, -0.1278) == pytest.approx(343_556, abs=100)  # Paris to London


@given(lats, lons, lats, lons, st.floats(0, 2.1e7))
def test_radius(lat1: float, lon1: float, lat2: float, lon2: float, radius: float) -> None:
    exact = EARTH_RADIUS * angle_between(lat1, lon1, lat2, lon2)
    assume(abs(exact - radius) > 1)
    value = {"center": spot(lat1, lon1), "radius": radius}
    assert asks("geo_radius", value, spot(lat2, lon2)) is (exact <= radius)
    assert asks("geo_radius", value, [lon2, lat2]) is (exact <= radius)
    assert asks("geo_radius", value, ["x", [lon2, lat2], None]) is (exact <= radius)


@given(st.integers(-9, 9), st.integers(-18, 18), st.integers(-9, 9), st.integers(-18, 18), st.data())
def test_box(lat1: int, lon1: int, lat2: int, lon2: int, data: st.DataObject) -> None:
    top, bottom = max(lat1, lat2) * 10, min(lat1, lat2) * 10
    left, right = lon1 * 10, lon2 * 10
    lat, lon = data.draw(st.integers(-9, 9)) * 10, data.draw(st.integers(-18, 18)) * 10
    # Walk east from the left side; 360 degrees only where the box says so.
    width = right - left if right >= left else right - left + 360
    east = any(left <= lon + turn <= left + width for turn in (-360, 0, 360))
    value = {"top_left": spot(top, left), "bottom_right": spot(bottom, right)}
    assert asks("geo_bounding_box", value, spot(lat, lon)) is (bottom <= lat <= top and east)


def winding(lat: Fraction, lon: Fraction, corners: list[tuple[Fraction, Fraction]]) -> int | None:
    """Times a ring goes around a point, exactly; ``None`` on the border.

    D. Sunday, "Inclusion of a Point in a Polygon" (2001).
    """
    turns = 0
    for (y1, x1), (y2, x2) in zip(corners, corners[1:] + corners[:1], strict=True):
        left = (x2 - x1) * (lat - y1) - (lon - x1) * (y2 - y1)
        if left == 0 and min(x1, x2) <= lon <= max(x1, x2) and min(y1, y2) <= lat <= max(y1, y2):
            return None
        if y1 <= lat < y2 and left > 0:
            turns += 1
        if y2 <= lat < y1 and left < 0:
            turns -= 1
    return turns


grid = st.tuples(st.integers(-20, 20), st.integers(-20, 20)).map(lambda p: (p[0] / 2, p[1] / 2))


def shifted(corners: list[Pair], by: float) -> list[Pair]:
    """The same corners further east, with longitudes that a document may have."""
    return [(lat, (lon + by + 180) % 360 - 180) for lat, lon in corners]


@settings(max_examples=500)
@given(
    st.lists(grid, min_size=3, max_size=7, unique=True),
    st.one_of(st.none(), st.lists(grid, min_size=3, max_size=4, unique=True)),
    st.lists(grid, min_size=1, max_size=8),
    st.sampled_from([0, 100, 175, 180, -175]),
    st.booleans(),
)
def test_polygon(outer: list[Pair], hole: list[Pair] | None, spots: list[Pair], east: int, closed: bool) -> None:
    exact = [[(Fraction(lat), Fraction(lon)) for lat, lon in corners] for corners in (outer, hole or [])]
    value: dict[str, Any] = {"exterior": ring(*shifted(outer + outer[:1] if closed else outer, east))}
    if hole:
        value["interiors"] = [ring(*shifted(hole, east))]
    if any(_flat(corners) for corners in exact if corners):
        # It holds its border at most; that it is read is all there is to say.
        for lat, lon in spots:
            asks("geo_polygon", value, spot(lat, shifted([(lat, lon)], east)[0][1]))
        return
    for lat, lon in spots:
        turns = winding(Fraction(lat), Fraction(lon), exact[0])
        inner = winding(Fraction(lat), Fraction(lon), exact[1]) if hole else 0
        # Even-odd: a ring that crosses itself encloses what it goes around an odd number of times.
        expected = (turns is None or turns % 2 == 1) and (inner is None or inner % 2 == 0)
        ((_, far),) = shifted([(lat, lon)], east)
        assert asks("geo_polygon", value, spot(lat, far)) is expected


def _flat(corners: list[tuple[Fraction, Fraction]]) -> bool:
    (y0, x0), (y1, x1) = corners[:2]
    return all((x1 - x0) * (y - y0) == (x - x0) * (y1 - y0) for y, x in corners)


def test_what_is_upside_down_or_flat_holds_nothing() -> None:
    turned = {"top_left": spot(0, 0), "bottom_right": spot(1, 1)}
    flat = {"exterior": ring((0, 0), (1, 1), (2, 2))}
    for place in (spot(0.5, 0.5), spot(0, 1), spot(5, 5)):
        assert not asks("geo_bounding_box", turned, place)
    assert asks("geo_polygon", flat, spot(1, 1))
    assert not asks("geo_polygon", flat, spot(1, 0.5))


def test_polygon_over_the_antimeridian() -> None:
    fiji = {"exterior": ring((-10, 170), (-10, -170), (-20, -170), (-20, 170))}
    assert asks("geo_polygon", fiji, spot(-15, 179))
    assert asks("geo_polygon", fiji, spot(-15, -179))
    assert asks("geo_polygon", fiji, spot(-15, 180))
    assert asks("geo_polygon", fiji, spot(-15, -180))
    assert not asks("geo_polygon", fiji, spot(-15, 0))


@pytest.mark.parametrize(
    "point",
    [
        *(
            None,
            True,
            1,
            "59,18",
            {},
            {"lat": 1},
            {"lat": None, "lon": 1},
            {"lat": "1", "lon": "1"},
            [],
            [1],
            [1, 2, 3],
        ),
        *(
            [True, 1],
            {"lat": 90.1, "lon": 0},
            {"lat": 0, "lon": 180.5},
            [0, 91],
            [float("nan"), 0],
            [0, float("inf")],
        ),
        *({"lat": float("nan"), "lon": 0}, {"lat": 10**400, "lon": 0}, [[[0, 0]]], {"lat": [0], "lon": [0]}),
    ],
    ids=str,
)
def test_what_is_no_point_is_nowhere(point: Any) -> None:
    assert not asks("geo_radius", {"center": spot(0, 0), "radius": 1e12}, point)
    assert not asks("geo_bounding_box", {"top_left": spot(90, -180), "bottom_right": spot(-90, 180)}, point)
    half = {"exterior": ring((-90, -90), (90, -90), (90, 90), (-90, 90))}
    assert not asks("geo_polygon", half, point)
    assert asks("geo_polygon", half, [point, [0, 0]])


SQUARE = ring((0, 0), (0, 1), (1, 1))


@pytest.mark.parametrize(
    ("operator", "value", "place", "says"),
    [
        ("geo_radius", 3, "", "an object with center and radius"),
        ("geo_radius", {"center": spot(0, 0)}, "", "radius is missing"),
        ("geo_radius", {"center": [0, 0], "radius": 1}, ".center", "lat and lon"),
        ("geo_radius", {"center": spot(91, 0), "radius": 1}, ".center.lat", "-90 to 90"),
        ("geo_radius", {"center": {"lat": 1, "lon": "1"}, "radius": 1}, ".center.lon", "-180 to 180"),
        ("geo_radius", {"center": {"lat": float("nan"), "lon": 1}, "radius": 1}, ".center.lat", "degrees"),
        ("geo_radius", {"center": spot(0, 0), "radius": -1}, ".radius", "not negative"),
        ("geo_radius", {"center": spot(0, 0), "radius": True}, ".radius", "metres"),
        ("geo_radius", {"center": spot(0, 0), "radius": float("inf")}, ".radius", "metres"),
        ("geo_radius", {"center": spot(0, 0), "radius": 1, "unit": "km"}, "", "unknown: unit"),
        ("geo_bounding_box", {"top_left": spot(0, 0)}, "", "bottom_right is missing"),
        ("geo_polygon", {"exterior": []}, ".exterior", "points"),
        ("geo_polygon", {"exterior": {"points": 1}}, ".exterior.points", "a list"),
        ("geo_polygon", {"exterior": ring((0, 0), (1, 1), (0, 0))}, ".exterior.points", "three points"),
        ("geo_polygon", {"exterior": SQUARE, "interiors": {}}, ".interiors", "a list of rings"),
        ("geo_polygon", {"exterior": SQUARE, "interiors": [SQUARE, {}]}, ".interiors[1]", "points is missing"),
        ("geo_polygon", {"exterior": ring((0, 0), (1, 1), (2, 200))}, ".exterior.points[2].lon", "180"),
        ("geo_polygon", {"exterior": ring((80, 0), (80, 120), (80, -120))}, ".exterior.points", "pole"),
        (
            "geo_polygon",
            {"exterior": ring((-90, -180), (-90, 180), (90, 180), (90, -180))},
            ".exterior.points",
            "shorter way",
        ),
    ],
)
def test_refusals_name_the_place(operator: str, value: Any, place: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter({"AND": [{"field": "at", "operator": operator, "value": value}]})
    assert caught.value.place == f"filter.AND[0].value{place}"
    assert says in caught.value.problem


def test_polygons_are_limited() -> None:
    corners = [(math.sin(n / 2000) * 50, math.cos(n / 2000) * 50) for n in range(12_000)]
    assert not asks("geo_polygon", {"exterior": ring(*corners[:9_000])}, spot(80, 0))
    for value in (
        {"exterior": ring(*corners)},
        {"exterior": ring(*corners[:6_000]), "interiors": [ring(*corners[:5_000])]},
    ):
        with pytest.raises(FilterError, match="10000 points"):
            asks("geo_polygon", value, spot(0, 0))


def test_equal_shapes_are_equal() -> None:
    first = {"field": "at", "operator": "geo_polygon", "value": {"exterior": ring((0, 0), (0, 1), (1, 1), (0, 0))}}
    again = {"field": "at", "operator": "geo_polygon", "value": {"exterior": SQUARE, "interiors": []}}
    assert parse_filter(first) == parse_filter({**again, "case_sensitive": True})
    assert hash(parse_filter(first)) == hash(parse_filter(again))
