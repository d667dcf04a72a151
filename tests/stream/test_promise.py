"""The promise: what the stream predicts is what the batch path computes from the same readings.

Real recordings where the machine has them, generated ones elsewhere. The right-hand side is the published Spark
pipeline; the left-hand side the exported forest over sharded state, so that the equation compares the two as well.
"""

from __future__ import annotations

import itertools
import json
import lzma
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kafka import KafkaConsumer, KafkaProducer
from pyspark.sql import SparkSession

from streamforest import application, cli, settings
from streamforest.embedded.broker import Broker
from streamforest.streaming.topics import create_topics
from tests.homes import HISTORY, LIVE, RECORDINGS, REPOSITORY, environment

ACTIVITY = application.load("activity", ["streamforest.applications"])
READINGS_OF_A_USER = 3600
KEYS = ["userId", "timestamp"]


@dataclass(frozen=True)
class World:
    """A home with a published model, and readings to stream."""

    home: Path
    spark: SparkSession
    readings: pd.DataFrame
    kafka: str = ""

    def run(self, *arguments: str) -> dict[str, Any]:
        return dict(cli.run([*arguments, "--home", str(self.home)], spark=self.spark, kafka=lambda _: self.kafka))


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("promise")
    (home / "data").mkdir()
    if RECORDINGS.is_dir():
        copy_users(RECORDINGS / "WISDM51_20hz_raw.txt.xz", home / "data" / HISTORY, [1600, 1604, 1607, 1609])
        copy_users(RECORDINGS / "WISDM51_20hz_unlabeled_raw.txt.xz", home / "data" / LIVE, [1600, 1604, 1612, 1613])
    else:
        ACTIVITY.inputs.generate(home / "data", 0)
    rows = ACTIVITY.read(spark, [home / "data" / LIVE]).where("reason is null").select(*ACTIVITY.schemas.event.names)
    readings = rows.toPandas().groupby("userId").head(READINGS_OF_A_USER)
    users = readings.userId.drop_duplicates().head(4)
    found = World(home, spark, readings[readings.userId.isin(users)].reset_index(drop=True))
    found.run("partition", "activity", "--split-at", "1607")
    found.run("train", "activity")
    assert found.run("test", "activity")["gate"]["passed"]
    return found


def copy_users(source: Path, target: Path, users: Sequence[int]) -> Path:
    """The lines of some users of a compressed raw file."""
    wanted = tuple(f"{user}," for user in users)
    with lzma.open(source, "rt") as lines:
        target.write_text("".join(line for line in lines if line.startswith(wanted)))
    return target


@pytest.fixture(scope="module")
def expected(world: World) -> pd.DataFrame:
    """What the batch path computes from the readings."""
    folder = world.home / "data" / "expected"
    folder.mkdir()
    world.readings.astype({"userId": "int32"}).to_parquet(folder / "readings.parquet", index=False)
    found = pd.read_parquet(world.run("consume", "activity", "--batch", str(folder))["path"])
    assert len(found) > 200
    assert found.action.nunique() > 1
    return found


@pytest.fixture
def stream(world: World, tmp_path: Path) -> Iterator[World]:
    """The world's model with an empty Kafka and no record."""
    (tmp_path / "model").symlink_to(world.home / "model")
    with Broker(tmp_path / "kafka", settings.load(home=tmp_path)) as broker:
        create_topics(broker.bootstrap_servers, ACTIVITY.topics.all())
        yield replace(world, home=tmp_path, kafka=broker.bootstrap_servers)


def send(stream: World, readings: pd.DataFrame, *others: tuple[bytes | None, bytes | None]) -> None:
    """Readings as JSON, keyed by user, in the order given; then any other (key, value)."""
    messages = [
        (str(int(line["userId"])).encode(), json.dumps(line | {"userId": int(line["userId"])}).encode())
        for line in readings.to_dict("records")
    ]
    producer = KafkaProducer(bootstrap_servers=stream.kafka, acks="all", linger_ms=5)
    for key, value in [*messages, *others]:
        producer.send(ACTIVITY.topics.events, key=key, value=value)
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
    assert not found.duplicated(KEYS).any()
    both = found.merge(expected, on=KEYS, how="outer", suffixes=("", "_expected"), indicator=True)
    assert both["_merge"].value_counts().to_dict() == {"both": len(expected), "left_only": 0, "right_only": 0}
    assert (both.action == both.action_expected).all()
    assert (both.modelVersion == both.modelVersion_expected).all()
    assert (both.probability - both.probability_expected).abs().max() < 1e-9


