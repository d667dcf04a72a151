"""The demo of an application that answers single requests: sent at a steady pace, answered in real time, compared."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from streamforest.application import Application
from streamforest.errors import StreamforestError
from streamforest.kafka import Kafka
from streamforest.streaming.answering import Answerer
from streamforest.streaming.tally import Tally

RATE = 20
"""Requests a second."""
START_S = 300.0
"""Of the tasks' start, seconds: generous, since a busy machine takes minutes for what takes seconds elsewhere."""
_ANSWER_S = 120.0
_LOOK_S = 0.1


@contextlib.contextmanager
def answering(answerer: Answerer) -> Iterator[None]:
    """The stream runs while the block does, from when its tasks are there.

    Raises:
        StreamforestError: it failed.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            answerer.run(seconds=None, batches=None)
        except BaseException as error:
            failed.append(error)
            answerer.end()

    thread = threading.Thread(target=run, name="stream", daemon=True)
    thread.start()
    try:
        answerer.await_ready(START_S)
        yield
    except StreamforestError:
        # Whoever waits for a stream that failed wants to know why it did.
        if failed:
            raise failed[0] from None
        raise
    finally:
        answerer.end()
        thread.join()
    if failed:
        raise failed[0]


def await_answers(tally: Tally, count: int) -> None:
    """Return once so many came, refusals included, or after two minutes: who compares will see what is missing."""
    until = time.monotonic() + _ANSWER_S
    while tally.answers + sum(tally.refused.values()) < count and time.monotonic() < until:
        time.sleep(_LOOK_S)


def answers(spark: SparkSession, kafka: Kafka, application: Application) -> pa.Table:
    """All answers that Kafka holds, with the columns of a prediction."""
    records = (
        spark.read.format("kafka").options(**kafka.spark()).option("subscribe", application.topics.predictions).load()
    )
    read = F.from_json(F.col("value").cast("string"), application.schemas.prediction)
    return records.select(read.alias("read")).select("read.*").toArrow()


def batch(spark: SparkSession, folder: Path, application: Application) -> pa.Table:
    """What the batch path left, with the same columns."""
    schema = application.schemas.prediction
    return spark.read.schema(schema).parquet(str(folder)).select(*schema.names).toArrow()
