"""The two pipelines: the reference's lags, and window statistics."""

from __future__ import annotations

from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import PCA, MinMaxScaler, StringIndexer, VectorAssembler

from streamforest.ml.stages import (
    CapValues,
    ClassWeightBalancer,
    ColumnSelector,
    EventSeparator,
    FeaturesGenerator,
    FilterNulls,
    RowsSelector,
    WindowStatistics,
)

SMOOTHING_WINDOWS = 15
"""Probabilities are averaged over the last 15 windows, one each second."""

_AXES = ["x", "y", "z"]
_KEYS = ["userId", "action", "label"]
_WINDOW = ["event", "timestamp", "position"]
_STEP = 20
_SEED = 42
# One pass over the rows a level; the default of 256 MB splits a level into several.
_FOREST_MEMORY_MB = 1024


def lags() -> Pipeline:
    """The stages that the reference describes: 300 lags, 10 principal components, 40 trees of depth 10."""
    lag_columns = list(FeaturesGenerator.vectors)
    return Pipeline(
        stages=[
            *_readings_to_events(),
            FeaturesGenerator(inputCols=_AXES, keyCols=_KEYS, stride=_STEP),
            FilterNulls(inputCols=lag_columns),
            VectorAssembler(inputCols=lag_columns, outputCol="lags"),
            ColumnSelector(inputCols=["userId", *_WINDOW, "lags"], optionalCols=["action", "label"]),
            RowsSelector(inputCol="position", step=_STEP),
            PCA(k=10, inputCol="lags", outputCol="components"),
            MinMaxScaler(inputCol="components", outputCol="features"),
            ColumnSelector(inputCols=["userId", *_WINDOW, "features"], optionalCols=["action", "label"]),
            *_forest(trees=40, depth=10, bins=32),
        ]
    )


def statistics() -> Pipeline:
    """The same frame with window statistics and spectrum; no projection or scaling, which a forest does not need."""
    statistic_columns = list(WindowStatistics.vectors)
    return Pipeline(
        stages=[
            *_readings_to_events(),
            WindowStatistics(inputCols=_AXES, keyCols=_KEYS, stride=_STEP),
            FilterNulls(inputCols=statistic_columns),
            VectorAssembler(inputCols=statistic_columns, outputCol="features"),
            ColumnSelector(inputCols=["userId", *_WINDOW, "features"], optionalCols=["action", "label"]),
            RowsSelector(inputCol="position", step=_STEP),
            *_forest(trees=40, depth=10, bins=64),
        ]
    )


def _readings_to_events() -> list[FilterNulls | StringIndexer | CapValues | EventSeparator]:
    return [
        FilterNulls(inputCols=["userId", "timestamp", *_AXES, "action"]),
        StringIndexer(inputCol="action", outputCol="label", stringOrderType="alphabetAsc"),
        CapValues(inputCols=_AXES, limit=20.0),
        EventSeparator(inputCols=["userId", "action", "label"], outputCol="event", gapMs=500),
    ]


def _forest(*, trees: int, depth: int, bins: int) -> list[ClassWeightBalancer | RandomForestClassifier]:
    return [
        ClassWeightBalancer(inputCol="label", outputCol="weight"),
        RandomForestClassifier(
            featuresCol="features",
            labelCol="label",
            weightCol="weight",
            numTrees=trees,
            maxDepth=depth,
            maxBins=bins,
            seed=_SEED,
            maxMemoryInMB=_FOREST_MEMORY_MB,
        ),
    ]
