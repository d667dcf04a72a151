"""Seconds of partition, train and test: both pipelines against the reference's plan in plain Spark, on the same rows.

One Spark session serves all three, and starting it counts for none. Each is first run on a few users, so that none pays
for compiling the code that the others share; further rounds begin with another one. MLflow counts alike on all sides:
each train logs its parameters and its model, each test its metrics and figures, to one SQLite store.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import DataFrame

from bench import recordings, reference
from bench.table import show
from bench.workspace import Workspace
from streamforest.errors import WrongUsage
from streamforest.ml.stages import RowsSelector
from streamforest.progress import say

JOBS = ("partition", "train", "test")
_FEWEST_USERS = 5
_WARM_USERS = 4
_FEATURE_RUNS = 4
_REFERENCE = "reference"


@dataclass(frozen=True)
class Timed:
    """One run of the three jobs."""

    seconds: dict[str, float]
    rows: int
    """Training and testing rows together."""
    macro_f1: float

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="measure N times, report medians (default: 1)"
    )
    parser.add_argument("--users", type=int, metavar="N", help="only N users, for a quick look (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of users (default: 0)")


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    if options.rounds < 1:
        raise WrongUsage(f"--rounds {options.rounds} is not a number of rounds", "give 1 or more")
    if options.users is not None and options.users < _FEWEST_USERS:
        raise WrongUsage(f"--users {options.users} leaves too few to test on", f"give {_FEWEST_USERS} or more")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, and return what the JSON line holds."""
    persons = recordings.in_order(recordings.people(place.source), options.seed)
    if options.users:
        persons = recordings.share(persons, min(1.0, options.users / len(persons)))
    source, warm = place.folder / "all.txt", place.folder / "warm.txt"
    recordings.write_split(place.source, source, persons)
    few = recordings.share(persons, min(1.0, _WARM_USERS / len(persons)))
    recordings.write_split(place.source, warm, few, folds=2)
    spark = place.spark()
    contenders: dict[str, Callable[[Path], Timed]] = {
        _REFERENCE: partial(_reference, place),
        **{name: partial(_project, place, name) for name in ("lags", "statistics")},
    }
    for name, contend in contenders.items():
        say(f"warming up: {name}")
        contend(_home(place, f"warm-{name}", warm))
    measured: dict[str, list[Timed]] = defaultdict(list)
    order = list(contenders)
    for turn in range(options.rounds):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            say(f"round {turn + 1}: {name}")
            measured[name].append(contenders[name](_home(place, f"{name}-{turn}", source)))
            say(f"round {turn + 1}: {name} took {measured[name][-1].total:.1f} s")
    features = _features(place, place.folder / "statistics-0")
    spark.stop()
    return _report(measured, features)


def _home(place: Workspace, name: str, source: Path) -> Path:
    home = place.home(name)
    (home / "data" / place.application.inputs.history).symlink_to(source)
    return home


def _project(place: Workspace, name: str, home: Path) -> Timed:
    """The project's own jobs."""
    reports = {
        "partition": place.job(home, "partition", "--split-at", str(recordings.SPLIT_AT)),
        "train": place.job(home, "train", "--pipeline", name),
        "test": place.job(home, "test", "--pipeline", name),
    }
    rows = reports["partition"]["rows_training"] + reports["partition"]["rows_testing"]
    seconds = {job: float(report["seconds"]) for job, report in reports.items()}
    return Timed(seconds, rows, reports["test"]["metrics"]["macro_f1"])


