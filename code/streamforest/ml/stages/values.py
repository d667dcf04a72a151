"""CapValues: measured values held within the sensor's range."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class CapValues(Transformer, HasInputCols, DefaultParamsReadable, DefaultParamsWritable):
    """``inputCols`` in place, each value moved to the nearer end of [-limit, limit]; null stays null.

    The Actitracker files hold values up to 5.9e20 m/s2 in 10,226 of their rows; phones of that time measured ±2 g.
    """

    limit: Param[float] = Param(
        Params._dummy(), "limit", "largest magnitude that is kept, m/s2", typeConverter=TypeConverters.toFloat
    )

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None, limit: float = 20.0) -> None:
        super().__init__()
        self._setDefault(limit=20.0)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        limit = F.lit(self.getOrDefault(self.limit))
        capped = {
            # least and greatest skip nulls, hence the guard
            name: F.when(F.col(name).isNotNull(), F.greatest(F.least(F.col(name), limit), -limit))
            for name in self.getInputCols()
        }
        return dataset.withColumns(capped)
