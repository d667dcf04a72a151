"""FilterNulls and RowsSelector: which rows go on."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasInputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class FilterNulls(Transformer, HasInputCols, DefaultParamsReadable, DefaultParamsWritable):
    """The rows in which none of ``inputCols`` is null or NaN; columns that the frame lacks are not asked."""

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None) -> None:
        super().__init__()
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.dropna(subset=[name for name in self.getInputCols() if name in dataset.columns])


class RowsSelector(Transformer, HasInputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Every ``step``-th row of each event: those whose position ``inputCol`` is a multiple of ``step``.

    Positions count from 0 at an event's first window; rows with a null position are left out.
    """

    step: Param[int] = Param(
        Params._dummy(), "step", "rows of an event from one selected row to the next", TypeConverters.toInt
    )

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, step: int = 20) -> None:
        super().__init__()
        self._setDefault(step=20)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.where(F.col(self.getInputCol()) % self.getOrDefault(self.step) == 0)
