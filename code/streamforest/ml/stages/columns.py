"""ColumnSelector: which columns go on."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame


class ColumnSelector(Transformer, HasInputCols, DefaultParamsReadable, DefaultParamsWritable):
    """``inputCols`` in this order, then those of ``optionalCols`` that the frame has (the label, while training)."""

    optionalCols: Param[list[str]] = Param(
        Params._dummy(), "optionalCols", "columns kept where they exist", TypeConverters.toListString
    )

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None, optionalCols: list[str] | None = None) -> None:
        super().__init__()
        self._setDefault(optionalCols=[])
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _transform(self, dataset: DataFrame) -> DataFrame:
        optional = [name for name in self.getOrDefault(self.optionalCols) if name in dataset.columns]
        return dataset.select(*self.getInputCols(), *optional)
