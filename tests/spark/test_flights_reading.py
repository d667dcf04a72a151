"""Flights and requests as they are read: layouts, refusals, classes, the package's file."""

from __future__ import annotations

import bz2
import datetime as dt
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from streamforest import application, settings
from streamforest.applications.flights import classes, package, reading, schemas
from streamforest.errors import BadInput
from streamforest.jobs.context import Context
from tests.flight_rows import HEADER, lines, messages, request

FLIGHTS = application.load("flights", ["streamforest.applications"])
GOOD = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"


def refused(spark: SparkSession, path: Path) -> dict[int, str | None]:
    """Reasons by line number."""
    return {row["line"]: row["reason"] for row in reading.read(spark, [path]).select("line", "reason").collect()}


def test_each_damaged_line_is_refused_with_its_reason_and_all_lines_are_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    cases = [
        (GOOD, None),
        (GOOD.replace(",2,830", ",NA,830").replace(",11,UA", ",NA,UA"), "cancelled"),
        (GOOD.replace(",517,515,2,830,819,11,", ",,515,,,819,,"), "cancelled"),
        (GOOD.replace(",11,UA", ",,UA"), "diverted"),
        (GOOD.replace("2013,1,1", "2013,2,30", 1), "date"),
        (GOOD.replace("UA,", "United,"), "carrier"),
        (GOOD.replace("1545", "15x45"), "flight"),
        (GOOD.replace("IAH", "HOUSTON"), "airport"),
        (GOOD.replace("IAH", "EWR"), "route"),
        (GOOD.replace(",2,830", ",two,830"), "delay"),
        (GOOD.replace(",11,UA", ",99999,UA"), "delay"),
        (GOOD.replace(",1400,", ",-1,"), "distance"),
        (GOOD.replace(",515,", ",575,"), "time"),
        (GOOD.rpartition(",")[0], "fields"),
        (GOOD + ",more", "fields"),
        ("   ", "blank"),
        (GOOD.replace(",515,", ",2400,"), None),
    ]
    path = tmp_path / "flights.csv"
    path.write_bytes("\n".join([HEADER, *(line for line, _ in cases), ""]).encode() + b"2013,\xff\n")

    found = refused(spark, path)

    assert found == {number: reason for number, (_, reason) in enumerate(cases, start=2)} | {len(cases) + 2: "encoding"}