def _reference(place: Workspace, home: Path) -> Timed:
    """The same three jobs over :mod:`bench.reference`, with the same calls to MLflow."""
    spark, tracker = place.spark(), place.tracker(home)
    source, target = home / "data" / place.application.inputs.history, home / "data" / "partitioned"
    raw = place.application.schemas.raw
    clock = _Clock()

    reference.partition(spark, source, recordings.SPLIT_AT, target)
    clock.lap("partition")

    pipeline = reference.pipeline()
    with tracker.run(name=_REFERENCE) as run_id:
        model = pipeline.fit(spark.read.schema(raw).parquet(str(target / "training")))
        tracker.log_training(pipeline, {"pipeline": _REFERENCE}, {"pipeline": _REFERENCE})
        tracker.log_model(model, _signature(raw.names), home / "staging")
    model.write().save(str(home / "model" / _REFERENCE))
    clock.lap("train")

    model = PipelineModel.load(str(home / "model" / _REFERENCE))
    with tracker.run(run_id=run_id):
        found = reference.score(model, spark.read.schema(raw).parquet(str(target / "testing")))
        tracker.log_evaluation({"predicted": found}, found.metrics())
    clock.lap("test")

    rows = sum(spark.read.schema(raw).parquet(str(target / side)).count() for side in ("training", "testing"))
    return Timed(clock.seconds, rows, found.macro_f1)


class _Clock:
    """Seconds by name, each since the one before."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name], self._last = now - self._last, now


def _signature(names: list[str]) -> ModelSignature:
    return ModelSignature(inputs=Schema([ColSpec("double", name) for name in names]))


def _features(place: Workspace, home: Path) -> dict[str, float]:
    """Seconds from rows in memory to the vectors that a model is fitted to, thrown away; the best of some runs."""
    spark, application = place.spark(), place.application
    raw = application.schemas.raw
    partitioned = home / "data" / "partitioned"
    sides = [spark.read.schema(raw).parquet(str(partitioned / side)) for side in ("training", "testing")]
    rows = sides[0].unionByName(sides[1]).repartition(2 * place.settings.cores).persist()
    rows.count()
    stages = application.pipelines["statistics"].build().getStages()
    selector = next(index for index, stage in enumerate(stages) if isinstance(stage, RowsSelector))
    plans: dict[str, list[Any]] = {_REFERENCE: reference.vector_stages(), "statistics": stages[: selector + 1]}
    seconds = {}
    for name, planned in plans.items():
        say(f"features: {name}")
        # Labels play no part in the vectors, so that the one stage that would need fitting is left out.
        ready = [stage for stage in planned if isinstance(stage, Transformer)]
        seconds[name] = min(_discarded(ready, rows) for _ in range(_FEATURE_RUNS))
    rows.unpersist()
    return seconds


def _discarded(stages: list[Transformer], rows: DataFrame) -> float:
    started = time.monotonic()
    for stage in stages:
        rows = stage.transform(rows)
    rows.write.format("noop").mode("overwrite").save()
    return time.monotonic() - started


def _report(measured: dict[str, list[Timed]], features: dict[str, float]) -> dict[str, Any]:
    jobs = {
        name: {job: statistics.median(one.seconds[job] for one in runs) for job in JOBS}
        for name, runs in measured.items()
    }
    seconds = {name: statistics.median(one.total for one in runs) for name, runs in measured.items()}
    rows = {name: runs[0].rows for name, runs in measured.items()}
    macro_f1 = {name: runs[0].macro_f1 for name, runs in measured.items()}
    show(
        "seconds by job",
        ["pipeline", *JOBS, "all", "rows", "rows/s", "macro-F1"],
        [
            [name, *jobs[name].values(), seconds[name], rows[name], rows[name] / seconds[name], macro_f1[name]]
            for name in measured
        ],
    )
    show(
        "features only, from rows in memory",
        ["pipeline", "seconds", "rows/s"],
        [[name, taken, rows[name] / taken] for name, taken in features.items()],
    )
    speedup = seconds[_REFERENCE] / seconds["statistics"]
    features_speedup = features[_REFERENCE] / features["statistics"]
    print(f"\nstatistics against the reference: {speedup:.1f} times as fast, its features {features_speedup:.1f} times")
    return {
        "rows": rows["statistics"],
        "rows_by_pipeline": rows,
        "rounds": len(measured[_REFERENCE]),
        "seconds": seconds,
        "jobs": jobs,
        "rows_per_s": {name: rows[name] / seconds[name] for name in measured},
        "speedup": speedup,
        "features_seconds": features,
        "features_speedup": features_speedup,
        "macro_f1": macro_f1,
    }
