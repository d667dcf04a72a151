"""A drill: a stream to which something is done, and the equation that must hold afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pyspark.sql import SparkSession

from streamforest import settings
from streamforest.embedded.broker import Broker
from streamforest.kafka import Kafka
from streamforest.model import lifecycle
from streamforest.model.publication import ModelFolder
from streamforest.model.tracking import Tracker
from streamforest.platform.drill import readings
from streamforest.streaming.topics import create_topics
from tests import lifecycle_homes as homes
from tests.guide import written_table
from tests.streams import ACTIVITY, KEYS, World, interleaved, record, send

ROW = "drill"
HEAD = ("drill", "what is done", "predictions expected", "found", "missing", "twice", "different", "holds")
_INTRODUCTION = """# Drills

What is done to a stream on purpose, and what the record holds afterwards beside what the batch path computes from the
same readings, each prediction with the version that the record names. `make drills-table` wrote this page; `make
drills` runs each drill once, `make drills-long` with ten times the readings and long pauses. What protects in each case
is in the docstring of the test of that name in `tests/drills`, what each says without it in
[Protections](protections.md). Kills of the stream's driver at any moment are in `tests/stream/test_promise.py`, those
of the other jobs in `tests/system/test_kill.py`; what is done to the platform's containers is in
[Operations](operations.md).

Every drill runs without an MLflow. One has no line, since no equation is left to compare: records that expired unread
stop the stream (`test_records_that_expired_unread_stop_the_stream`).
"""
NO_MLFLOW = "http://127.0.0.1:9"
"""A stream needs none: every drill runs without it."""
_LIMIT_S = 300


@dataclass(frozen=True)
class Models:
    """A home with two versions."""

    home: Path
    spark: SparkSession
    first: str
    second: str

    @classmethod
    def make(cls, home: Path, spark: SparkSession) -> Self:
        """Train both; the second learnt from half of the users, so that it says other things."""
        homes.prepare(home)
        homes.run(home, spark, "partition", "activity")
        first = homes.run(home, spark, "train", "activity")["version"]
        assert homes.run(home, spark, "test", "activity")["gate"]["passed"]
        second = homes.taught(home, spark, lambda rows: rows.where("userId < 1605"))
        return cls(home, spark, first, second)


@dataclass(frozen=True)
class Length:
    """How long a drill is."""

    seconds: int
    """Of each user's readings."""
    pause_s: int
    """For how long something stands still."""


SHORT, LONG = Length(seconds=45, pause_s=4), Length(seconds=450, pause_s=150)
"""The long pause is longer than Kafka's clients wait for one answer (30 s) and for a message to arrive (120 s)."""


