"""CategoryIndexer: names to numbers, with one number for all that are rare or unknown."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.feature import StringIndexer, StringIndexerModel
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols, HasOutputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame


class CategoryIndexer(
    Estimator[StringIndexerModel], HasInputCols, HasOutputCols, DefaultParamsReadable, DefaultParamsWritable
):
    """Learns the ``limit`` most frequent values of each of ``inputCols``; fitting gives Spark's own StringIndexerModel.

    Values are numbered from 0 by falling frequency, equal ones by alphabet. All others, null too, get the number after
    the last. A forest needs as many bins as its largest category has numbers, whatever the data: at most ``limit`` + 1.
    """

    limit: Param[int] = Param(
        Params._dummy(), "limit", "how many values of a column get a number of their own", TypeConverters.toInt
    )

    @keyword_only
    def __init__(
        self, *, inputCols: list[str] | None = None, outputCols: list[str] | None = None, limit: int = 255
    ) -> None:
        super().__init__()
        self._setDefault(limit=255)
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _fit(self, dataset: DataFrame) -> StringIndexerModel:
        names, outputs = self.getInputCols(), self.getOutputCols()
        counted = StringIndexer(inputCols=names, outputCols=outputs, handleInvalid="skip").fit(dataset)
        kept = [list(labels)[: self.getOrDefault(self.limit)] for labels in counted.labelsArray]
        return StringIndexerModel.from_arrays_of_labels(kept, inputCols=names, outputCols=outputs, handleInvalid="keep")
