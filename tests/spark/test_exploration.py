"""What the notebook counts, on rows few enough to count by hand."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession

from streamforest.applications.activity import exploration
from streamforest.applications.activity.schemas import RAW


@pytest.fixture(scope="module")
def readings(spark: SparkSession) -> DataFrame:
    """User 1 walks in two events with a repeated time and an irregular step, user 2 sits, user 3 exceeds the range."""
    rows = [(1, "Walking", time_ms, 0.0, 1.0, 2.0) for time_ms in (0, 50, 50, 170, 9_000, 9_050)]
    rows += [(2, "Sitting", 50 * tick, 0.0, float(tick), 0.0) for tick in range(3)]
    rows += [(3, "Walking", 0, -5.9e20, 20.0, 20.1)]
    return spark.createDataFrame(rows, RAW).cache()


def test_intervals_stay_within_a_user_and_are_of_four_kinds(readings: DataFrame) -> None:
    kinds = {row["kind"]: row["count"] for row in exploration.interval_kinds(readings).collect()}

    assert kinds == {"50 ms": 4, "repeated": 1, "other, up to 500 ms": 1, "longer than 500 ms": 1}
    assert exploration.intervals(readings).count() == 10 - 3


def test_ranges_before_and_after_capping(readings: DataFrame) -> None:
    found = {(row["axis"], row["stage"]): row for row in exploration.ranges(readings, 20.0).collect()}

    assert [found["x", stage]["lowest"] for stage in ("before", "after")] == [-5.9e20, -20.0]
    assert [found[axis, "before"]["outside"] for axis in "xyz"] == [1, 0, 1]
    assert {found[axis, "after"]["outside"] for axis in "xyz"} == {0}


def test_the_share_that_trains_is_of_the_users_below(readings: DataFrame) -> None:
    rows = [tuple(row) for row in exploration.thresholds(readings).collect()]

    assert rows == [(1, 6, 0.0), (2, 3, pytest.approx(0.6)), (3, 1, pytest.approx(0.9))]


def test_boxes_hold_quantiles_of_each_axis(readings: DataFrame) -> None:
    (box,) = exploration.boxes(readings).where("action = 'Sitting' and axis = 'y'").collect()

    assert (box["low"], box["median"], box["high"]) == (0.0, 1.0, 2.0)


def test_a_stretch_is_of_one_event_of_the_busiest_user_that_lasts(readings: DataFrame) -> None:
    found = [tuple(row) for row in exploration.stretch(readings, 0.1).select("action", "second").collect()]

    assert found == [("Sitting", second) for second in (0.0, 0.05, 0.1)] + [
        ("Walking", second) for second in (0.0, 0.05, 0.05)
    ]


def test_windows_lie_in_a_plane(spark: SparkSession) -> None:
    rows = [
        (user, action, 50 * tick, (tick % period) * 1.0, 9.8, 0.1 * user)
        for user, action, period in ((1, "Walking", 10), (2, "Walking", 11), (3, "Sitting", 1))
        for tick in range(200)
    ]

    found = exploration.windows_in_plane(spark.createDataFrame(rows, RAW), share=1.0, seed=0).toPandas()

    assert found.groupby("userId").size().to_dict() == {1: 6, 2: 6, 3: 6}
    assert set(found["action"]) == {"Walking", "Sitting"}
    still, moving = found[found["action"] == "Sitting"]["first"], found[found["action"] == "Walking"]["first"]
    assert still.max() < moving.min() or moving.max() < still.min()