@dataclass
class Drill:
    """One stream: its home, its broker, what was sent."""

    models: Models
    home: Path
    broker: Broker
    length: Length
    sent: pd.DataFrame
    held: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def begin(cls, models: Models, home: Path, length: Length) -> Iterator[Drill]:
        """A home with the models, and a broker."""
        shutil.copytree(models.home / "model", home / "model", symlinks=True)
        with Broker(home / "data" / "kafka", settings.load(home=home)) as broker:
            create_topics(Kafka(broker.bootstrap_servers), ACTIVITY.topics.all())
            yield cls(models, home, broker, length, readings(length.seconds).to_pandas())

    @property
    def stream(self) -> World:
        return World(self.home, self.models.spark, self.sent, self.broker.bootstrap_servers)

    @property
    def folder(self) -> ModelFolder:
        return ModelFolder(self.home / "model")

    @property
    def tracker(self) -> Tracker:
        return Tracker(settings.load(home=self.home), ACTIVITY.name)

    def send(self, rows: pd.DataFrame) -> None:
        """Readings to Kafka in this order."""
        send(self.stream, rows)

    def mixed(self, seed: int = 1) -> pd.DataFrame:
        """The readings, users interleaved."""
        return interleaved(self.sent, seed)

    def consume(self, *options: str) -> dict[str, Any]:
        """Predict what there is, without an MLflow."""
        given = ["consume", "activity", "--available-now", *options, "--tracking-uri", NO_MLFLOW]
        return self.stream.run(*given)

    @contextlib.contextmanager
    def consuming(self, *options: str) -> Iterator[Consumer]:
        """A stream that runs until it is stopped, or ends by an error."""
        given = ["consume", "activity", *options, "--tracking-uri", NO_MLFLOW]
        consumer = Consumer(self, given)
        consumer.start()
        try:
            yield consumer
        finally:
            consumer.stop()

    def publish(self, version: str) -> None:
        """Promote a version, as an operator does."""
        lifecycle.promote(self.folder, self.tracker, lifecycle.require(self.folder, version))

    def rollback(self) -> None:
        lifecycle.rollback(self.folder, self.tracker)

    def folders(self) -> int:
        """Micro-batches in the record."""
        return len(list((self.home / "predictions").glob("pred_batch_*")))

    def is_half_done(self) -> bool:
        """True while a micro-batch is under way of which some shard has left its files."""
        return any((self.home / "predictions").glob(".pred_batch_*/_report-*.json"))

    def expected(self, rows: pd.DataFrame | None = None) -> pd.DataFrame:
        """What the batch path predicts, each prediction with the version that the record names."""
        folder = self.home / "data" / "expected"
        folder.mkdir(parents=True, exist_ok=True)
        chosen = self.sent if rows is None else rows
        chosen.astype({"userId": "int32"}).to_parquet(folder / "readings.parquet", index=False)
        report = self.stream.run("consume", "activity", "--batch", str(folder), "--as-recorded")
        return pd.read_parquet(report["path"])

    def holds(self, what: str, rows: pd.DataFrame | None = None) -> pd.DataFrame:
        """Note a line of the table, and return the record, which must be what the batch path predicts."""
        found, expected = record(self.stream), self.expected(rows)
        twice = int(found.duplicated(KEYS).sum())
        both = found.drop_duplicates(KEYS).merge(expected, on=KEYS, how="outer", suffixes=("", "_b"), indicator=True)
        missing = int((both["_merge"] == "right_only").sum())
        matched = both[both["_merge"] == "both"]
        close = (matched.probability - matched.probability_b).abs() < 1e-9
        same = (matched.action == matched.action_b) & (matched.modelVersion == matched.modelVersion_b) & close
        different = int((~same).sum()) + int((both["_merge"] == "left_only").sum())
        holds = len(expected) > 0 and (missing, twice, different) == (0, 0, 0)
        counts = (len(expected), len(found), missing, twice, different)
        self.held.append((what, *map(str, counts), "yes" if holds else "no"))
        assert holds, dict(zip(HEAD[2:], self.held[-1][1:], strict=True))
        return found

    def rows(self, name: str) -> list[tuple[str, ...]]:
        """Lines of the table, with the name of the test."""
        return [(name, *row) for row in self.held]


class Consumer(threading.Thread):
    """A stream in a thread of this process, since only one JVM fits beside the broker."""

    def __init__(self, drill: Drill, given: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._drill, self._given = drill, given
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._drill.stream.run(*self._given)
        except BaseException as error:
            self.error = error

    def until(self, predicate: Callable[[], bool], *, may_end: bool = False, pause_s: float = 0.05) -> None:
        """Wait until the predicate holds, or, where it may, the stream has ended."""
        deadline = time.monotonic() + _LIMIT_S
        while not predicate():
            if not self.is_alive():
                assert may_end, f"the stream ended: {self.error!r}"
                return
            assert time.monotonic() < deadline, "the stream stands still"
            time.sleep(pause_s)

    def until_all(self) -> None:
        """Wait until every window that was sent is in the record."""
        windows = sum(max((len(part) - 100) // 20 + 1, 0) for _, part in self._drill.sent.groupby("userId"))
        self.until(lambda: len(record(self._drill.stream)) >= windows)

    def stop(self) -> None:
        """End the stream between two micro-batches, if it runs."""
        deadline = time.monotonic() + _LIMIT_S
        while self.is_alive() and time.monotonic() < deadline:
            for query in self._drill.models.spark.streams.active:
                if not query.status["isTriggerActive"]:
                    query.stop()
            self.join(0.05)
        assert not self.is_alive()


def descendants(pid: int) -> list[int]:
    """Processes below a process, itself left out."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = list(parents.get(pid, []))
    for one in found:
        found += parents.get(one, [])
    return found


def python_workers() -> list[int]:
    """Processes in which Spark runs Python for this process; not the daemon that each of them was forked by."""
    daemons = [pid for pid in descendants(os.getpid()) if b"pyspark.daemon" in command_of(pid)]
    return [pid for daemon in daemons for pid in descendants(daemon)]


def command_of(pid: int) -> bytes:
    """The command line of a process; empty where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Markdown of the rows."""
    return written_table(HEAD, rows)


def page(rows: Sequence[tuple[str, ...]]) -> str:
    """docs/drills.md."""
    return f"{_INTRODUCTION}\n{table(rows)}\n"
