"""Places on the globe: the operators ``geo_radius``, ``geo_bounding_box`` and ``geo_polygon``.

A point of a document is ``{"lat": 59.3, "lon": 18.1}`` or ``[18.1, 59.3]`` (longitude first, as GeoJSON), in
degrees, latitude in [-90, 90], longitude in [-180, 180]; a list of points is fine, any may fit; anything else is
no point and fits nothing.

All shapes include their border. A radius is measured along the great circle of a sphere. The sides of boxes
and polygons are straight lines on the plane of longitude and latitude; a box whose left is greater than its
right, and a polygon's side, which goes the shorter way round, may cross the antimeridian.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias

from streams.engines.retrieval.filters.values import OperandError

EARTH_RADIUS: Final = 6_371_008.8
"""Metres: the mean radius of the Earth, IUGG (Moritz, "Geodetic Reference System 1980", 2000)."""
MAX_POINTS: Final = 10_000
"""Points of a polygon, all its rings together."""

Point: TypeAlias = tuple[float, float]
"""Latitude, longitude."""
Ring: TypeAlias = tuple[Point, ...]
"""Without a repeated last point. Longitudes run on past ±180 where the ring crosses the antimeridian."""
Circle: TypeAlias = tuple[float, float, float]
"""Latitude and longitude of the centre, metres."""
Box: TypeAlias = tuple[float, float, float, float]
"""Top, left, bottom, right."""


def points(values: Sequence[Any]) -> Iterator[Point]:
    """The points among a field's values and the elements of its arrays."""
    for value in values:
        found = _point(value)
        if found is not None:
            yield found
        elif type(value) is list:
            for item in value:
                found = _point(item)
                if found is not None:
                    yield found


def _point(value: Any) -> Point | None:
    lat: Any
    lon: Any
    if type(value) is dict:
        lat, lon = value.get("lat"), value.get("lon")
    elif type(value) is list and len(value) == 2:
        lon, lat = value
    else:
        return None
    if _within(lat, 90) and _within(lon, 180):
        return float(lat), float(lon)
    return None


def _within(value: Any, limit: int) -> bool:
    return (type(value) is float or type(value) is int) and -limit <= value <= limit


def read_circle(value: Any) -> Circle:
    """``{"center": {"lat", "lon"}, "radius": metres}``."""
    value = _object(value, "", ("center", "radius"))
    lat, lon = _read_point(value["center"], ".center")
    radius = value["radius"]
    if type(radius) not in (int, float) or not 0 <= radius < math.inf:
        raise OperandError("radius is a number of metres, not negative", ".radius")
    return lat, lon, float(min(radius, 1e9))


def in_circle(values: Sequence[Any], circle: Circle) -> bool:
    """Whether some point is at most the radius away."""
    lat, lon, radius = circle
    return any(distance(lat, lon, *point) <= radius for point in points(values))


