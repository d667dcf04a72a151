"""Files of events to Kafka, at once or at their own pace."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampType

from streamforest import files
from streamforest.application import Application
from streamforest.errors import Unreachable
from streamforest.kafka import Kafka
from streamforest.progress import Progress

LONGEST_PAUSE_MS = 2_000
"""A longer silence of a key is shortened to this when the pace is the recording's own, or its clock is now's."""
_TICK_S = 0.05


@dataclass
class Replayed:
    """What was sent."""

    rows: int = 0
    batches: int = 0


def run(
    spark: SparkSession,
    application: Application,
    folder: Path,
    kafka: Kafka,
    *,
    checkpoint: Path,
    speed: float,
    again: bool,
    now: bool = False,
    rate: float = 0.0,
) -> Replayed:
    """Send the parquet files below ``folder`` that ``checkpoint`` does not know yet, or all of them.

    Each record is one event as JSON under its key. Records of one key are sent in order of time; a repeat after a
    kill may send some twice. ``speed`` 0 sends at once, 1 at the recording's own pace, 2 twice as fast; every key's
    clock starts when the replay starts. With ``now`` events bear that clock's time instead of the recorded one, as if
    they happened from now on: what is sent later is later, whichever part of the recording it is. With a ``rate`` so
    many are sent a second, in order of time.
    """
    if again:
        files.remove(checkpoint)
    replayed = Replayed()

    def send(batch: DataFrame, _: int) -> None:
        replayed.batches += 1
        if now:
            batch = _from_now(batch, application)
        if speed or rate:
            due = _at_rate(batch, application, rate) if rate else _in_own_time(batch, application)
            replayed.rows += _send_paced(due, application, kafka, speed or 1.0)
        else:
            _send(batch, application, kafka)

    query = (
        spark.readStream.schema(application.schemas.event)
        .option("maxFilesPerTrigger", 1 << 20)
        .parquet(str(folder))
        .writeStream.foreachBatch(send)
        .queryName(f"produce {application.name}")
        .option("checkpointLocation", str(checkpoint))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    if not (speed or rate):
        replayed.rows = sum(progress["numInputRows"] for progress in query.recentProgress)
    return replayed


def _message(application: Application) -> list[Column]:
    columns = [F.col(name) for name in application.schemas.event.names]
    return [F.col(application.key).cast("string").alias("key"), F.to_json(F.struct(*columns)).alias("value")]


def _send(batch: DataFrame, application: Application, kafka: Kafka) -> None:
    (
        batch.repartition(application.key)
        .sortWithinPartitions(application.key, application.event_time)
        .select(*_message(application))
        .write.format("kafka")
        .options(**kafka.spark())
        .option("topic", application.topics.events)
        .option("kafka.linger.ms", 20)
        .option("kafka.compression.type", "lz4")
        .save()
    )


def _at_rate(batch: DataFrame, application: Application, rate: float) -> DataFrame:
    """Events with ``_due_ms``, evenly spaced."""
    in_time = Window.orderBy(application.event_time, application.key)
    return batch.withColumn("_due_ms", ((F.row_number().over(in_time) - 1) * 1000 / rate).cast("bigint"))


def _in_own_time(batch: DataFrame, application: Application) -> DataFrame:
    """Events with ``_due_ms``, on the clock of the event's key, which starts at 0 and skips long silences."""
    in_time = Window.partitionBy(application.key).orderBy(application.event_time)
    at = F.col(application.event_time)
    time_ms = F.unix_millis(at) if isinstance(batch.schema[application.event_time].dataType, TimestampType) else at
    pause_ms = F.least(time_ms - F.lag(time_ms).over(in_time), F.lit(LONGEST_PAUSE_MS))
    return batch.withColumn("_pause_ms", F.coalesce(pause_ms, F.lit(0))).withColumn(
        "_due_ms", F.sum("_pause_ms").over(in_time.rowsBetween(Window.unboundedPreceding, 0))
    )


def _from_now(batch: DataFrame, application: Application) -> DataFrame:
    time_ms = F.lit(int(time.time() * 1000)) + F.col("_due_ms")
    kind = batch.schema[application.event_time].dataType
    due = _in_own_time(batch, application)
    timed = due.withColumn(
        application.event_time, F.timestamp_millis(time_ms) if isinstance(kind, TimestampType) else time_ms
    )
    return timed.drop("_due_ms", "_pause_ms")


def _send_paced(due: DataFrame, application: Application, kafka: Kafka, speed: float) -> int:
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    messages = due.orderBy("_due_ms", application.key).select("_due_ms", *_message(application)).persist()
    total = messages.count()
    producer = KafkaProducer(**kafka.python(), linger_ms=10, acks="all")
    try:
        with Progress("sending", total) as progress:
            for due_messages in _paced(messages.toLocalIterator(prefetchPartitions=True), speed):
                for key, value in due_messages:
                    producer.send(application.topics.events, key=key.encode(), value=value.encode())
                progress.advance(len(due_messages))
        producer.flush(timeout=30)
    except KafkaError as error:
        raise Unreachable(f"Kafka at {kafka} took no more records ({error})", "start it again") from None
    finally:
        producer.close(timeout=10)
        messages.unpersist()
    return total


def _paced(rows: Iterator[tuple[int, str, str]], speed: float) -> Iterator[list[tuple[str, str]]]:
    """Groups of (key, value), each yielded when its tick has come."""
    started = time.monotonic()
    for tick, group in itertools.groupby(rows, key=lambda row: int(row[0] / speed / 1000 / _TICK_S)):
        wait_s = started + tick * _TICK_S - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        yield [(key, value) for _, key, value in group]
