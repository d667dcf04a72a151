"""Promises that every stage keeps, stated once; and what each stage does."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import Estimator, Model, Pipeline, PipelineModel, Transformer
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from streamforest.ml import stages
from streamforest.ml.windows import event_starts

AXES = ["x", "y", "z"]
SCHEMA = (
    "userId int, action string, label double, timestamp bigint, x double, y double, z double,"
    " event bigint, position bigint, origin string, dest string, day date"
)

STAGES: dict[str, Callable[[], Transformer | Estimator[Any]]] = {
    "FilterNulls": lambda: stages.FilterNulls(inputCols=["x", "action"]),
    "CapValues": lambda: stages.CapValues(inputCols=AXES, limit=20.0),
    "EventSeparator": lambda: stages.EventSeparator(inputCols=["userId", "action"], outputCol="separated"),
    "FeaturesGenerator": lambda: stages.FeaturesGenerator(inputCols=AXES, keyCols=["userId", "action", "label"]),
    "WindowStatistics": lambda: stages.WindowStatistics(inputCols=AXES, keyCols=["userId", "action", "label"]),
    "ColumnSelector": lambda: stages.ColumnSelector(inputCols=["userId", "x"], optionalCols=["label", "absent"]),
    "RowsSelector": lambda: stages.RowsSelector(inputCol="position", step=20),
    "ClassWeightBalancer": lambda: stages.ClassWeightBalancer(inputCol="label", outputCol="weight"),
    "CategoryIndexer": lambda: stages.CategoryIndexer(inputCols=["action"], outputCols=["actionIndex"], limit=1),
    "GreatCircle": lambda: stages.GreatCircle(inputCols=["origin", "dest"], outputCol="miles"),
    "PastMeans": lambda: stages.PastMeans(
        inputCol="x", minusCol="y", dateCol="day", scopes=["all3:3:", "user2:2:userId,action"]
    ),
    "TypicalValues": lambda: stages.TypicalValues(inputCols=["x", "y"], levels=["userId,action", "action", ""]),
}


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """Two users' walks of 6 s, with positions counted, and rows in which every column but the user is null."""
    found = []
    for user, action, label in ((1, "Walking", 0.0), (2, "Sitting", 1.0)):
        start_ms = 1_370_367_549_273
        for nth in range(120):
            values = [round(float(np.sin(nth / 3 + axis) * 30), 4) for axis in range(3)]
            airports = ("JFK", "LAX" if nth % 2 else "ZZZ")
            day = dt.date(2013, 7, 1 + nth % 4)
            found.append((user, action, label, start_ms + 50 * nth, *values, start_ms, nth, *airports, day))
        found.append((user, *[None] * 11))
    return spark.createDataFrame(found, SCHEMA).repartition(3)


def fitted(stage: Transformer | Estimator[Any], rows: DataFrame) -> Transformer:
    return stage.fit(rows) if isinstance(stage, Estimator) else stage


def test_every_stage_is_checked() -> None:
    ours = {name for name in stages.__all__ if not issubclass(getattr(stages, name), Model)}

    assert ours == set(STAGES)


def test_saved_stages_give_equal_output_in_a_fresh_process(rows: DataFrame, tmp_path: Path) -> None:
    rows.write.parquet(str(tmp_path / "rows"))
    for name, stage in STAGES.items():
        model = PipelineModel([fitted(stage(), rows)])
        model.save(str(tmp_path / name / "model"))
        model.transform(rows).write.parquet(str(tmp_path / name / "expected"))

    subprocess.run([sys.executable, __file__, str(tmp_path)], check=True, timeout=300)


@pytest.mark.parametrize("name", STAGES)
def test_an_unfitted_stage_is_saved_with_its_parameters(name: str, tmp_path: Path) -> None:
    stage = STAGES[name]()

    Pipeline(stages=[stage]).save(str(tmp_path / "pipeline"))
    (loaded,) = Pipeline.load(str(tmp_path / "pipeline")).getStages()

    assert type(loaded) is type(stage)
    assert {param.name: value for param, value in loaded.extractParamMap().items()} == {
        param.name: value for param, value in stage.extractParamMap().items()
    }


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_changes_its_input(name: str, rows: DataFrame) -> None:
    before = rows.collect()
    model = fitted(STAGES[name](), rows)

    model.transform(rows).count()

    assertDataFrameEqual(rows, before)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_survives_rows_of_nulls(name: str, rows: DataFrame) -> None:
    model = fitted(STAGES[name](), rows)

    nulls = model.transform(rows.where("x is null")).collect()

    assert len(nulls) <= 2


