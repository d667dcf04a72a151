"""Columns of the flights application: a flight of the history, a request, an answer.

Names are those of the Agile Data Science flight predictor, whose clients, files and collections keep working.
"""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    DateType,
    DoubleType,
    IntegerType,
    StringType,
    StructType,
    TimestampType,
)

LABEL = "DelayClass"
MONTH = "Month"

RAW = (
    StructType()
    .add("FlightDate", DateType())
    .add(MONTH, StringType())
    .add("Carrier", StringType())
    .add("FlightNum", StringType())
    .add("Origin", StringType())
    .add("Dest", StringType())
    .add("Route", StringType())
    .add("Distance", DoubleType())
    .add("DayOfWeek", IntegerType())
    .add("DayOfMonth", IntegerType())
    .add("DayOfYear", IntegerType())
    .add("CRSDepTime", StringType())
    .add("CRSArrTime", StringType())
    .add("DepDelay", DoubleType())
    .add("ArrDelay", DoubleType())
    .add(LABEL, StringType())
    .add("Timestamp", TimestampType())
)
"""One flight. ``FlightDate`` is the scheduled day of departure, ``Month`` the same as 2013-07; ``DayOfWeek`` counts
from Monday = 1; ``Distance`` is in miles; ``CRSDepTime`` and ``CRSArrTime`` are the schedule as HH:MM by the clocks of
the two airports; delays are minutes, negative when early; ``Timestamp`` is the scheduled departure by the airport's
clock. All null where the record was refused."""

REQUIRED = ("UUID", "Origin", "Dest", "Carrier", "FlightDate", "FlightNum", "DepDelay", "Timestamp")
"""What a request must say."""

EVENT = (
    StructType()
    .add("UUID", StringType())
    .add("Origin", StringType())
    .add("Dest", StringType())
    .add("Carrier", StringType())
    .add("FlightDate", StringType())
    .add("FlightNum", StringType())
    .add("DepDelay", DoubleType())
    .add("Timestamp", TimestampType())
    .add("Distance", DoubleType())
    .add("DayOfWeek", IntegerType())
    .add("DayOfMonth", IntegerType())
    .add("DayOfYear", IntegerType())
    .add("Route", StringType())
    .add("CRSDepTime", StringType())
    .add("CRSArrTime", StringType())
)
"""One request. ``FlightDate`` is 2013-07-04, alone or with a time; ``Timestamp`` when it was asked. Fields beyond
:data:`REQUIRED` may be null: what follows from others is computed anew, and what is missing is looked up."""

PREDICTION = (
    StructType()
    .add("UUID", StringType())
    .add("Origin", StringType())
    .add("Dest", StringType())
    .add("Route", StringType())
    .add("Carrier", StringType())
    .add("FlightNum", StringType())
    .add("FlightDate", StringType())
    .add("DepDelay", DoubleType())
    .add("DayOfWeek", IntegerType())
    .add("DayOfMonth", IntegerType())
    .add("DayOfYear", IntegerType())
    .add("Distance", DoubleType())
    .add("Timestamp", TimestampType())
    .add("Prediction", IntegerType())
    .add(LABEL, StringType())
    .add("Probabilities", ArrayType(DoubleType(), containsNull=False))
    .add("Unseen", ArrayType(StringType(), containsNull=False))
    .add("modelVersion", StringType())
)
"""One answer. ``Prediction`` is the number of the class, ``DelayClass`` its name, ``Probabilities`` those of all
classes in order of their numbers; ``Unseen`` names the fields whose value no training row had."""
