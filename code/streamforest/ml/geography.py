"""Where airports are, and how far apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

EARTH_RADIUS_MILES = 3_958.8
"""Of a sphere with the mean radius, 6,371 km; no two points are further off by more than half a percent."""


class Place(NamedTuple):
    """A point on earth, in degrees."""

    latitude: float
    longitude: float


@cache
def airports() -> Mapping[str, Place]:
    """Places of all airports that have an IATA code, by code (``airportsdata``, MIT)."""
    import airportsdata

    return {code: Place(each["lat"], each["lon"]) for code, each in airportsdata.load("IATA").items()}


def great_circle_miles(one: Place, other: Place) -> float:
    """The shortest way over a sphere, by the haversine formula."""
    phi_1, phi_2 = math.radians(one.latitude), math.radians(other.latitude)
    d_phi, d_lambda = phi_2 - phi_1, math.radians(other.longitude - one.longitude)
    a = math.sin(d_phi / 2) ** 2 + math.cos(phi_1) * math.cos(phi_2) * math.sin(d_lambda / 2) ** 2
    return 2 * EARTH_RADIUS_MILES * math.asin(min(1.0, math.sqrt(a)))
