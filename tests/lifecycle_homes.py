"""A small home whose models differ as a test wants: good, worse, without a class, broken, without numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest import cli, files, settings
from streamforest.model.publication import ModelFolder, Version
from streamforest.model.tracking import Tracker
from tests.homes import HISTORY

ACTIONS = ("Jogging", "Sitting", "Walking")
_HERTZ = {"Jogging": 3.0, "Sitting": 0.0, "Walking": 1.5}
_START_MS = 1_370_367_549_273


def lines(users: range, seconds: int = 14) -> list[str]:
    """Raw lines at 20 Hz: each user does each of the actions for so long, a minute apart."""
    rng = np.random.default_rng(0)
    found = []
    for user in users:
        for turn, action in enumerate(ACTIONS):
            at_s = np.arange(20 * seconds) / 20
            sway = 4 * np.sin(2 * np.pi * _HERTZ[action] * at_s) if _HERTZ[action] else 0 * at_s
            values = np.column_stack([0.5 * sway, 9.8 + sway, 0.3 * sway]) + rng.normal(0, 0.4, (len(at_s), 3))
            start_ms = _START_MS + turn * 60_000
            found += [
                f"{user},{action},{start_ms + 50 * nth},{x:.2f},{y:.2f},{z:.2f};"
                for nth, (x, y, z) in enumerate(values)
            ]
    return found


def prepare(home: Path, users: range = range(1603, 1612), seconds: int = 14) -> None:
    """Write a history for the job partition, whose split at 1607 leaves users on both sides."""
    (home / "data").mkdir(parents=True)
    (home / "data" / HISTORY).write_text("\n".join(lines(users, seconds)) + "\n")


def run(home: Path, spark: SparkSession, *arguments: str, kafka: str = "") -> dict[str, Any]:
    """A job in this process, with a session that is there already."""
    return dict(cli.run([*arguments, "--home", str(home)], spark=spark, kafka=lambda _: kafka))


def taught(home: Path, spark: SparkSession, lesson: Callable[[DataFrame], DataFrame]) -> str:
    """Train a candidate on changed training rows, and return its version; the rows are put back."""
    training = home / "data" / "partitioned" / "training"
    kept = training.with_name(".training.kept")
    rows = spark.read.parquet(str(training)).localCheckpoint()
    training.rename(kept)
    try:
        lesson(rows).write.partitionBy("userId", "action").parquet(str(training))
        return str(run(home, spark, "train", "activity")["version"])
    finally:
        files.remove(training)
        kept.rename(training)


def mixed_up(rows: DataFrame) -> DataFrame:
    """Every second label of two actions exchanged: a model that learns it is worse."""
    other = F.when(F.col("action") == "Walking", "Jogging").when(F.col("action") == "Jogging", "Walking")
    return rows.withColumn("action", F.when(F.col("userId") % 2 == 0, F.coalesce(other, "action")).otherwise("action"))


def without_sitting(rows: DataFrame) -> DataFrame:
    return rows.where(F.col("action") != "Sitting")


def without_numbers(folder: Path) -> None:
    """Let every leaf of a saved forest hold NaN."""
    (stage,) = (folder / "stages").glob("*RandomForestClassifier*")
    for path in (stage / "data").glob("*.parquet"):
        table = pq.read_table(path)
        nodes = table.column("nodeData").combine_chunks()
        index = [field.name for field in nodes.type].index("impurityStats")
        columns = nodes.flatten()
        stats = columns[index]
        columns[index] = pa.ListArray.from_arrays(
            stats.offsets, pa.array(np.full(len(stats.values), np.nan)), type=stats.type
        )
        table = table.set_column(
            table.schema.get_field_index("nodeData"),
            table.schema.field("nodeData"),
            pa.StructArray.from_arrays(columns, fields=list(nodes.type)),
        )
        pq.write_table(table, path)
        files.remove(path.with_name(f".{path.name}.crc"))


def of_a_class_that_is_gone(folder: Path) -> None:
    """Let a stage be of a module that does not exist (any more)."""
    (stage,) = (folder / "stages").glob("*EventSeparator*")
    for path in (stage / "metadata").glob("part-*"):
        path.write_text(path.read_text().replace("streamforest.ml.stages.events", "streamforest.ml.stages.gone"))
        files.remove(path.with_name(f".{path.name}.crc"))


def remade(home: Path, version: str, change: Callable[[Path], None]) -> Version:
    """Change the files of a candidate as if it had been trained so: pointers and registry know the new checksum."""
    models = ModelFolder(home / "model")
    found = models.find(version)
    assert found is not None
    change(models.path(found))
    again = replace(found, checksum=files.folder_sha256(models.path(found)))
    for pointer in (f"versions/{version}.json", f"candidates/{found.pipeline}.json"):
        (home / "model" / pointer).write_text(json.dumps(asdict(again)))
    tracker = Tracker(settings.load(home=home), "activity")
    tracker.connect()
    tracker.set_checksum(version, again.checksum)
    return again
