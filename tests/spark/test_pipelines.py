"""Both pipelines on real readings where there are some: stages by name, the reload, and the forest outside Spark."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest import application, cli, settings
from streamforest.application import TrainedModel
from streamforest.jobs.context import Context
from streamforest.ml import serving
from streamforest.model.publication import ModelFolder
from tests.homes import HISTORY, RECORDINGS, environment
from tests.streams import copy_users

ACTIVITY = application.load("activity", ["streamforest.applications"])
LAGS = [
    "FilterNulls",
    "StringIndexerModel",
    "CapValues",
    "EventSeparator",
    "FeaturesGenerator",
    "FilterNulls",
    "VectorAssembler",
    "ColumnSelector",
    "RowsSelector",
    "PCAModel",
    "MinMaxScalerModel",
    "ColumnSelector",
    "ClassWeightBalancerModel",
    "RandomForestClassificationModel",
]
STATISTICS = [
    "WindowStatistics" if name == "FeaturesGenerator" else name
    for position, name in enumerate(LAGS)
    if name not in ("PCAModel", "MinMaxScalerModel") and position != 11
]
"""The same frame: other features, and no projection with what it needs around it."""

PIPELINES = {"lags": LAGS, "statistics": STATISTICS}


@pytest.fixture(scope="module")
def home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which both pipelines were trained."""
    found = tmp_path_factory.mktemp("pipelines")
    (found / "data").mkdir()
    if RECORDINGS.is_dir():
        copy_users(RECORDINGS / "WISDM51_20hz_raw.txt.xz", found / "data" / HISTORY, [1600, 1604, 1607])
    else:
        ACTIVITY.inputs.generate(found / "data", 0)
    for arguments in (["partition"], *(["train", "--pipeline", name] for name in PIPELINES)):
        cli.run([arguments[0], "activity", *arguments[1:], "--home", str(found)], spark=spark)
    return found


@pytest.fixture(scope="module")
def load(home: Path) -> Callable[[str], TrainedModel]:
    """A trained pipeline by name."""
    models = ModelFolder(home / "model")
    return lambda name: models.load(models.candidate(name))


@pytest.fixture(scope="module")
def testing(home: Path, spark: SparkSession) -> DataFrame:
    context = Context(ACTIVITY, settings.load(home=home), "test", given_spark=spark)
    return context.partitioned(context.places.testing)


@pytest.mark.parametrize("name", PIPELINES)
def test_stages_carry_the_references_names(load: Callable[[str], TrainedModel], name: str) -> None:
    assert [type(stage).__name__ for stage in load(name).pipeline.stages] == PIPELINES[name]


def test_the_reference_forest_has_the_references_shape(load: Callable[[str], TrainedModel]) -> None:
    forest = load("lags").pipeline.stages[-1]

    assert (forest.getNumTrees, forest.getMaxDepth(), forest.numFeatures) == (40, 10, 10)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_exported_model_gives_sparks_class_and_probability_on_every_test_row(
    home: Path, load: Callable[[str], TrainedModel], testing: DataFrame, name: str
) -> None:
    model = load(name)
    scorer = serving.load(ModelFolder(home / "model").path(ModelFolder(home / "model").candidate(name)))
    transformed = model.pipeline.transform(testing)
    rows = transformed.select("features", "probability", "prediction")
    expected = rows.select(*[vector_to_array(F.col(column)).alias(column) for column in ("features", "probability")])
    table: pa.Table = expected.toArrow()
    vectors, probabilities = (np.array(table.column(column).to_pylist()) for column in ("features", "probability"))

    found = scorer.forest.probabilities(vectors)

    assert len(found) > 300
    np.testing.assert_allclose(found, probabilities, atol=1e-9)
    predictions = [row["prediction"] for row in rows.select("prediction").collect()]
    assert found.round(12).argmax(axis=1).tolist() == predictions


def test_models_logged_in_mlflow_give_equal_output_in_a_fresh_process(
    home: Path, load: Callable[[str], TrainedModel], testing: DataFrame
) -> None:
    some = testing.where("action = 'Walking'")
    some.write.parquet(str(home / "rows"))
    for name in PIPELINES:
        output(load(name).pipeline.transform(some)).write.parquet(str(home / f"expected-{name}"))

    result = subprocess.run(
        [sys.executable, __file__, str(home)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == dict.fromkeys(PIPELINES, 0)


def test_runs_in_mlflow_tell_where_they_come_from(home: Path) -> None:
    import mlflow

    store = settings.load(home=home).tracking_uri
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("activity")
    assert experiment is not None

    runs = {run.data.tags["pipeline"]: run for run in client.search_runs([experiment.experiment_id])}

    assert set(runs) == set(PIPELINES)
    parameters, tags = runs["statistics"].data.params, runs["statistics"].data.tags
    assert len(parameters["data.sha256"]) == 64
    assert int(parameters["data.rows"]) > 10_000
    assert {"data.users", "smoothing_windows"} <= set(parameters)
    assert "RandomForestClassifier.numTrees" in " ".join(parameters)
    assert tags["synthetic"] == str(not RECORDINGS.is_dir()).lower()
    assert tags["git_revision"]
    version = client.get_model_version("activity", "1")
    assert version.tags["validation_status"] == "pending"
    signature = mlflow.models.get_model_info(f"{store and 'models:/activity/1'}").signature
    assert signature is not None
    assert {"userId", "timestamp", "x", "y", "z"} <= set(signature.inputs.input_names())


def output(rows: DataFrame) -> DataFrame:
    columns = [F.col(name) for name in ("userId", "timestamp", "prediction")]
    return rows.select(*columns, vector_to_array(F.col("probability")).alias("probability"))


def _compare(home: Path) -> None:
    """The fresh process: both models from MLflow, and how many rows differ from what was expected."""
    import mlflow

    from streamforest import session

    given = settings.load(home=home)
    spark = session.build(given, "reload")
    mlflow.set_tracking_uri(given.tracking_uri)
    different = {}
    for version, name in enumerate(PIPELINES, start=1):
        model = mlflow.spark.load_model(f"models:/activity/{version}", dfs_tmpdir=str(home / "tmp"))
        found, expected = (
            output(model.transform(spark.read.parquet(str(home / "rows")))),
            spark.read.parquet(str(home / f"expected-{name}")),
        )
        different[name] = found.exceptAll(expected).count() + expected.exceptAll(found).count()
    sys.stdout.write(json.dumps(different) + "\n")


if __name__ == "__main__":
    _compare(Path(sys.argv[1]))
