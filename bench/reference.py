"""The reference's plan in plain Spark: what the project's pipelines are measured against.

It is written as its description reads: text split by Spark's CSV reader, values capped by a Python function a row,
events numbered along each user's time, the features as 300 window-function columns within an event, the classes counted
whenever weights are needed, ``Pipeline.fit`` on uncached rows. Nothing is cached beyond what MLlib itself caches.
FilterNulls and ColumnSelector are the project's own; the stages that need window functions are SQL.
"""

from __future__ import annotations

from pathlib import Path

from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import (
    PCA,
    IndexToString,
    MinMaxScaler,
    SQLTransformer,
    StringIndexer,
    StringIndexerModel,
    VectorAssembler,
)
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest.ml.evaluation import Evaluation, evaluate
from streamforest.ml.stages import ColumnSelector, FilterNulls

AXES = ("x", "y", "z")
LAGS = 100
SMOOTHING = 5
GAP_MS = 500
LIMIT = 20.0
LAG_COLUMNS = [f"{axis}_lag_{lag}" for axis in AXES for lag in range(LAGS)]

_RAW = "userId int, action string, timestamp bigint, x double, y double, z string"
_BY_USER = "PARTITION BY userId ORDER BY timestamp"
_BY_EVENT = "PARTITION BY userId, event ORDER BY timestamp"
_KEPT = ["userId", "event", "timestamp"]


def partition(spark: SparkSession, source: Path, split_at: int, target: Path) -> None:
    """Write ``target/{training,testing}/userId=/action=`` from a raw file; what does not parse is left out."""
    rows = (
        spark.read.schema(_RAW)
        .csv(str(source))
        .withColumn("z", F.regexp_replace("z", ";", "").try_cast("double"))
        .dropna()
    )
    for side, wanted in (("training", F.col("userId") < split_at), ("testing", F.col("userId") >= split_at)):
        rows.where(wanted).write.partitionBy("userId", "action").parquet(str(target / side))


def pipeline() -> Pipeline:
    """The stages in the order of the description; 40 trees of depth 10."""
    return Pipeline(
        stages=[
            *vector_stages(),
            PCA(k=10, inputCol="lags", outputCol="components"),
            MinMaxScaler(inputCol="components", outputCol="features"),
            ColumnSelector(inputCols=[*_KEPT, "features"], optionalCols=["action", "label"]),
            CountedWeights(),
            RandomForestClassifier(
                featuresCol="features", labelCol="label", weightCol="weight", numTrees=40, maxDepth=10, seed=42
            ),
        ]
    )


def vector_stages() -> list[Transformer | StringIndexer]:
    """From readings to the vectors of the rows that are learnt from."""
    return [
        FilterNulls(inputCols=["userId", "action", "timestamp", *AXES]),
        StringIndexer(inputCol="action", outputCol="label", stringOrderType="alphabetAsc", handleInvalid="skip"),
        CapEachValue(),
        *feature_stages(),
        FilterNulls(inputCols=LAG_COLUMNS),
        VectorAssembler(inputCols=LAG_COLUMNS, outputCol="lags"),
        ColumnSelector(inputCols=[*_KEPT, "lags"], optionalCols=["action", "label"]),
        *rows_selector(),
    ]


class CapEachValue(Transformer, DefaultParamsReadable["CapEachValue"], DefaultParamsWritable):
    """The axes capped to ±20 m/s², each value by a call of Python."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        cap = F.udf(lambda value: min(max(value, -LIMIT), LIMIT), "double")
        return dataset.withColumns({axis: cap(axis) for axis in AXES})


class CountedWeights(Transformer, DefaultParamsReadable["CountedWeights"], DefaultParamsWritable):
    """Adds ``weight``, the inverse of the class's share: the rows are counted each time, in training and after it."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        counts = {row["label"]: row["count"] for row in dataset.groupBy("label").count().collect()}
        weight = F.lit(1.0)
        for label, count in counts.items():
            weight = F.when(F.col("label") == label, max(counts.values()) / count).otherwise(weight)
        return dataset.withColumn("weight", weight)


def feature_stages() -> list[Transformer]:
    """Readings to events, the moving average of each axis, and its lags, which are null in an event's first 99 rows."""
    goes_on = f"action = LAG(action) OVER ({_BY_USER}) AND timestamp - LAG(timestamp) OVER ({_BY_USER}) <= {GAP_MS}"
    means = ", ".join(
        f"AVG({axis}) OVER ({_BY_EVENT} ROWS BETWEEN {SMOOTHING - 1} PRECEDING AND CURRENT ROW) AS {axis}_mean"
        for axis in AXES
    )
    lags = ", ".join(
        f"LAG({axis}_mean, {lag}) OVER ({_BY_EVENT}) AS {axis}_lag_{lag}" for axis in AXES for lag in range(LAGS)
    )
    return [
        _with(f"CASE WHEN {goes_on} THEN 0 ELSE 1 END AS is_start"),
        _with(f"SUM(is_start) OVER ({_BY_USER}) AS event"),
        _with(means),
        _with(lags),
    ]


def rows_selector() -> list[Transformer]:
    """Every 20th row of an event."""
    numbered = _with(f"ROW_NUMBER() OVER ({_BY_EVENT}) AS position")
    selected = SQLTransformer(statement="SELECT * FROM __THIS__ WHERE position % 20 = 0")
    return [numbered, selected]


def _with(columns: str) -> Transformer:
    """The frame with further columns."""
    return SQLTransformer(statement=f"SELECT *, {columns} FROM __THIS__")  # noqa: S608 - no text from outside


def score(model: PipelineModel, rows: DataFrame) -> Evaluation:
    """Predictions of the model on labelled rows, counted in one pass."""
    indexer = next(stage for stage in model.stages if isinstance(stage, StringIndexerModel))
    names = IndexToString(inputCol="prediction", outputCol="predicted", labels=list(indexer.labels))
    predicted = names.transform(model.transform(rows))
    return evaluate(predicted.select(F.col("action").alias("label"), "predicted"))["predicted"]
