"""Accuracy and macro-F1 of every pipeline, cross-validated by whole users.

Users are sorted by how many activities they recorded, at random among equals, and dealt to the folds in turn, so that
every fold tests on its share of those who recorded the hard ones. Windows and their features depend on no other row, so
they are computed once; everything that learns (StringIndexer, PCA, scaling, class weights, forest) is fitted anew in
each fold, on its training users alone. Scored are the application's own predictions. The result is that of all held-out
predictions pooled; the mean over the folds stands beside it as ``fold_mean``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.ml import Estimator, Pipeline, PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from bench import recordings
from bench.table import Cell, show
from bench.workspace import Workspace
from streamforest.application import PipelineDefinition, TrainedModel
from streamforest.errors import WrongUsage
from streamforest.ml.evaluation import Evaluation, add, evaluate
from streamforest.ml.fit import fit
from streamforest.progress import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="how many (default: 5)")
    parser.add_argument("--users", type=int, metavar="N", help="only N users, for a quick look (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the dealing of users (default: 0)")


def check(options: argparse.Namespace) -> None:
    """Refuse options without a meaning."""
    if options.folds < 2:
        raise WrongUsage(f"--folds {options.folds} leaves nobody to test on", "give 2 or more")
    if options.users is not None and options.users < options.folds:
        raise WrongUsage(f"--users {options.users} are fewer than the folds", f"give {options.folds} or more")


def run(place: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Cross-validate, print the tables, and return what the JSON line holds."""
    persons = recordings.in_order(recordings.people(place.source), options.seed)
    if options.users:
        persons = recordings.share(persons, min(1.0, options.users / len(persons)))
    if len(persons) < options.folds:
        raise WrongUsage(f"--folds {options.folds} are more than the {len(persons)} users", "give fewer")
    hands = [[person.user for person in hand] for hand in recordings.deal(persons, options.folds)]
    spark = place.spark()
    rows = _rows(place, [user for hand in hands for user in hand])
    found = {name: _validate(place, name, rows, hands) for name in place.application.pipelines}
    spark.stop()
    pooled = {name: add(folds) for name, folds in found.items()}
    _show(pooled, found)
    return {
        "folds": options.folds,
        "seed": options.seed,
        "users": len(persons),
        "rows": sum(person.rows for person in persons),
        **{name: _result(pooled[name], folds) for name, folds in found.items()},
    }


def _rows(place: Workspace, users: list[int]) -> DataFrame:
    """Accepted records of the users, kept as parquet in the workspace."""
    target = str(place.folder / "rows")
    names = place.application.schemas.raw.names
    records = place.application.read(place.spark(), [place.source]).where("reason is null").select(*names)
    records.where(F.col("userId").isin(users)).write.parquet(target)
    return place.spark().read.parquet(target)


def _validate(place: Workspace, name: str, rows: DataFrame, hands: list[list[int]]) -> list[dict[str, Evaluation]]:
    """Of each fold the evaluations of its held-out users."""
    definition = place.application.pipelines[name]
    before, _ = _cut(definition.build())
    windows = Pipeline(stages=before).fit(rows).transform(rows).drop("label").persist(StorageLevel.MEMORY_AND_DISK)
    say(f"{name}: {windows.count():,} windows of {rows.count():,} rows")
    folds = []
    for number, users in enumerate(hands, start=1):
        folds.append(_fold(place, definition, windows, F.col("userId").isin(users)))
        scores = ", ".join(f"{column} {found.macro_f1:.3f}" for column, found in folds[-1].items())
        say(f"{name}: fold {number} of {len(hands)}, macro-F1 {scores}")
    windows.unpersist()
    return folds


def _fold(
    place: Workspace, definition: PipelineDefinition, windows: DataFrame, held_out: Column
) -> dict[str, Evaluation]:
    before, after = _cut(definition.build())
    # What learns before the windows learns from the training users here.
    learners = [stage for stage in before if isinstance(stage, Estimator)]
    model: PipelineModel
    model, _ = fit(Pipeline(stages=[*learners, *after]), windows.where(~held_out))
    trained = TrainedModel(pipeline=model, serving=definition.serving, version="fold")
    application = place.application
    return evaluate(application.score(trained, windows.where(held_out)), application.variants)


def _cut(pipeline: Pipeline) -> tuple[list[Any], list[Any]]:
    """Stages up to the last expensive one, which makes the windows, and those behind it."""
    stages = pipeline.getStages()
    last = max(index for index, stage in enumerate(stages) if getattr(stage, "expensive", False))
    return stages[: last + 1], stages[last + 1 :]


def _result(pooled: dict[str, Evaluation], folds: list[dict[str, Evaluation]]) -> dict[str, Any]:
    """Metrics of the windows alone at the top, those of each variant below its name."""
    return {
        **_numbers(pooled, folds, "predicted"),
        **{column: _numbers(pooled, folds, column) for column in pooled if column != "predicted"},
    }


def _numbers(pooled: dict[str, Evaluation], folds: list[dict[str, Evaluation]], column: str) -> dict[str, Any]:
    return {
        **pooled[column].metrics(),
        "fold_mean": {
            "accuracy": float(np.mean([fold[column].accuracy for fold in folds])),
            "macro_f1": float(np.mean([fold[column].macro_f1 for fold in folds])),
        },
        "fold_macro_f1": [fold[column].macro_f1 for fold in folds],
    }


def _show(pooled: dict[str, dict[str, Evaluation]], folds: dict[str, list[dict[str, Evaluation]]]) -> None:
    lines: list[list[Cell]] = [
        [
            f"{name} {column}",
            evaluation.rows,
            evaluation.accuracy,
            evaluation.macro_f1,
            float(np.mean([fold[column].macro_f1 for fold in folds[name]])),
        ]
        for name, evaluations in pooled.items()
        for column, evaluation in evaluations.items()
    ]
    show("held-out users", ["pipeline", "windows", "accuracy", "macro-F1", "mean of folds' macro-F1"], lines)
    for name, evaluations in pooled.items():
        for column, evaluation in evaluations.items():
            by_class: list[list[Cell]] = [
                [label, *(values[key] for key in ("precision", "recall", "f1")), int(values["support"])]
                for label, values in evaluation.by_class().items()
            ]
            show(f"{name} {column}", ["class", "precision", "recall", "F1", "windows"], by_class)
