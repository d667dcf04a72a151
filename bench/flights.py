"""Accuracy and macro-F1 of flight delays by month: each of the last months tested by what all earlier ones taught.

Compared on the same rows: the class that the departure delay alone tells (a tree of depth 5), the pipelines
``reference`` and ``history``, and LightGBM on the feature vectors of ``history``. A fold never sees a flight of a month
after the tested one. The figures are means over the tested months, each month counting the same.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.table import Cell, show
from bench.workspace import Workspace
from streamforest.application import TrainedModel
from streamforest.applications.flights import answering, classes
from streamforest.applications.flights.pipelines import DEPARTURE_DELAY, MAJORITY
from streamforest.applications.flights.schemas import MONTH
from streamforest.errors import WrongUsage
from streamforest.ml.evaluation import Evaluation, evaluate
from streamforest.ml.fit import fit
from streamforest.progress import say

APPLICATION = "flights"
LIGHTGBM = "lightgbm"
_BOOSTED = {"n_estimators": 150, "num_leaves": 31, "learning_rate": 0.1, "min_child_samples": 100, "verbose": -1}
_SEED = 0

Matrix = npt.NDArray[np.float64]
Folds = dict[str, dict[str, Evaluation]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--months", type=int, default=6, metavar="N", help="how many of the last are tested (default: 6)"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    if options.months < 1:
        raise WrongUsage(f"--months {options.months} tests nothing", "give 1 or more")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Train and test month by month, print the tables, and return what the JSON line holds."""
    spark = place.spark()
    rows = _rows(place)
    months = [row[MONTH] for row in rows.select(MONTH).distinct().orderBy(MONTH).collect()]
    if options.months >= len(months):
        raise WrongUsage(f"--months {options.months} leaves none of {len(months)} months to learn from", "give fewer")
    tested = months[-options.months :]
    folds: Folds = {}
    for month in tested:
        for name, found in _fold(place, rows, month).items():
            folds.setdefault(name, {})[month] = found
    spark.stop()
    _show(folds, tested)
    return {"rows": sum(each.rows for each in folds[DEPARTURE_DELAY].values()), **_means(folds), "months": _by(folds)}


def _rows(place: Workspace) -> DataFrame:
    """Accepted flights, kept as parquet in the workspace."""
    target = str(place.folder / "rows")
    records = place.application.read(place.spark(), [place.source]).where("reason is null")
    records.select(*place.application.schemas.raw.names).write.parquet(target)
    return place.spark().read.parquet(target)


def _fold(place: Workspace, rows: DataFrame, month: str) -> dict[str, Evaluation]:
    """Evaluations on the flights of a month by what is compared."""
    known = rows.where(F.col(MONTH) <= month)
    training, testing = known.where(F.col(MONTH) < month), known.where(F.col(MONTH) == month)
    found: dict[str, Evaluation] = {}
    for name, definition in place.application.pipelines.items():
        started = time.monotonic()
        model: PipelineModel
        model, count = fit(definition.build(), training, lambda: known)
        trained = TrainedModel(pipeline=model, serving=definition.serving, version="fold")
        scored = place.application.score(trained, testing)
        evaluations = evaluate(scored, answering.BASELINES)
        found |= {name: evaluations["predicted"], **{each: evaluations[each] for each in answering.BASELINES}}
        say(f"{month}: {name} {_told(found[name])}, {count:,} rows, {time.monotonic() - started:.0f} s")
        if name == place.application.default_pipeline:
            found[LIGHTGBM] = _boosted(model, training, testing)
            say(f"{month}: {LIGHTGBM} {_told(found[LIGHTGBM])}")
    return found


def _boosted(model: PipelineModel, training: DataFrame, testing: DataFrame) -> Evaluation:
    """LightGBM on the vectors that the forest of a pipeline sees."""
    from lightgbm import LGBMClassifier

    vectors, labels = _vectors(model, training)
    booster = LGBMClassifier(random_state=_SEED).set_params(**_BOOSTED).fit(vectors, labels)
    held_out, expected = _vectors(model, testing)
    predicted = np.asarray(booster.predict(held_out), dtype=np.int64)
    # The index of a label is the number of its class where training has all of them, as every month has.
    confusion = np.zeros((len(classes.NAMES), len(classes.NAMES)), dtype=np.int64)
    np.add.at(confusion, (expected, predicted), 1)
    return Evaluation(tuple(classes.NAMES), confusion)


def _vectors(model: PipelineModel, rows: DataFrame) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Feature vectors, shape (rows, features), and the indexes of their labels."""
    assembled = PipelineModel(model.stages[:-1]).transform(rows)
    table = assembled.select(
        vector_to_array(F.col("features")).alias("features"), F.col("label").cast("long")
    ).toArrow()
    flat = table.column("features").combine_chunks().flatten().to_numpy()
    return flat.reshape(table.num_rows, -1), table.column("label").to_numpy()


def _told(found: Evaluation) -> str:
    return f"accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f}"


def _means(folds: Folds) -> dict[str, dict[str, float]]:
    """Means over the months by what is compared."""
    return {
        name: {
            measure: float(np.mean([found.totals()[measure] for found in by_month.values()]))
            for measure in ("accuracy", "macro_f1")
        }
        for name, by_month in folds.items()
    }


def _by(folds: Folds) -> dict[str, dict[str, dict[str, float]]]:
    """The metrics of each month by what is compared."""
    return {name: {month: found.totals() for month, found in by_month.items()} for name, by_month in folds.items()}


def _show(folds: Folds, months: list[str]) -> None:
    means = _means(folds)
    names = [MAJORITY, DEPARTURE_DELAY, *(name for name in folds if name not in answering.BASELINES)]
    for measure, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1")):
        lines: list[list[Cell]] = [
            [name, *(folds[name][month].totals()[measure] for month in months), means[name][measure]] for name in names
        ]
        show(f"{title} on the flights of a month", ["predicted by", *months, "mean"], lines)
