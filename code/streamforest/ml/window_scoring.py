"""Windows of readings in a DataFrame to class names: the batch twin of the stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.feature import StringIndexerModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from streamforest.ml.smoothing import Probabilities, decide, smooth
from streamforest.ml.stages import RowsSelector

EVENT, TIMESTAMP, POSITION, PREDICTED, SMOOTHED, PROBABILITY = (
    "event",
    "timestamp",
    "position",
    "predicted",
    "smoothed",
    "probability",
)


def classify(
    pipeline: PipelineModel,
    rows: DataFrame,
    keys: Sequence[str],
    smoothing_windows: int,
    *,
    spans: DataFrame | None = None,
) -> DataFrame:
    """One row a window: the ``keys`` that the rows have, the window's event and end, and what it is taken for.

    ``predicted`` is the class of the window alone, ``smoothed`` that of the mean over the last ``smoothing_windows``
    windows of its event, ``probability`` (double) the mean's for that class; null where a probability is no number.
    Rows of all keys may be interleaved. ``spans`` (see :attr:`streamforest.application.TrainedModel.spans`) leaves out
    the windows that end outside them, and the smoothing starts anew behind such a gap.
    """
    present = [name for name in keys if name in rows.columns]
    windows = pipeline.transform(rows).select(
        *present, EVENT, TIMESTAMP, POSITION, vector_to_array(F.col("probability")).alias("probabilities")
    )
    if spans is not None:
        windows = within(windows, spans, present, TIMESTAMP)
    schema = T.StructType([windows.schema[name] for name in [*present, EVENT, TIMESTAMP]])
    schema = schema.add(PREDICTED, "string").add(SMOOTHED, "string").add(PROBABILITY, "double")
    selector = next(stage for stage in pipeline.stages if isinstance(stage, RowsSelector))
    task = _Smoothing(_classes(pipeline), selector.getOrDefault(selector.step), smoothing_windows)

    def smoothed(group: pa.Table) -> pa.Table:
        return task.run(group)

    return windows.groupBy(*present).applyInArrow(smoothed, schema).select(*schema.names)


def within(rows: DataFrame, spans: DataFrame, keys: Sequence[str], time: str) -> DataFrame:
    """The rows whose ``time`` lies in a span of their key, from ``from_ms`` up to, without, ``until_ms``."""
    named = [name for name in keys if name in spans.columns]
    inside = (F.col(time) >= F.col("from_ms")) & (F.col(time) < F.col("until_ms"))
    return rows.join(F.broadcast(spans), named).where(inside).select(*rows.columns)


def label_of(rows: DataFrame, label: str, unit: str) -> DataFrame:
    """Windows of labelled rows as evaluation reads them: ``label``, ``predicted``, ``smoothed``, and the unit."""
    return rows.select(F.col(label).alias("label"), PREDICTED, SMOOTHED, unit)


def _classes(pipeline: PipelineModel) -> list[str]:
    return next(list(stage.labels) for stage in pipeline.stages if isinstance(stage, StringIndexerModel))


class _Smoothing:
    """The task of a group: the windows of one key, smoothed within each event."""

    def __init__(self, classes: list[str], step: int, smoothing_windows: int) -> None:
        self._classes, self._step, self._windows = classes, step, smoothing_windows

    def run(self, group: pa.Table) -> pa.Table:
        group = group.sort_by([(EVENT, "ascending"), (TIMESTAMP, "ascending")])
        names = pa.array(self._classes)
        flat = group.column("probabilities").combine_chunks().flatten().to_numpy()
        probabilities = flat.reshape(group.num_rows, -1)[:, : len(self._classes)]
        event, number = group.column(EVENT).to_numpy(), group.column(POSITION).to_numpy() // self._step
        # one run an event: numbers of two events must not join
        nth_event = np.cumsum(np.concatenate(([0], np.diff(event) != 0)))
        smoothed = smooth(probabilities, number + (nth_event << 32), self._windows)
        chosen = decide(smoothed)
        kept = [name for name in group.column_names if name not in (POSITION, "probabilities")]
        return (
            group.select(kept)
            .append_column(PREDICTED, names.take(_index(decide(probabilities), probabilities)))
            .append_column(SMOOTHED, names.take(_index(chosen, smoothed)))
            .append_column(PROBABILITY, pa.array(smoothed[np.arange(len(chosen)), chosen], from_pandas=True))
        )


def _index(chosen: npt.NDArray[np.int64], probabilities: Probabilities) -> pa.Array:
    """The chosen class of each row, null where a probability is no number: a broken model is wrong there, not lucky."""
    return pa.array(chosen, mask=~np.isfinite(probabilities).all(axis=1))
