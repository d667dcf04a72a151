"""Columns of the activity application: a raw record, an event on the stream, a prediction."""

from __future__ import annotations

from pyspark.sql.types import DoubleType, IntegerType, LongType, StringType, StructType

USER, ACTION, TIMESTAMP = "userId", "action", "timestamp"
AXES = ("x", "y", "z")
"""Acceleration in m/s², gravity included, in the phone's own frame."""

RAW = (
    StructType()
    .add(USER, IntegerType())
    .add(ACTION, StringType())
    .add(TIMESTAMP, LongType())
    .add("x", DoubleType())
    .add("y", DoubleType())
    .add("z", DoubleType())
)
"""One line of the raw file; ``timestamp`` is epoch ms. All null where the record was refused."""

EVENT = (
    StructType()
    .add(USER, IntegerType())
    .add(TIMESTAMP, LongType())
    .add("x", DoubleType())
    .add("y", DoubleType())
    .add("z", DoubleType())
)
"""One reading on the stream: a raw record without its activity."""

PREDICTION = (
    StructType()
    .add(USER, IntegerType())
    .add(TIMESTAMP, LongType())
    .add(ACTION, StringType())
    .add("probability", DoubleType())
    .add("modelVersion", StringType())
)
"""What one window was taken for; ``timestamp`` is the window's end in epoch ms."""
