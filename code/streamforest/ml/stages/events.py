"""EventSeparator: runs of readings without a gap."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


class EventSeparator(Transformer, HasInputCols, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Adds ``outputCol`` (bigint): the time in ms of the first reading of the event that a row belongs to.

    ``inputCols`` name whose readings belong together (user, and activity where it is known: no event has two of
    them); those that the frame lacks are not asked. Rows without a time get null.
    The rule is that of :func:`streamforest.ml.windows.event_starts`; a test compares the two.
    """

    timestampCol: Param[str] = Param(
        Params._dummy(), "timestampCol", "column with the time of a reading, ms", TypeConverters.toString
    )
    gapMs: Param[int] = Param(Params._dummy(), "gapMs", "longest silence within an event, ms", TypeConverters.toInt)

    @keyword_only
    def __init__(
        self,
        *,
        inputCols: list[str] | None = None,
        outputCol: str = "event",
        timestampCol: str = "timestamp",
        gapMs: int = 500,
    ) -> None:
        super().__init__()
        self._setDefault(outputCol="event", timestampCol="timestamp", gapMs=500)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _transform(self, dataset: DataFrame) -> DataFrame:
        keys = [name for name in self.getInputCols() if name in dataset.columns]
        in_time = Window.partitionBy(*keys).orderBy(self.getOrDefault(self.timestampCol))
        time_ms = F.col(self.getOrDefault(self.timestampCol))
        silence_ms = time_ms - F.lag(time_ms).over(in_time)
        is_start = silence_ms.isNull() | (silence_ms > self.getOrDefault(self.gapMs))
        start_ms = F.when(is_start, time_ms)
        return (
            dataset.withColumn("_start_ms", start_ms)
            .withColumn(self.getOutputCol(), F.max("_start_ms").over(in_time.rowsBetween(Window.unboundedPreceding, 0)))
            .drop("_start_ms")
        )
