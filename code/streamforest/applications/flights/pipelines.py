"""The two pipelines: the reference's features, and what the schedule and the days before tell."""

from __future__ import annotations

from typing import Any

from pyspark.ml import Pipeline
from pyspark.ml.classification import DecisionTreeClassifier, RandomForestClassifier
from pyspark.ml.feature import SQLTransformer, StringIndexer, VectorAssembler
from pyspark.ml.regression import LinearRegression

from streamforest.applications.flights.schemas import LABEL
from streamforest.ml.stages import CategoryIndexer, FilterNulls, GreatCircle, PastMeans, TypicalValues

DEPARTURE_DELAY, MAJORITY = "departure_delay", "majority"
"""Columns with the index of the class that departure delay alone tells, and of the most frequent one."""

EXPECTED = "Expected"
"""Column with a linear estimate of the arrival delay."""

PAST = [
    "PastAll3:3:",
    "PastAll14:14:",
    "PastCarrier14:14:Carrier",
    "PastCarrierRoute28:28:Carrier,Route",
    "PastDest3:3:Dest",
]
"""Means of arrival delay minus departure delay: what flights lost or made good on the way."""

_SEED = 42
_BINS = 64
_CARRIERS = _BINS - 1
_PLACES = 10_000
_FOREST_MEMORY_MB = 256
_SCHEDULE = """
SELECT *, CAST(_dep AS DOUBLE) AS DepMinute, CAST(pmod(_arr - _dep, 1440) AS DOUBLE) AS BlockMinutes FROM (
    SELECT *,
        CAST(substring(CRSDepTime, 1, 2) AS INT) * 60 + CAST(substring(CRSDepTime, 4, 2) AS INT) AS _dep,
        CAST(substring(CRSArrTime, 1, 2) AS INT) * 60 + CAST(substring(CRSArrTime, 4, 2) AS INT) AS _arr
    FROM __THIS__
)
"""
"""Minutes after midnight of the scheduled departure, and from it to the scheduled arrival by the airports' clocks."""


def reference() -> Pipeline:
    """The reference's features: when, who, where from and to, how far, and the departure delay.

    Airports and routes are categories of hundreds of values and more, for which a forest would need as many bins of
    every feature. It sees their rank by traffic as a number.
    """
    numbers = ["DepDelay", "Distance", "DayOfMonth", "DayOfWeek", "DayOfYear"]
    ranks = ["Origin", "Dest", "Route"]
    return Pipeline(
        stages=[
            *_known(),
            CategoryIndexer(**_category("Carrier", _CARRIERS)),
            CategoryIndexer(**_category("Origin", _PLACES)),
            CategoryIndexer(**_category("Dest", _PLACES)),
            CategoryIndexer(**_category("Route", _PLACES)),
            SQLTransformer(statement=_ranked(ranks)),
            *_baselines(),
            *_forest([*numbers, *map(_rank, ranks), _index("Carrier")], depth=10, share="auto"),
        ]
    )


def history() -> Pipeline:
    """The schedule and the days before, in place of the day of the year, which no later day resembles."""
    numbers = ["DepDelay", "Distance", "DayOfMonth", "DayOfWeek", "DepMinute", "BlockMinutes"]
    means = [text.partition(":")[0] for text in PAST]
    ranks = ["Origin", "Dest"]
    return Pipeline(
        stages=[
            *_known(),
            PastMeans(inputCol="ArrDelay", minusCol="DepDelay", dateCol="FlightDate", scopes=PAST),
            TypicalValues(inputCols=means, levels=[""]),
            CategoryIndexer(**_category("Carrier", _CARRIERS)),
            CategoryIndexer(**_category("Origin", _PLACES)),
            CategoryIndexer(**_category("Dest", _PLACES)),
            SQLTransformer(statement=_ranked(ranks)),
            *_baselines(),
            *_expected(["DepDelay", "Distance", "BlockMinutes", *means]),
            *_forest([*numbers, *means, EXPECTED, *map(_rank, ranks), _index("Carrier")], depth=12, share="0.5"),
        ]
    )


def _known() -> list[Any]:
    """The label's index, and what a request may lack."""
    return [
        FilterNulls(inputCols=["FlightDate", "DepDelay", "ArrDelay", LABEL]),
        StringIndexer(inputCol=LABEL, outputCol="label", stringOrderType="alphabetAsc"),
        SQLTransformer(statement=_SCHEDULE),
        TypicalValues(inputCols=["DepMinute", "BlockMinutes"], levels=["Carrier,FlightNum,Route", "Route", ""]),
        TypicalValues(inputCols=["Distance"], levels=["Route"]),
        GreatCircle(inputCols=["Origin", "Dest"], outputCol="Distance"),
        TypicalValues(inputCols=["Distance"], levels=[""]),
    ]


def _index(name: str) -> str:
    return f"{name}Index"


def _rank(name: str) -> str:
    return f"{name}Rank"


def _category(name: str, limit: int) -> dict[str, Any]:
    return {"inputCol": name, "outputCol": _index(name), "limit": limit}


def _ranked(names: list[str]) -> str:
    """A statement that adds indexes as plain numbers, which no longer say that they are categories."""
    ranks = ", ".join(f"{_index(name)} + 0.0D AS {_rank(name)}" for name in names)
    return f"SELECT *, {ranks} FROM __THIS__"  # noqa: S608  # the names are ours


def _baselines() -> list[Any]:
    """Trees to compare the forest with; one without a split names the most frequent class."""
    return [
        VectorAssembler(inputCols=["DepDelay"], outputCol="delay", handleInvalid="keep"),
        DecisionTreeClassifier(maxDepth=5, **_tree(DEPARTURE_DELAY)),
        DecisionTreeClassifier(maxDepth=0, **_tree(MAJORITY)),
    ]


def _tree(output: str) -> dict[str, Any]:
    """Parameters of a tree that sees the departure delay alone."""
    return {
        "featuresCol": "delay",
        "labelCol": "label",
        "predictionCol": output,
        "probabilityCol": f"{output}_probability",
        "rawPredictionCol": f"{output}_raw",
        "maxBins": 256,
        "seed": _SEED,
    }


def _expected(delays: list[str]) -> list[Any]:
    """A sum of departure delay and of what the days before tell, which splits along single features only approach."""
    return [
        VectorAssembler(inputCols=delays, outputCol="delays", handleInvalid="keep"),
        LinearRegression(featuresCol="delays", labelCol="ArrDelay", predictionCol=EXPECTED, solver="normal"),
    ]


def _forest(features: list[str], *, depth: int, share: str) -> list[Any]:
    return [
        VectorAssembler(inputCols=features, outputCol="features", handleInvalid="keep"),
        RandomForestClassifier(
            featuresCol="features",
            labelCol="label",
            numTrees=40,
            maxDepth=depth,
            maxBins=_BINS,
            minInstancesPerNode=5,
            featureSubsetStrategy=share,
            seed=_SEED,
            maxMemoryInMB=_FOREST_MEMORY_MB,
        ),
    ]
