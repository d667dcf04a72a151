"""GreatCircle: how far apart two airports are, where no row says."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param.shared import HasInputCols, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from streamforest.ml import geography


class GreatCircle(Transformer, HasInputCols, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Fills nulls of ``outputCol`` (double, miles), adding it where the frame lacks it.

    The two ``inputCols`` are IATA codes. Null remains where a code is null or nobody's.
    """

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None, outputCol: str | None = None) -> None:
        super().__init__()
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _transform(self, dataset: DataFrame) -> DataFrame:
        output = self.getOutputCol()
        present = F.col(output) if output in dataset.columns else F.lit(None).cast("double")
        frame = dataset.withColumn(output, present)
        kept = frame.columns
        places = _places()
        for end, name in enumerate(self.getInputCols()):
            place = places.select(*[F.col(column).alias(f"_{column}_{end}") for column in places.columns])
            frame = frame.join(F.broadcast(place), on=F.col(name) == F.col(f"_code_{end}"), how="left")
        filled = F.coalesce(F.col(output), _miles()).alias(output)
        return frame.select(*[filled if name == output else F.col(name) for name in kept])


def _places() -> DataFrame:
    known = geography.airports()
    table = pa.table(
        {
            "code": list(known),
            "phi": [place.latitude for place in known.values()],
            "lambda": [place.longitude for place in known.values()],
        }
    )
    degrees: DataFrame = SparkSession.active().createDataFrame(table)
    return degrees


def _miles() -> Column:
    """The formula of :func:`streamforest.ml.geography.great_circle_miles`; a test compares the two."""
    phi_1, phi_2 = F.radians("_phi_0"), F.radians("_phi_1")
    d_phi, d_lambda = phi_2 - phi_1, F.radians(F.col("_lambda_1") - F.col("_lambda_0"))
    a = F.pow(F.sin(d_phi / 2), 2) + F.cos(phi_1) * F.cos(phi_2) * F.pow(F.sin(d_lambda / 2), 2)
    return 2 * geography.EARTH_RADIUS_MILES * F.asin(F.least(F.lit(1.0), F.sqrt(a)))