@pytest.mark.parametrize("name", STAGES)
def test_an_empty_frame_gives_the_same_columns(name: str, rows: DataFrame) -> None:
    model = fitted(STAGES[name](), rows)

    empty = model.transform(rows.limit(0))

    assert empty.schema == model.transform(rows).schema
    assert empty.count() == 0


@pytest.mark.parametrize("name", STAGES)
def test_a_copy_with_another_parameter_leaves_the_original(name: str) -> None:
    stage = STAGES[name]()
    params = [param for param in stage.params if stage.isDefined(param)]
    before = {param.name: stage.getOrDefault(param) for param in params}
    changed = params[0]
    other: Any = ["other"] if isinstance(before[changed.name], list) else before[changed.name]

    copy = stage.copy({changed: other})

    assert type(copy) is type(stage)
    assert copy.getOrDefault(changed.name) == other
    assert {param.name: stage.getOrDefault(param) for param in params} == before


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_can_be_made_without_arguments(name: str) -> None:
    assert type(STAGES[name]())().uid.startswith(name)


def test_values_are_capped_at_both_ends(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(5.9e20,), (-5.9e20,), (19.9,), (None,)], "x double")

    capped = stages.CapValues(inputCols=["x"], limit=20.0).transform(frame)

    assertDataFrameEqual(capped, [Row(x=20.0), Row(x=-20.0), Row(x=19.9), Row(x=None)])


def test_rows_with_null_or_nan_are_filtered(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [(1.0, "a"), (float("nan"), "b"), (None, "c"), (2.0, None)], "x double, action string"
    )

    kept = stages.FilterNulls(inputCols=["x", "action", "absent"]).transform(frame)

    assertDataFrameEqual(kept, [Row(x=1.0, action="a")])


def test_events_are_those_of_the_kernel(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    users = np.repeat([1, 2], 200)
    times_ms = np.concatenate([10**12 + np.cumsum(rng.choice([50, 500, 501, 9000], 200)) for _ in range(2)])
    frame = spark.createDataFrame(
        list(zip(users.tolist(), times_ms.tolist(), strict=True)), "userId int, timestamp bigint"
    )

    separated = stages.EventSeparator(inputCols=["userId"], gapMs=500).transform(frame.repartition(4))

    found = separated.orderBy("userId", "timestamp").toPandas()["event"].to_numpy()
    starts = event_starts(users, times_ms, 500)
    assert found.tolist() == times_ms[starts][np.cumsum(starts) - 1].tolist()


def test_no_event_holds_two_activities(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [(1, "Walking", 0), (1, "Jogging", 50), (1, "Walking", 100)], "userId int, action string, timestamp bigint"
    )

    separated = stages.EventSeparator(inputCols=["userId", "action"]).transform(frame)

    assert {(row.action, row.event) for row in separated.collect()} == {("Walking", 0), ("Jogging", 50)}


def test_computing_only_the_selected_windows_gives_the_same_windows(rows: DataFrame) -> None:
    clean = rows.dropna()
    every = stages.FeaturesGenerator(inputCols=AXES, keyCols=["userId"], stride=1).transform(clean)
    selected = stages.RowsSelector(inputCol="position", step=20).transform(every)

    direct = stages.FeaturesGenerator(inputCols=AXES, keyCols=["userId"], stride=20).transform(clean)

    assert every.count() == 2 * 21
    assertDataFrameEqual(selected.select(direct.columns), direct)


def test_vectors_name_their_elements(rows: DataFrame) -> None:
    windows = stages.WindowStatistics(inputCols=AXES, keyCols=["userId"]).transform(rows)

    described = windows.schema["statistics"].metadata["ml_attr"]

    size = len(windows.first()["statistics"])  # type: ignore[index]
    assert described["num_attrs"] == size == len(described["attrs"]["numeric"])


def test_weights_make_classes_count_the_same(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(0.0,)] * 3 + [(1.0,), (None,)], "label double")

    model = stages.ClassWeightBalancer(inputCol="label", outputCol="weight").fit(frame)
    weighed = model.transform(frame.union(spark.createDataFrame([(9.0,)], "label double")))

    total = {row.label: row.total for row in weighed.groupBy("label").agg(F.sum("weight").alias("total")).collect()}
    assert total[0.0] == total[1.0] == 2.0
    assert total[None] == total[9.0] == 1.0


def _compare(folder: Path) -> None:
    """The fresh process of the reload check: load, transform, compare."""
    from streamforest import session, settings

    spark = session.build(settings.load(home=folder), "reload")
    rows = spark.read.parquet(str(folder / "rows"))
    for name in STAGES:
        model = PipelineModel.load(str(folder / name / "model"))
        assertDataFrameEqual(model.transform(rows), spark.read.parquet(str(folder / name / "expected")))


if __name__ == "__main__":
    _compare(Path(sys.argv[1]))
