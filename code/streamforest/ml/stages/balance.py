"""ClassWeightBalancer: weights that make every class count the same."""

from __future__ import annotations

import json
from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class ClassWeightBalancer(
    Estimator["ClassWeightBalancerModel"], HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable
):
    """Learns rows / (classes * rows of the class) for each value of ``inputCol``, from the rows it is fitted on.

    The weights' mean over those rows is 1. Null classes are not counted.
    """

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, outputCol: str | None = None) -> None:
        super().__init__()
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**kwargs)

    def _fit(self, dataset: DataFrame) -> ClassWeightBalancerModel:
        label = self.getInputCol()
        counts = {
            float(row[label]): int(row["count"])
            for row in dataset.where(F.col(label).isNotNull()).groupBy(label).count().collect()
        }
        total = sum(counts.values())
        weights = {value: total / (len(counts) * count) for value, count in counts.items()}
        model = ClassWeightBalancerModel(inputCol=label, outputCol=self.getOutputCol())
        return model.setWeights(weights)


class ClassWeightBalancerModel(Model, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Adds ``outputCol`` (double): the weight of a row's class; 1 for a null class or one that fitting never saw.

    A frame without ``inputCol``, as the stream has it, passes unchanged.
    """

    weights: Param[str] = Param(
        Params._dummy(), "weights", "weight by class, as a JSON object", typeConverter=TypeConverters.toString
    )

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, outputCol: str | None = None) -> None:
        super().__init__()
        self._setDefault(weights="{}")
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**kwargs)

    def setWeights(self, weights: dict[float, float]) -> ClassWeightBalancerModel:
        """Set the weight of each class and return self."""
        text = json.dumps({str(value): weight for value, weight in sorted(weights.items())})
        return self._set(weights=text)

    def getWeights(self) -> dict[float, float]:
        """Weight by class."""
        return {float(value): weight for value, weight in json.loads(self.getOrDefault(self.weights)).items()}

    def _transform(self, dataset: DataFrame) -> DataFrame:
        label = self.getInputCol()
        if label not in dataset.columns:
            return dataset
        weight = F.lit(1.0)
        for value, learnt in self.getWeights().items():
            weight = F.when(F.col(label) == value, learnt).otherwise(weight)
        return dataset.withColumn(self.getOutputCol(), weight)
