"""FeaturesGenerator and WindowStatistics: readings to windows, windows to vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from streamforest.ml import features
from streamforest.ml.windows import Windows, WindowSpec, complete, cut

_VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))


class _WindowStage(Transformer, HasInputCols, DefaultParamsReadable, DefaultParamsWritable):
    """One row a window, from readings with an event column.

    Out: the ``keyCols`` that the frame has, the event, ``timestampCol`` (the window's end, ms), ``position`` (grid
    points from the event's first window), and the vectors of :attr:`vectors`. Readings may come in any order; of
    several with one time the one with the smallest values counts. Events shorter than a window yield no row.
    """

    expensive = True
    """Fitting keeps the output in memory: every later estimator reads it."""

    vectors: ClassVar[Mapping[str, Sequence[str]]]
    """Names of the elements of each vector column."""

    kind: ClassVar[str]
    """Which of :data:`streamforest.ml.features.COMPUTE` turns windows into the vectors, side by side."""

    keyCols: Param[list[str]] = Param(
        Params._dummy(), "keyCols", "columns that are constant within an event, kept", TypeConverters.toListString
    )
    timestampCol: Param[str] = Param(
        Params._dummy(), "timestampCol", "column with the time of a reading, ms", TypeConverters.toString
    )
    eventCol: Param[str] = Param(Params._dummy(), "eventCol", "column that tells events apart", TypeConverters.toString)
    length: Param[int] = Param(Params._dummy(), "length", "grid points in a window", TypeConverters.toInt)
    gridMs: Param[int] = Param(Params._dummy(), "gridMs", "time between grid points, ms", TypeConverters.toInt)
    stride: Param[int] = Param(
        Params._dummy(), "stride", "grid points from one computed window to the next", TypeConverters.toInt
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCols: list[str] | None = None,
        keyCols: list[str] | None = None,
        timestampCol: str = "timestamp",
        eventCol: str = "event",
        length: int = 100,
        gridMs: int = 50,
        stride: int = 20,
    ) -> None:
        super().__init__()
        self._setDefault(keyCols=[], timestampCol="timestamp", eventCol="event", length=100, gridMs=50, stride=20)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def spec(self) -> WindowSpec:
        """The windows that this stage computes."""
        return WindowSpec(
            length=self.getOrDefault(self.length),
            step=self.getOrDefault(self.stride),
            grid_ms=self.getOrDefault(self.gridMs),
        )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        time_column, event_column = self.getOrDefault(self.timestampCol), self.getOrDefault(self.eventCol)
        keys = [name for name in self.getOrDefault(self.keyCols) if name in dataset.columns]
        axes = self.getInputCols()
        rows = dataset.select(*keys, event_column, time_column, *axes).dropna(subset=[event_column, time_column, *axes])
        schema = T.StructType([rows.schema[name] for name in [*keys, event_column, time_column]])
        schema = schema.add("position", T.LongType())
        for name in self.vectors:
            schema = schema.add(name, T.ArrayType(T.FloatType(), containsNull=False))
        task = _EventWindows(keys, event_column, time_column, axes, self.spec(), self.vectors, self.kind)

        def windows_of(group: pa.Table) -> pa.Table:
            return task.run(group)

        # Grouping by the keys alone keeps the partitioning that EventSeparator made: no second shuffle.
        windows = rows.groupBy(*keys).applyInArrow(windows_of, schema)
        vectors = [
            array_to_vector(F.col(name)).alias(name, metadata=_attributes(elements))
            for name, elements in self.vectors.items()
        ]
        return windows.select(*keys, event_column, time_column, "position", *vectors)


class FeaturesGenerator(_WindowStage):
    """The reference's features: a moving average over 5 points, then 100 lags of x, of y and of z, newest first."""

    vectors: ClassVar[Mapping[str, Sequence[str]]] = {
        f"{axis}_lags": tuple(name for name in features.LAGS if name.startswith(f"{axis}_")) for axis in ("x", "y", "z")
    }
    kind: ClassVar[str] = "lags"


class WindowStatistics(_WindowStage):
    """Statistics and spectrum of a window, as :data:`streamforest.ml.features.STATISTICS` names them."""

    vectors: ClassVar[Mapping[str, Sequence[str]]] = {"statistics": features.STATISTICS}
    kind: ClassVar[str] = "statistics"


def _attributes(names: Sequence[str]) -> dict[str, Any]:
    """Metadata that names a vector's elements; without it VectorAssembler computes a first row to learn the size."""
    numeric = [{"idx": index, "name": name} for index, name in enumerate(names)]
    return {"ml_attr": {"attrs": {"numeric": numeric}, "num_attrs": len(names)}}


class _EventWindows:
    """The task of a group: all readings of one key to its windows."""

    def __init__(
        self,
        keys: list[str],
        event_column: str,
        time_column: str,
        axes: list[str],
        spec: WindowSpec,
        vectors: Mapping[str, Sequence[str]],
        kind: str,
    ) -> None:
        self._keys, self._event_column, self._time_column, self._axes = keys, event_column, time_column, axes
        self._spec, self._vectors, self._kind = spec, dict(vectors), kind

    def run(self, group: pa.Table) -> pa.Table:
        times_ms, events = self._column(group, self._time_column), self._column(group, self._event_column)
        values = np.column_stack([self._column(group, axis).astype(np.float64) for axis in self._axes])
        order = np.lexsort((*values.T[::-1], times_ms))
        order = order[np.concatenate(([True], np.diff(times_ms[order]) > 0))]
        times_ms, events, values = times_ms[order], events[order], values[order]
        first_row = np.flatnonzero(np.concatenate(([True], np.diff(events) != 0)))
        last_row = np.append(first_row[1:], len(times_ms)) - 1
        origin_ms = times_ms[first_row]
        count = complete(origin_ms, times_ms[last_row], self._spec)
        windows = cut(times_ms, values, first_row, origin_ms, np.zeros_like(count), count, self._spec)
        return self._table(group, events[first_row], windows)

    def _table(self, group: pa.Table, events: npt.NDArray[np.int64], windows: Windows) -> pa.Table:
        rows = len(windows.number)
        table = {name: pa.repeat(group.column(name)[0], rows) for name in self._keys}
        table[self._event_column] = pa.array(events[windows.event], pa.int64())
        table[self._time_column] = pa.array(windows.end_ms, pa.int64())
        table["position"] = pa.array(windows.number * self._spec.step, pa.int64())
        vectors = features.COMPUTE[self._kind](windows.values)
        start = 0
        for name, elements in self._vectors.items():
            width = len(elements)
            flat = np.ascontiguousarray(vectors[:, start : start + width]).reshape(-1)
            offsets = np.arange(rows + 1, dtype=np.int32) * width
            table[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32()), type=_VECTOR)
            start += width
        return pa.table(table)

    @staticmethod
    def _column(group: pa.Table, name: str) -> npt.NDArray[Any]:
        return np.asarray(group.column(name).to_numpy())
