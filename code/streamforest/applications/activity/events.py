"""Readings on the stream: how a value is decoded, and which values are believed."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from streamforest.applications.activity.records import MAX_TIMESTAMP_MS
from streamforest.applications.activity.schemas import EVENT
from streamforest.streaming.decoding import decode_json


def decode(value: Column) -> tuple[Column, Column]:
    """A reading from JSON with the columns of EVENT, and the reason of its refusal; further fields are passed over."""
    return decode_json(value, EVENT, _broken)


def _broken(event: Column) -> Column:
    """Reason why a complete reading is not believed, else null. Values beyond the sensor's range are capped later."""
    time_ms = event["timestamp"]
    numbers = [event[axis] for axis in ("x", "y", "z")]
    finite = reduce(Column.__and__, [F.abs(number) < float("inf") for number in numbers])
    zero = (time_ms == 0) & reduce(Column.__and__, [number == 0 for number in numbers])
    return (
        F.when(event["userId"] < 0, "user")
        .when(zero, "zero")
        .when((time_ms <= 0) | (time_ms > MAX_TIMESTAMP_MS), "timestamp")
        .when(~finite, "number")
    )
