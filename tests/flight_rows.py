"""A small part of the package's flights, and requests for tests."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from streamforest.applications.flights import package

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour"
)
REQUEST = {
    "Carrier": "AA",
    "DayOfMonth": 14,
    "DayOfWeek": 3,
    "DayOfYear": 73,
    "DepDelay": 5.0,
    "Dest": "MIA",
    "Distance": 1089.0,
    "FlightDate": "2013-03-14",
    "FlightNum": "1141",
    "Origin": "JFK",
    "Timestamp": "2013-03-14T08:15:00.123456",
    "UUID": "7c0a3a6e-5f5a-4f58-9d3c-3f2f4e0f0d11",
}
"""What a client of the reference sends; it counts the days of a week from Monday = 0."""


@functools.cache
def lines() -> list[str]:
    """All lines of the package's file, its header first."""
    with tempfile.TemporaryDirectory() as folder:
        package.unpack(Path(folder))
        return (Path(folder) / package.HISTORY).read_text(encoding="utf-8").splitlines()


def write_part(path: Path, *, months: tuple[int, ...] = (1, 2, 3), every: int = 9) -> int:
    """Write the header and every n-th flight of some months; how many flights."""
    header, *flights = lines()
    chosen = [line for line in flights if int(line.split(",", 2)[1]) in months][::every]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *chosen]) + "\n", encoding="utf-8")
    return len(chosen)


def request(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    """A request of the reference's with other values; None takes a field away."""
    return {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}


def messages(spark: SparkSession, values: list[dict[str, Any] | bytes | None]) -> DataFrame:
    """Kafka's values as a frame with a column ``value`` (binary) in order of ``number``."""
    rows = [
        (
            number,
            bytearray(json.dumps(value).encode() if isinstance(value, dict) else value) if value is not None else None,
        )
        for number, value in enumerate(values)
    ]
    return spark.createDataFrame(rows, "number int, value binary")
