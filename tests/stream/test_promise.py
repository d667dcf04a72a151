"""The promise: what the stream predicts is what the batch path computes from the same readings.

Real recordings where the machine has them, generated ones elsewhere. The right-hand side is the published Spark
pipeline; the left-hand side the exported forest over sharded state, so that the equation compares the two as well.
"""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from streamforest import settings
from streamforest.embedded.broker import Broker
from streamforest.kafka import Kafka
from streamforest.streaming.topics import create_topics
from tests.homes import HISTORY, LIVE, RECORDINGS, REPOSITORY, environment
from tests.streams import ACTIVITY, KEYS, World, assert_equal, copy_users, interleaved, messages, record, send, wait_for

READINGS_OF_A_USER = 3600


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
        create_topics(Kafka(broker.bootstrap_servers), ACTIVITY.topics.all())
        yield replace(world, home=tmp_path, kafka=broker.bootstrap_servers)


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


def test_who_was_silent_for_too_long_begins_a_new_event(stream: World, world: World) -> None:
    """Protection: a silence moves the user's clock on; else the readings behind it belong to no window of the batch."""
    user = stream.readings.userId.iloc[0]
    own = stream.readings[stream.readings.userId == user].sort_values("timestamp")
    half = len(own) // 2
    now_ms = time.time_ns() // 1_000_000
    for rows, arrived_ms in ((own.iloc[:half], now_ms), (own.iloc[half:], now_ms + 31_000)):
        send(stream, rows, arrived_ms=arrived_ms)

    report = stream.run("consume", "activity", "--available-now", "--state-ttl", "30", "--max-records", "700")

    last_ms = own.timestamp.iloc[half - 1]
    late = (own.timestamp > last_ms) & (own.timestamp <= last_ms + 500)
    folder = world.home / "data" / "accepted"
    folder.mkdir()
    own[~late].astype({"userId": "int32"}).to_parquet(folder / "readings.parquet", index=False)
    assert report["refused"] == {"late": int(late.sum())}
    assert 0 < late.sum() <= 10
    assert_equal(record(stream), pd.read_parquet(world.run("consume", "activity", "--batch", str(folder))["path"]))


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


def reading(**changes: str) -> bytes:
    """A reading's JSON, fields replaced or (by an empty text) left out."""
    fields = {"userId": "1", "timestamp": "1370367549273", "x": "0.5", "y": "1", "z": "1"} | changes
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items() if text) + "}").encode()


TEN_MEGABYTES = 10 * 2**20
POISON: dict[str, list[tuple[bytes | None, bytes | None]]] = {
    "null": [(b"1", None)],
    "encoding": [(b"1", b'{"userId": 1, "timestamp": 1, "x": 1, "y": 1, "z": "\xff"}'), (b"\xff", bytes(range(256)))],
    "json": [
        (b"1", b"walking"),
        (b"1", b""),
        (b"1", b"[1, 2"),
        (b"1", reading()[:-1]),
        (b"1", reading(userId='"one"')),
        (b"1", reading(userId="1.5")),
        (b"1", reading(timestamp="1e400")),
        (b"1", reading(x='"0.5"')),
        (b"1", reading(x="NaN")),
        (b"1", reading(x="Infinity")),
        (b"1", reading(x="-Infinity")),
        (b"1", reading(x="[0.5]")),
        (b"1", reading(userId="9999999999")),
        (b"1", b"x" * TEN_MEGABYTES),
    ],
    "fields": [(None, reading(z="")), (b"1", reading(z="null")), (b"1", b"{}")],
    "user": [(b"-1", reading(userId="-1"))],
    "zero": [(b"1", reading(timestamp="0", x="0", y="0", z="0"))],
    "timestamp": [
        (b"1", reading(timestamp="-1370367549273")),
        (b"1", reading(timestamp="32503680000000")),
        (b"1", reading(timestamp="9223372036854775807")),
    ],
    "number": [(b"1", reading(x="1e999")), (b"1", reading(y="-1e999"))],
}
HARMLESS = {
    "a wrong key": (b"another", reading(userId="77")),
    "no key": (None, reading(userId="78")),
    "unknown fields": (b"79", reading(userId="79", mood='"fine"', nested='{"a": [1]}')),
    "10 MB of an unknown field": (b"80", reading(userId="80", note='"' + "x" * TEN_MEGABYTES + '"')),
}


def test_what_is_refused_goes_to_the_invalid_topic_as_it_was(stream: World, expected: pd.DataFrame) -> None:
    readings = stream.readings.sort_values(["userId", "timestamp"])
    user = str(readings.userId.iloc[0])
    poison = POISON | {"late": [(user.encode(), reading(userId=user, timestamp="1"))]}

    send(stream, readings, *itertools.chain.from_iterable(poison.values()), *HARMLESS.values())
    report = stream.run("consume", "activity", "--available-now")

    assert report["refused"] == {reason: len(records) for reason, records in poison.items()}
    assert report["rows"] == len(readings) + sum(map(len, poison.values())) + len(HARMLESS)
    found: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
    for one in messages(stream, ACTIVITY.topics.invalid, sum(map(len, poison.values()))):
        found.setdefault(dict(one.headers)["reason"].decode(), []).append((one.key, one.value))
    assert {reason: Counter(records) for reason, records in found.items()} == {
        reason: Counter(records) for reason, records in poison.items()
    }
    assert_equal(record(stream), expected)


def test_a_repeated_run_adds_nothing(stream: World, expected: pd.DataFrame) -> None:
    send(stream, stream.readings.sort_values(["userId", "timestamp"]))
    stream.run("consume", "activity", "--available-now")

    again = stream.run("consume", "activity", "--available-now")

    assert (again["rows"], again["predictions"], again["batches"]) == (0, 0, 0)
    assert_equal(record(stream), expected)
