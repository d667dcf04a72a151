"""Events replayed as if they happened now."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from kafka import KafkaConsumer
from pyspark.sql import SparkSession

from streamforest import application
from streamforest.kafka import Kafka
from streamforest.streaming import replay, topics

ACTIVITY = application.load("activity", ["streamforest.applications"])
REPLAYED = replace(ACTIVITY, topics=application.Topics(events="replay", predictions="replay.p", invalid="replay.i"))
RECORDED_MS = {1: [1_000, 1_050, 90_000], 2: [500]}


def sent_ms(servers: str, user: int) -> list[int]:
    """Times of a user's events, in their order in Kafka."""
    consumer = KafkaConsumer(
        "replay", bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=3000
    )
    try:
        events = [json.loads(record.value) for record in consumer]
    finally:
        consumer.close()
    return [event["timestamp"] for event in events if event["userId"] == user]


def test_the_clock_of_now_never_steps_back(spark: SparkSession, kafka: str, tmp_path: Path) -> None:
    rows = [(user, time_ms, 0.0, 0.0, 0.0) for user, times in RECORDED_MS.items() for time_ms in times]
    spark.createDataFrame(rows, ACTIVITY.schemas.event).write.parquet(str(tmp_path / "real_time"))
    topics.create_topics(Kafka(kafka), REPLAYED.topics.all())
    begun_ms = int(time.time() * 1000)

    for _ in range(2):
        replay.run(
            spark,
            REPLAYED,
            tmp_path / "real_time",
            Kafka(kafka),
            checkpoint=tmp_path / "checkpoint",
            speed=20,
            again=True,
            now=True,
        )

    first, second = (sent_ms(kafka, 1)[start : start + 3] for start in (0, 3))
    assert begun_ms <= first[0]
    assert first[0] < second[0]
    for times in (first, second):
        assert [later - times[0] for later in times] == [0, 50, 50 + replay.LONGEST_PAUSE_MS]
    assert len(sent_ms(kafka, 2)) == 2
