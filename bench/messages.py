"""Readings for Kafka: recorded values under the names of as many users as are wanted."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.workspace import Workspace

GRID_MS = 50
START_MS = 1_370_367_549_273
_SCATTER = 7919
"""Users begin at places of the recordings that lie so many readings apart."""
_READINGS = 200_000


def readings(spark: SparkSession, place: Workspace) -> DataFrame:
    """Up to 200,000 recorded readings: ``number`` (from 0, in order of user and time), x, y, z."""
    target = str(place.folder / "readings")
    accepted = place.application.read(spark, [place.source]).where("reason is null")
    ordered = accepted.orderBy("userId", "timestamp").limit(_READINGS).select("x", "y", "z").coalesce(1)
    ordered.withColumn("number", F.monotonically_increasing_id()).write.mode("overwrite").parquet(target)
    return spark.read.parquet(target)


def messages(recorded: DataFrame, *, users: int, ticks: int, tasks: int, stagger: int = 1) -> DataFrame:
    """One row a reading, ``tick``, ``key`` and ``value`` as the job produce sends them; a task has users of its own.

    User ``u`` has a reading every 50 ms from tick ``u % stagger`` on, up to tick ``ticks - 1``. The rows of a task are
    in order of time. Whole multiples of ``tasks`` users come out.
    """
    spark, number_of_readings = recorded.sparkSession, recorded.count()
    each = max(users // tasks, 1)
    rows = spark.range(0, each * tasks * ticks, 1, tasks)
    within = F.col("id") % (each * ticks)
    user = F.floor(F.col("id") / (each * ticks)) * each + within % each
    planned = rows.select(user.cast("int").alias("userId"), F.floor(within / each).cast("int").alias("tick"))
    planned = planned.where(F.col("tick") >= F.col("userId") % stagger).withColumn(
        "number", (F.col("userId").cast("long") * _SCATTER + F.col("tick")) % number_of_readings
    )
    return _filled(planned, recorded)


def turns(recorded: DataFrame, *, users: int, ticks: int, turn_ticks: int) -> DataFrame:
    """One row a reading, ``tick``, ``key`` and ``value``, of ``users`` users at a time, whose turns end one by one.

    Whoever has sent ``turn_ticks`` readings falls silent for good, and another user takes the place. Everything is made
    while it is read, by one task, in order of time.
    """
    spark, number_of_readings = recorded.sparkSession, recorded.count()
    tick, place = F.floor(F.col("id") / users), F.col("id") % users
    turn = F.floor((tick + F.floor(place * turn_ticks / users)) / turn_ticks)
    rows = spark.range(0, users * ticks, 1, 1).select(
        tick.alias("tick"), (turn * users + place).cast("int").alias("userId")
    )
    number = (F.col("userId").cast("long") * _SCATTER + F.col("tick")) % number_of_readings
    return _filled(rows.withColumn("number", number), recorded)


def due(rows: DataFrame, start_ms: int) -> DataFrame:
    """The rows, each as soon as its tick has come; the first one at ``start_ms``."""
    now_ms = "CAST(reflect('java.lang.System', 'currentTimeMillis') AS bigint)"
    wait_ms = f"greatest(0L, {start_ms}L + tick * {GRID_MS}L - {now_ms})"
    return rows.where(F.expr(f"reflect('java.lang.Thread', 'sleep', {wait_ms}) IS NOT NULL"))


def _filled(rows: DataFrame, recorded: DataFrame) -> DataFrame:
    # A broadcast join leaves rows where they are.
    filled = rows.join(F.broadcast(recorded), on="number", how="inner")
    timestamp = (F.lit(START_MS) + F.col("tick").cast("long") * GRID_MS).alias("timestamp")
    event = F.struct("userId", timestamp, "x", "y", "z")
    return filled.select("tick", F.col("userId").cast("string").alias("key"), F.to_json(event).alias("value"))


def send(rows: DataFrame, topic: str, bootstrap_servers: str, linger_ms: int = 20) -> None:
    """Write rows with key and value to a topic, each task in the order of its rows."""
    (
        rows.write.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap_servers)
        .option("topic", topic)
        .option("kafka.linger.ms", linger_ms)
        .option("kafka.batch.size", 1 << 18)
        .option("kafka.compression.type", "lz4")
        .save()
    )
