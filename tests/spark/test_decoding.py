"""Decoders over anything: every value is an event within its bounds or has a reason, and never an error.

Hundreds of values go through Spark in one frame. What a run finds goes to FOUND.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from streamforest.application import Application
from streamforest.applications.activity.records import MAX_TIMESTAMP_MS, MAX_USER
from streamforest.applications.activity.schemas import EVENT
from tests.applications.parity import APPLICATION as PARITY
from tests.streams import ACTIVITY

FOUND = [
    b'{"userId": 1, "timestamp": 1370367549273, "x": 1e308, "y": -1e308, "z": 4.9e-324}',
    b'{"userId": 1, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1} trailing',
    b'{"userId": 1, "userId": 2, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}',
    b'\xef\xbb\xbf{"userId": 1, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}',
    b'{"userId": true, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}',
    b'{"userId": 1, "timestamp": "1370367549273", "x": 1, "y": 1, "z": 1}',
    b'{"userId": 1, "timestamp": 1370367549273.0, "x": 1, "y": 1, "z": 1}',
    b'[{"userId": 1, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}]',
    b'{"_corrupt": null, "userId": 1, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}',
    b'{"_corrupt": "mine", "userId": 1, "timestamp": 1370367549273, "x": 1, "y": 1, "z": 1}',
    b"[" * 3000,
    b"null",
    b'"text"',
    b"\x00",
]
"""Values worth keeping: ends of ranges, nearly JSON, and fields of the decoder's own name."""

numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.integers(0, MAX_USER), st.integers(1, MAX_TIMESTAMP_MS)
)
anything = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.lists(st.integers(), max_size=2))
names = st.one_of(st.sampled_from([*EVENT.names, "id", "at", "a", "b", "_corrupt"]), st.text(max_size=4))
objects = st.dictionaries(names, anything, max_size=8).map(lambda value: json.dumps(value).encode())
near = st.fixed_dictionaries(dict.fromkeys(EVENT.names, numbers)).map(lambda value: json.dumps(value).encode())
cut = st.tuples(near, st.integers(0, 90), st.binary(max_size=2)).map(lambda part: part[0][: part[1]] + part[2])
values = st.lists(st.one_of(st.binary(max_size=40), objects, near, cut), min_size=100, max_size=300)


def decoded(spark: SparkSession, application: Application, given_values: Sequence[bytes | None]) -> list[Row]:
    """Event and reason of each value, in order."""
    event, reason = application.decode(F.col("value"))
    rows = spark.createDataFrame(list(enumerate(given_values)), "number int, value binary")
    return list(rows.select("number", event.alias("event"), reason.alias("reason")).orderBy("number").collect())


@pytest.mark.parametrize("application", [ACTIVITY, PARITY], ids=lambda each: each.name)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(given_values=values)
@example(given_values=FOUND)
def test_every_value_is_an_event_or_has_a_reason(
    spark: SparkSession, application: Application, given_values: list[bytes]
) -> None:
    found = decoded(spark, application, [*given_values, None])

    assert [row["number"] for row in found] == list(range(len(given_values) + 1))
    assert all((row["event"] is None) != (row["reason"] is None) for row in found)
    assert found[-1]["reason"] == "null"
    if application is ACTIVITY:
        assert all(believable(row["event"].asDict()) for row in found if row["event"])


def believable(event: dict[str, Any]) -> bool:
    return (
        0 <= event["userId"] <= MAX_USER
        and 0 < event["timestamp"] <= MAX_TIMESTAMP_MS
        and all(math.isfinite(event[axis]) for axis in "xyz")
    )


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, MAX_USER),
            st.integers(1, MAX_TIMESTAMP_MS),
            *[st.floats(allow_nan=False, allow_infinity=False)] * 3,
        ),
        min_size=50,
        max_size=200,
    )
)
def test_what_python_writes_as_json_is_read_back_bit_for_bit(
    spark: SparkSession, events: list[tuple[int, int, float, float, float]]
) -> None:
    written = [json.dumps(dict(zip(EVENT.names, event, strict=True))).encode() for event in events]

    found = decoded(spark, ACTIVITY, written)

    assert [tuple(row["event"] or ()) for row in found] == events
