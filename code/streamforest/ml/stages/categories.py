"""CategoryIndexer: names to numbers, with one number for all that are rare or unknown."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.feature import StringIndexer, StringIndexerModel
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame


class CategoryIndexer(
    Estimator[StringIndexerModel], HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable
):
    """Learns the ``limit`` most frequent values of ``inputCol``; fitting gives Spark's own StringIndexerModel.

    Values are numbered from 0 by falling frequency, equal ones by alphabet. All others, null too, get the number after
    the last. A forest needs as many bins as its largest category has numbers, whatever the data: at most ``limit`` + 1.
    """

    limit: Param[int] = Param(
        Params._dummy(), "limit", "how many values get a number of their own", TypeConverters.toInt
    )

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, outputCol: str | None = None, limit: int = 255) -> None:
        super().__init__()
        self._setDefault(limit=255)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _fit(self, dataset: DataFrame) -> StringIndexerModel:
        columns = {"inputCol": self.getInputCol(), "outputCol": self.getOutputCol()}
        counted = StringIndexer(handleInvalid="skip", **columns).fit(dataset)
        kept = list(counted.labels)[: self.getOrDefault(self.limit)]
        return StringIndexerModel.from_labels(kept, handleInvalid="keep", **columns)
