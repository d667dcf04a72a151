"""The reference's plan in plain Spark: what the project's pipelines are measured against.

It is written as its description reads: text split by Spark's CSV reader, the features as 300 window-function columns,
``Pipeline.fit`` on uncached rows. No Python runs on rows, and nothing is cached beyond what MLlib itself caches.
Stages that are one plain expression each (FilterNulls, CapValues, ColumnSelector, ClassWeightBalancer) are the
project's own; the three that need window functions are SQL.
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
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest.ml.evaluation import Evaluation, evaluate
from streamforest.ml.stages import CapValues, ClassWeightBalancer, ColumnSelector, FilterNulls

AXES = ("x", "y", "z")
LAGS = 100
SMOOTHING = 5
GAP_MS = 500
LAG_COLUMNS = [f"{axis}_lag_{lag}" for axis in AXES for lag in range(LAGS)]

_RAW = "userId int, action string, timestamp bigint, x double, y double, z string"
_BY_ACTION = "PARTITION BY userId, action ORDER BY timestamp"
_BY_EVENT = "PARTITION BY userId, action, event ORDER BY timestamp"


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
    kept = ["userId", "action", "label", "event", "timestamp"]
    return Pipeline(
        stages=[
            FilterNulls(inputCols=["userId", "action", "timestamp", *AXES]),
            StringIndexer(inputCol="action", outputCol="label", stringOrderType="alphabetAsc", handleInvalid="skip"),
            CapValues(inputCols=list(AXES), limit=20.0),
            *feature_stages(),
            FilterNulls(inputCols=LAG_COLUMNS),
            VectorAssembler(inputCols=LAG_COLUMNS, outputCol="lags"),
            ColumnSelector(inputCols=[*kept, "lags"]),
            *rows_selector(),
            PCA(k=10, inputCol="lags", outputCol="components"),
            MinMaxScaler(inputCol="components", outputCol="features"),
            ColumnSelector(inputCols=[*kept, "features"]),
            ClassWeightBalancer(inputCol="label", outputCol="weight"),
            RandomForestClassifier(
                featuresCol="features", labelCol="label", weightCol="weight", numTrees=40, maxDepth=10, seed=42
            ),
        ]
    )


def feature_stages() -> list[Transformer]:
    """Readings to events, the moving average of each axis, and its lags, which are null in an event's first 99 rows."""
    starts = f"timestamp - LAG(timestamp) OVER ({_BY_ACTION}) <= {GAP_MS}"
    means = ", ".join(
        f"AVG({axis}) OVER ({_BY_EVENT} ROWS BETWEEN {SMOOTHING - 1} PRECEDING AND CURRENT ROW) AS {axis}_mean"
        for axis in AXES
    )
    lags = ", ".join(
        f"LAG({axis}_mean, {lag}) OVER ({_BY_EVENT}) AS {axis}_lag_{lag}" for axis in AXES for lag in range(LAGS)
    )
    return [
        _with(f"CASE WHEN {starts} THEN 0 ELSE 1 END AS is_start"),
        _with(f"SUM(is_start) OVER ({_BY_ACTION}) AS event"),
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