def distance(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Metres along the great circle, by the haversine formula.

    R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984) 159.
    """
    half_lat = math.sin(math.radians(lat2 - lat1) / 2)
    half_lon = math.sin(math.radians(lon2 - lon1) / 2)
    square = half_lat**2 + math.cos(math.radians(lat1)) * math.cos(math.radians(lat2)) * half_lon**2
    return 2 * EARTH_RADIUS * math.asin(min(1.0, math.sqrt(square)))


def read_box(value: Any) -> Box:
    """``{"top_left": {"lat", "lon"}, "bottom_right": {"lat", "lon"}}``. One whose top is south of its bottom holds
    nothing."""
    value = _object(value, "", ("top_left", "bottom_right"))
    top, left = _read_point(value["top_left"], ".top_left")
    bottom, right = _read_point(value["bottom_right"], ".bottom_right")
    return top, left, bottom, right


def in_box(values: Sequence[Any], box: Box) -> bool:
    """Whether some point lies in the box or on its border."""
    top, left, bottom, right = box
    for lat, lon in points(values):
        if bottom <= lat <= top and any(
            left <= x <= right if left <= right else x >= left or x <= right for x in _twins(lon)
        ):
            return True
    return False


def _twins(lon: float) -> tuple[float, ...]:
    return (-180.0, 180.0) if abs(lon) == 180 else (lon,)


def read_polygon(value: Any) -> tuple[Ring, ...]:
    """``{"exterior": {"points": [{"lat", "lon"}, …]}, "interiors": [{"points": …}, …]}``, as the exterior and
    then the interiors."""
    value = _object(value, "", ("exterior",), ("interiors",))
    interiors = value.get("interiors")
    if interiors is None:
        interiors = []
    if type(interiors) is not list:
        raise OperandError("interiors is a list of rings", ".interiors")
    places = [(".exterior", value["exterior"])]
    places += [(f".interiors[{index}]", ring) for index, ring in enumerate(interiors)]
    rings = tuple(_read_ring(ring, where) for where, ring in places)
    if sum(map(len, rings)) > MAX_POINTS:
        raise OperandError(f"a polygon has at most {MAX_POINTS} points")
    return rings


def _read_ring(value: Any, where: str) -> Ring:
    raw = _object(value, where, ("points",))["points"]
    if type(raw) is not list or len(raw) > MAX_POINTS + 1:
        raise OperandError(f"points is a list of at most {MAX_POINTS} points", f"{where}.points")
    found = [_read_point(point, f"{where}.points[{index}]") for index, point in enumerate(raw)]
    if len(found) > 1 and found[0] == found[-1]:
        found.pop()
    if len(found) < 3:
        raise OperandError("a ring needs three points or more", f"{where}.points")
    ring = [found[0]]
    for lat, lon in found[1:]:
        ring.append((lat, lon + _turns(ring[-1][1], lon)))
    if ring[0][1] + _turns(ring[-1][1], ring[0][1]) != ring[0][1]:
        raise OperandError("the ring goes around a pole; cut it in two along a meridian", f"{where}.points")
    if _wide(found) and not any(_cross(ring[0], a, b) for a, b in pairwise(ring[1:])):
        raise OperandError(
            "the ring encloses nothing; a side goes the shorter way round, so one wider than 180 degrees "
            "needs points on its way",
            f"{where}.points",
        )
    return tuple(ring)


def _wide(corners: Sequence[Point]) -> bool:
    """Whether a side is as long either way round, or longer than it looks."""
    return any(abs(lon - before) >= 180 for (_, before), (_, lon) in pairwise([*corners, corners[0]]))


def _turns(before: float, lon: float) -> float:
    """What to add to a longitude so that the way from the one before is the shorter."""
    return 360.0 * round((before - lon) / 360)


def in_polygon(values: Sequence[Any], rings: Sequence[Ring]) -> bool:
    """Whether some point lies in the exterior, and within no interior; borders belong to the polygon."""
    exterior, *interiors = rings
    return any(
        _side(point, exterior) >= 0 and all(_side(point, hole) <= 0 for hole in interiors)
        for point in points(values)
    )


def _side(point: Point, ring: Ring) -> int:
    """1 inside the ring, 0 on it, -1 outside."""
    lat, lon = point
    return max(_planar_side((lat, lon + turn), ring) for turn in (-360.0, 0.0, 360.0))


def _planar_side(point: Point, ring: Ring) -> int:
    lat, lon = point
    inside = False
    before = ring[-1]
    for corner in ring:
        south, north = (before, corner) if before[0] <= corner[0] else (corner, before)
        if south[0] <= lat <= north[0]:
            turn = _cross(south, north, point)
            if turn == 0 and min(south[1], north[1]) <= lon <= max(south[1], north[1]):
                return 0
            # Half-open, so that a corner between two sides is counted once.
            if turn > 0 and lat < north[0]:
                inside = not inside
        before = corner
    return 1 if inside else -1


def _cross(a: Point, b: Point, c: Point) -> float:
    """Twice the area of a triangle; positive when ``c`` lies west of a line from ``a`` north to ``b``."""
    return (b[1] - a[1]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[1] - a[1])


def _object(value: Any, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OperandError(f"expected an object with {' and '.join(needed)}", where)
    for name in needed:
        if name not in value:
            raise OperandError(f"{name} is missing", where)
    extra = [str(name) for name in value if name not in needed and name not in optional]
    if extra:
        raise OperandError(f"unknown: {', '.join(sorted(extra))}", where)
    return value


def _read_point(value: Any, where: str) -> Point:
    value = _object(value, where, ("lat", "lon"))
    for name, limit in (("lat", 90), ("lon", 180)):
        if not _within(value[name], limit):
            raise OperandError(f"{name} is a number of degrees from -{limit} to {limit}", f"{where}.{name}")
    return float(value["lat"]), float(value["lon"])
