"""What the flights application knows without Spark."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamforest import application, settings
from streamforest.applications.flights import classes, package
from streamforest.embedded import data
from streamforest.errors import WrongUsage
from streamforest.ml import geography
from streamforest.ml.stages.past import Scope
from tests.flight_rows import HEADER

FLIGHTS = application.load("flights", ["streamforest.applications"])


def test_classes_have_the_same_order_by_number_by_limit_and_by_name() -> None:
    assert sorted(classes.NAMES) == classes.NAMES
    assert [each.limit for each in classes.CLASSES] == [-15.0, 0.0, 30.0, float("inf")]


def test_the_package_brings_real_flights_and_nothing_is_made_up(tmp_path: Path) -> None:
    given = settings.load(home=tmp_path, environ={})

    first, second = data.ensure(FLIGHTS, given), data.ensure(FLIGHTS, given)

    path = tmp_path / "data" / "flights" / package.HISTORY
    assert (first, second) == ("unpacked", "present")
    with path.open(encoding="utf-8") as file:
        assert next(file).strip() == HEADER
        assert sum(1 for _ in file) == 336_776
    assert data.describe(FLIGHTS, given)[0].endswith("real")


def test_files_in_another_layout_are_taken_instead(tmp_path: Path) -> None:
    given = settings.load(home=tmp_path, environ={})
    folder = tmp_path / "data" / "flights"
    folder.mkdir(parents=True)
    for name in ("On_Time_2015_2.csv", "On_Time_2015_1.csv", "origin_dest_distances.jsonl"):
        (folder / name).write_text("header\n")

    origin = data.ensure(FLIGHTS, given)

    assert origin == "present"
    assert list(data.raw_files(FLIGHTS, given)) == ["On_Time_2015_1.csv", "On_Time_2015_2.csv"]


@pytest.mark.parametrize(
    ("one", "other", "miles"), [("JFK", "LAX", 2475), ("JFK", "LHR", 3451), ("LGA", "BOS", 184), ("JFK", "JFK", 0)]
)
def test_the_great_circle_is_the_distance_that_airlines_publish(one: str, other: str, miles: float) -> None:
    places = geography.airports()

    assert geography.great_circle_miles(places[one], places[other]) == pytest.approx(miles, rel=0.005)


def test_scopes_are_read_from_their_text() -> None:
    assert Scope.parse("PastAll3:3:") == Scope("PastAll3", 3, [])
    assert Scope.parse("Past:28:Carrier,Route") == Scope("Past", 28, ["Carrier", "Route"])


@pytest.mark.parametrize("text", ["2013", "2013-13", "2013-1", "july", "2013-07-32", "1607"])
def test_a_split_without_meaning_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="no month or day"):
        FLIGHTS.split.is_training(text)
