"""Streams for tests: readings to Kafka, the record and messages from it, and the equation between record and batch."""

from __future__ import annotations

import json
import lzma
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kafka import KafkaConsumer, KafkaProducer
from pyspark.sql import SparkSession

from streamforest import application, cli

ACTIVITY = application.load("activity", ["streamforest.applications"])
KEYS = ["userId", "timestamp"]
_MAX_REQUEST_BYTES = 11 * 2**20


@dataclass(frozen=True)
class World:
    """A home with a published model, and readings to stream."""

    home: Path
    spark: SparkSession
    readings: pd.DataFrame
    kafka: str = ""

    def run(self, *arguments: str) -> dict[str, Any]:
        return dict(cli.run([*arguments, "--home", str(self.home)], spark=self.spark, kafka=lambda _: self.kafka))


def copy_users(source: Path, target: Path, users: Sequence[int]) -> Path:
    """The lines of some users of a compressed raw file."""
    wanted = tuple(f"{user}," for user in users)
    with lzma.open(source, "rt") as lines:
        target.write_text("".join(line for line in lines if line.startswith(wanted)))
    return target


def send(
    stream: World,
    readings: pd.DataFrame,
    *others: tuple[bytes | None, bytes | None],
    arrived_ms: int | None = None,
) -> None:
    """Readings as JSON, keyed by user, in the order given; then any other (key, value).

    ``arrived_ms`` is Kafka's time of all of them, else that of sending.
    """
    messages = [
        (str(int(line["userId"])).encode(), json.dumps(line | {"userId": int(line["userId"])}).encode())
        for line in readings.to_dict("records")
    ]
    producer = KafkaProducer(
        bootstrap_servers=stream.kafka, acks="all", linger_ms=5, max_request_size=_MAX_REQUEST_BYTES
    )
    for key, value in [*messages, *others]:
        producer.send(ACTIVITY.topics.events, key=key, value=value, timestamp_ms=arrived_ms)
    producer.flush()
    producer.close()


def interleaved(readings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The users' readings shuffled into each other, each user's own order kept."""
    rng = random.Random(seed)
    queues = {int(user): part.to_dict("records")[::-1] for user, part in readings.groupby(readings.userId.astype(int))}
    mixed = []
    while queues:
        user = rng.choice(sorted(queues))
        mixed += [queues[user].pop() for _ in range(min(rng.randint(1, 90), len(queues[user])))]
        if not queues[user]:
            del queues[user]
    return pd.DataFrame(mixed)


def record(stream: World) -> pd.DataFrame:
    """All predictions of the record."""
    parts = [pd.read_parquet(path) for path in sorted((stream.home / "predictions").glob("pred_batch_*/*.parquet"))]
    columns = ["userId", "timestamp", "action", "probability", "modelVersion"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert not found.duplicated(KEYS).any(), "predictions are repeated"
    both = found.merge(expected, on=KEYS, how="outer", suffixes=("", "_expected"), indicator=True)
    sides = both["_merge"].value_counts().to_dict()
    assert sides == {"both": len(expected), "left_only": 0, "right_only": 0}, sides
    assert (both.action == both.action_expected).all(), "activities differ"
    assert (both.modelVersion == both.modelVersion_expected).all(), "versions differ"
    apart = (both.probability - both.probability_expected).abs().max()
    assert apart < 1e-9, f"probabilities differ by up to {apart:.2g}"


def messages(stream: World, topic: str, count: int, limit_s: float = 30) -> list[Any]:
    """The records of a topic, at least ``count`` of them."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=stream.kafka,
        auto_offset_reset="earliest",
        group_id=None,
        max_partition_fetch_bytes=_MAX_REQUEST_BYTES,
    )
    found: list[Any] = []
    deadline = time.monotonic() + limit_s
    while len(found) < count and time.monotonic() < deadline:
        found += [one for part in consumer.poll(timeout_ms=500).values() for one in part]
    consumer.close()
    return found


def wait_for(predicate: Callable[[], bool], process: subprocess.Popen[Any], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not predicate():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.02)
