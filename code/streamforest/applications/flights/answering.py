"""Flights and requests to classes: one pipeline for both, expressions and MLlib stages alone."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.ml import PipelineModel
from pyspark.ml.feature import StringIndexerModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamforest.application import TrainedModel
from streamforest.applications.flights import classes, pipelines
from streamforest.applications.flights.events import completed
from streamforest.applications.flights.schemas import EVENT, LABEL, MONTH, PREDICTION

BASELINES = (pipelines.DEPARTURE_DELAY, pipelines.MAJORITY)


def answer(model: TrainedModel, events: DataFrame) -> DataFrame:
    """Requests to answers: the columns of PREDICTION without the model's version, one row for each request.

    Every request is answered; ``Unseen`` names those of its fields whose value the model was not taught. Columns that
    are no request's stay.
    """
    names = _class_names(model.pipeline)
    found = model.pipeline.transform(completed(events))
    label = _name(names, F.col("prediction"))
    columns = {
        "FlightDate": F.date_format("FlightDate", "yyyy-MM-dd"),
        "Prediction": classes.number_of(label),
        LABEL: label,
        "Probabilities": _by_number(names, F.col("probability")),
        "Unseen": _unseen(model.pipeline),
    }
    others = [name for name in events.columns if name not in EVENT.names]
    return found.select(
        *[columns.get(name, F.col(name)).alias(name) for name in PREDICTION.names if name != "modelVersion"], *others
    )


def score(model: TrainedModel, rows: DataFrame) -> DataFrame:
    """Labelled flights as evaluation reads them: ``label``, ``predicted``, the baselines, the month and the day."""
    names = _class_names(model.pipeline)
    found = model.pipeline.transform(rows)
    baselines = [_name(names, F.col(column)).alias(column) for column in BASELINES]
    predicted = _name(names, F.col("prediction")).alias("predicted")
    return found.select(F.col(LABEL).alias("label"), predicted, *baselines, MONTH, "FlightDate")


def _class_names(pipeline: PipelineModel) -> list[str]:
    """Names of the classes in the order of the label's index: those that training had."""
    return next(
        list(stage.labels) for stage in pipeline.stages if isinstance(stage, StringIndexerModel) and _is_label(stage)
    )


def _is_label(stage: StringIndexerModel) -> bool:
    return stage.getInputCol() == LABEL


def _name(names: Sequence[str], index: Column) -> Column:
    return F.get(F.array(*map(F.lit, names)), index.cast("int"))


def _by_number(names: Sequence[str], probability: Column) -> Column:
    """Probabilities in the order of the classes' numbers; 0 for a class that training had not."""
    values = vector_to_array(probability)
    found = [F.get(values, F.lit(names.index(name))) if name in names else F.lit(0.0) for name in classes.NAMES]
    return F.array(*[F.coalesce(each, F.lit(0.0)) for each in found])


def _unseen(pipeline: PipelineModel) -> Column:
    """Names of the indexed columns whose value has the number of the unknown."""
    indexes = [stage for stage in pipeline.stages if isinstance(stage, StringIndexerModel) and not _is_label(stage)]
    unknown = [F.when(F.col(stage.getOutputCol()) >= len(stage.labels), stage.getInputCol()) for stage in indexes]
    return F.array_compact(F.array(*unknown))