def test_a_flight_has_all_columns(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(f"{HEADER}\n{GOOD}\n")

    (flight,) = reading.read(spark, [path]).select(*schemas.RAW.names).collect()

    assert flight == Row(
        FlightDate=dt.date(2013, 1, 1),
        Month="2013-01",
        Carrier="UA",
        FlightNum="1545",
        Origin="EWR",
        Dest="IAH",
        Route="EWR-IAH",
        Distance=1400.0,
        DayOfWeek=2,
        DayOfMonth=1,
        DayOfYear=1,
        CRSDepTime="05:15",
        CRSArrTime="08:19",
        DepDelay=2.0,
        ArrDelay=11.0,
        DelayClass="slightly late",
        Timestamp=pd.Timestamp("2013-01-01 05:15").to_pydatetime(),
    )


REFERENCE_LINE = {
    "ArrDelay": 5.0,
    "CRSArrTime": "2015-12-31T03:20:00.000-08:00",
    "CRSDepTime": "2015-12-31T03:05:00.000-08:00",
    "Carrier": "WN",
    "DayOfMonth": 31,
    "DayOfWeek": 4,
    "DayOfYear": 365,
    "DepDelay": 14.0,
    "Dest": "SAN",
    "Distance": 368.0,
    "FlightDate": "2015-12-30T16:00:00.000-08:00",
    "FlightNum": "6109",
    "Origin": "TUS",
}
ARCHIVE = (
    '"Year","FlightDate","Reporting_Airline","Flight_Number_Reporting_Airline","Origin","OriginCityName","Dest",'
    '"CRSDepTime","DepDelay","CRSArrTime","ArrDelay","Cancelled","Diverted","Distance",\n'
    '"2015","2015-12-31","WN","6109","TUS","Tucson, AZ","SAN","1105","14.00","1120","5.00","0.00","0.00","368.00",\n'
    '"2015","2015-12-31","WN","6110","TUS","Tucson, AZ","SAN","1105","","1120","","1.00","0.00","368.00",\n'
    '"2015","2015-12-31","WN","6111","TUS","Tucson, AZ","SAN","1105","3.00","1120","","0.00","1.00","368.00",\n'
)
TABLE = (
    "FL_DATE,OP_UNIQUE_CARRIER,OP_CARRIER_FL_NUM,ORIGIN,DEST,CRS_DEP_TIME,DEP_DELAY,CRS_ARR_TIME,ARR_DELAY,"
    "CANCELLED,DISTANCE\n12/31/2015 12:00:00 AM,WN,6109,TUS,SAN,1105,14,1120,5,0,368\n"
)


def test_all_layouts_say_the_same_of_one_flight(spark: SparkSession, tmp_path: Path) -> None:
    with bz2.open(tmp_path / "simple_flight_delay_features.jsonl.bz2", "wt") as packed:
        packed.write(json.dumps(REFERENCE_LINE) + "\n{broken\n")
    with zipfile.ZipFile(tmp_path / "On_Time_2015_12.zip", "w") as archive:
        archive.writestr("readme.html", "")
        archive.writestr("On_Time_2015_12.csv", ARCHIVE)
    (tmp_path / "T_ONTIME.csv").write_text(TABLE)

    rows = reading.read(spark, sorted(tmp_path.iterdir())).collect()

    flights = [row.asDict() for row in rows if row["reason"] is None]
    assert len({json.dumps([each[name] for name in schemas.RAW.names], default=str) for each in flights}) == 1
    assert len(flights) == 3
    assert (flights[0]["FlightDate"], flights[0]["CRSDepTime"]) == (dt.date(2015, 12, 31), "11:05")
    assert flights[0]["DelayClass"] == "slightly late"
    assert Counter(row["reason"] for row in rows) == {None: 3, "json": 1, "cancelled": 1, "diverted": 1}


def test_a_file_without_a_column_is_refused_with_its_name(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("year,month,day,carrier\n2013,1,1,UA\n")

    with pytest.raises(BadInput, match=r"flights\.csv has no column for flight, origin"):
        reading.read(spark, [tmp_path / "flights.csv"])


@pytest.mark.parametrize(("minutes", "number"), [(-15, 0), (-14, 1), (0, 1), (1, 2), (30, 2), (31, 3), (None, None)])
def test_the_bounds_of_the_classes(spark: SparkSession, minutes: float | None, number: int | None) -> None:
    frame = spark.createDataFrame([(None if minutes is None else float(minutes),)], "delay double")

    name = classes.class_of(F.col("delay"))

    assert frame.select(classes.number_of(name)).first() == (number,)


BAD_REQUESTS: list[tuple[Any, str | None]] = [
    (request(), None),
    (request(Distance=None, DayOfWeek=None, DayOfMonth=None, DayOfYear=None), None),
    (request(FlightNum=1141), None),
    (request(FlightDate="2013-03-13T20:00:00-04:00"), None),
    (request(Origin="ZZZ", Carrier="ZZ"), None),
    (request(UUID=None), "fields"),
    (request(DepDelay=None), "fields"),
    (request(DepDelay="late"), "json"),
    (request(DepDelay={"$gt": 0}), "json"),
    (request(DepDelay=1e9), "delay"),
    (request(DepDelay=-1e9), "delay"),
    (request(UUID="<script>"), "uuid"),
    (request(UUID="x" * 65), "uuid"),
    (request(Carrier="{$ne"), "carrier"),
    (request(FlightNum="11 41"), "flight"),
    (request(Dest="miami"), "airport"),
    (request(Dest="JFK"), "route"),
    (request(FlightDate="2013-02-30"), "date"),
    (request(FlightDate="2013"), "date"),
    (request(FlightDate="9999-01-01"), "date"),
    (request(Distance=-5.0), "distance"),
    (request(CRSDepTime="25:00"), "time"),
    (b"not json", "json"),
    (b"[1]", "json"),
    (b"\xff\xfe", "encoding"),
    (None, "null"),
]


def test_requests_are_believed_or_refused_with_a_reason(spark: SparkSession) -> None:
    event, reason = FLIGHTS.decode(F.col("value"))

    rows = messages(spark, [value for value, _ in BAD_REQUESTS]).select(
        "number", event.alias("event"), reason.alias("reason")
    )

    found = {row["number"]: row for row in rows.collect()}
    assert [found[number]["reason"] for number in range(len(found))] == [expected for _, expected in BAD_REQUESTS]
    assert all((row["event"] is None) == (row["reason"] is not None) for row in found.values())


def test_the_package_holds_the_cancelled_and_diverted_flights_that_it_is_known_for() -> None:
    fields = [line.split(",") for line in lines()[1:]]

    assert len(fields) == 336_776
    assert sum(each[8] in ("", "NA") for each in fields) == 9_430


def test_without_a_file_the_packages_flights_are_taken(tmp_path: Path) -> None:
    context = Context(
        application=application.load("flights", ["streamforest.applications"]),
        settings=settings.load(home=tmp_path),
        name="partition",
    )

    (found,) = context.history()

    assert found == tmp_path / "data" / "flights" / package.HISTORY
    assert found.read_bytes().count(b"\n") == 336_777
    found.write_bytes(b"")
    with pytest.raises(BadInput, match="is empty"):
        context.history()