def messages(stream: World, topic: str, count: int, limit_s: float = 30) -> list[Any]:
    """The records of a topic, at least ``count`` of them."""
    consumer = KafkaConsumer(topic, bootstrap_servers=stream.kafka, auto_offset_reset="earliest", group_id=None)
    found: list[Any] = []
    deadline = time.monotonic() + limit_s
    while len(found) < count and time.monotonic() < deadline:
        found += [one for part in consumer.poll(timeout_ms=500).values() for one in part]
    consumer.close()
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_stream_equals_the_batch_for_any_cut(stream: World, expected: pd.DataFrame, seed: int) -> None:
    rng = random.Random(seed)
    mixed = interleaved(stream.readings, seed)
    repeats = mixed.sample(frac=0.05, random_state=seed)
    mixed = pd.concat([mixed, repeats]).sort_index(kind="stable").reset_index(drop=True)
    cuts = [0, *sorted(rng.randrange(len(mixed)) for _ in range(2)), len(mixed)]
    counted = {"rows": 0, "predictions": 0}

    for start, end in itertools.pairwise(cuts):
        send(stream, mixed.iloc[start:end])
        report = stream.run("consume", "activity", "--available-now", "--max-records", str(rng.randrange(900, 4000)))
        counted = {name: counted[name] + report[name] for name in counted}

    assert_equal(record(stream), expected)
    assert counted == {"rows": len(mixed), "predictions": len(expected)}
    published = messages(stream, ACTIVITY.topics.predictions, len(expected))
    keys = {one.key.decode() for one in published}
    assert keys == {f"{user}:{time_ms}" for user, time_ms in expected[KEYS].itertuples(index=False)}
    assert len(published) == len(expected)


def test_disorder_within_the_lateness_and_the_last_windows_of_silent_users(
    stream: World, expected: pd.DataFrame
) -> None:
    rng = np.random.default_rng(4)
    arrival = stream.readings.timestamp + rng.integers(0, 2000, len(stream.readings))
    in_disorder = stream.readings.assign(arrival=arrival).sort_values(["userId", "arrival"]).drop(columns="arrival")
    half = len(in_disorder) // 2

    send(stream, in_disorder.iloc[:half])
    stream.run("consume", "activity", "--batches", "2", "--seconds", "60", "--lateness", "2")
    send(stream, in_disorder.iloc[half:])
    report = stream.run("consume", "activity", "--available-now", "--lateness", "2", "--max-records", "2500")

    assert report["refused"] == {}
    assert_equal(record(stream), expected)


@pytest.mark.parametrize("after_s", [0.0, 1.0, 3.0])
def test_a_killed_driver_loses_and_doubles_nothing(stream: World, expected: pd.DataFrame, after_s: float) -> None:
    send(stream, interleaved(stream.readings, 5))
    command = [sys.executable, str(REPOSITORY / "code" / "main.py"), "consume", "activity", "--home", str(stream.home)]
    command += ["--bootstrap-servers", stream.kafka, "--available-now", "--max-records", "700"]
    with (stream.home / "killed.log").open("w") as log:
        killed = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        try:
            wait_for(lambda: any((stream.home / "predictions").glob(".pred_batch_*")), killed)
            time.sleep(after_s)
        finally:
            killed.kill()
            killed.wait()
    before = len(record(stream))

    stream.run("consume", "activity", "--available-now", "--max-records", "2000")

    assert killed.returncode == -signal.SIGKILL, (stream.home / "killed.log").read_text()
    assert before < len(expected)
    assert_equal(record(stream), expected)
    published = messages(stream, ACTIVITY.topics.predictions, len(expected))
    assert len({(one.key, one.value) for one in published}) == len(expected)


def wait_for(predicate: Callable[[], bool], process: subprocess.Popen[Any], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not predicate():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.02)


POISON: dict[str, tuple[bytes | None, bytes | None]] = {
    "null": (b"1", None),
    "encoding": (b"1", b'{"userId": 1, "timestamp": 1, "x": 1, "y": 1, "z": "\xff"}'),
    "json": (b"1", b"walking"),
    "fields": (None, b'{"userId": 1, "timestamp": 1370367549273, "x": 0.5, "y": 1}'),
    "user": (b"-1", b'{"userId": -1, "timestamp": 1370367549273, "x": 0.5, "y": 1, "z": 1}'),
    "zero": (b"1", b'{"userId": 1, "timestamp": 0, "x": 0, "y": 0, "z": 0}'),
    "timestamp": (b"1", b'{"userId": 1, "timestamp": 32503680000000, "x": 0.5, "y": 1, "z": 1}'),
    "number": (b"1", b'{"userId": 1, "timestamp": 1370367549273, "x": 1e999, "y": 1, "z": 1}'),
}


def test_what_is_refused_goes_to_the_invalid_topic_as_it_was(stream: World, expected: pd.DataFrame) -> None:
    readings = stream.readings.sort_values(["userId", "timestamp"])
    user = str(readings.userId.iloc[0]).encode()
    late = (user, b'{"userId": %b, "timestamp": 1, "x": 0.5, "y": 1, "z": 1}' % user)
    poison = POISON | {"late": late}

    send(stream, readings, *poison.values())
    report = stream.run("consume", "activity", "--available-now")

    assert report["refused"] == dict.fromkeys(poison, 1)
    found = {
        dict(one.headers)["reason"].decode(): (one.key, one.value)
        for one in messages(stream, ACTIVITY.topics.invalid, len(poison))
    }
    assert found == poison
    assert_equal(record(stream), expected)


def test_a_repeated_run_adds_nothing(stream: World, expected: pd.DataFrame) -> None:
    send(stream, stream.readings.sort_values(["userId", "timestamp"]))
    stream.run("consume", "activity", "--available-now")

    again = stream.run("consume", "activity", "--available-now")

    assert (again["rows"], again["predictions"], again["batches"]) == (0, 0, 0)
    assert_equal(record(stream), expected)
