"""Distances of pairs of airports, as the store holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import TypedDict

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest.ml import geography


class Distance(TypedDict):
    """One pair in one direction, with the reference's names; ``GreatCircle`` where no flight told the distance."""

    Origin: str
    Dest: str
    Distance: float
    GreatCircle: bool


def distances(flights: DataFrame) -> Iterator[Distance]:
    """All pairs of the airports that the flights (columns of RAW) connect, as :func:`completed` gives them.

    A pair that was flown has the median of what its flights say.
    """
    told = flights.groupBy("Origin", "Dest").agg(F.median("Distance").alias("miles")).where("miles is not null")
    yield from completed({(row["Origin"], row["Dest"]): float(row["miles"]) for row in told.collect()})


def completed(known: Mapping[tuple[str, str], float]) -> Iterator[Distance]:
    """All pairs of the airports in ``known`` (miles by pair), ordered by codes.

    For a pair that is not known the great circle is computed, where both airports are in ``airportsdata``; a pair with
    one that is not is left out.
    """
    places = geography.airports()
    for pair in permutations(sorted({code for each in known for code in each}), 2):
        origin, dest = pair
        if pair in known:
            yield Distance(Origin=origin, Dest=dest, Distance=known[pair], GreatCircle=False)
        elif origin in places and dest in places:
            miles = geography.great_circle_miles(places[origin], places[dest])
            yield Distance(Origin=origin, Dest=dest, Distance=round(miles, 1), GreatCircle=True)
