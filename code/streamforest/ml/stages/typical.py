"""TypicalValues: what is missing, filled with what is usual for the most similar rows."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streamforest.ml.stages.tables import TableModel, key_of

_KEY = "_key"
_LEVEL = "_level"


class _Typical(HasInputCols):
    """Parameters of the estimator and of its model."""

    levels: Param[list[str]] = Param(
        Params._dummy(),
        "levels",
        "columns that rows have in common, most similar rows first: names with a comma between; an empty text is all",
        TypeConverters.toListString,
    )

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  # as Spark's own mixins
        super().__init__(*args)
        self._setDefault(levels=[""])

    def keys(self) -> list[list[str]]:
        """Columns of each level."""
        return [[name for name in text.split(",") if name] for text in self.getOrDefault(self.levels)]


class TypicalValues(Estimator["TypicalValuesModel"], _Typical, DefaultParamsReadable, DefaultParamsWritable):
    """Learns the median of each of ``inputCols`` (numbers) for the rows of each level of ``levels``."""

    expensive = True
    """Fitting keeps the output in memory: it is joined, and every later estimator reads it."""

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None, levels: list[str] | None = None) -> None:
        super().__init__()
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _fit(self, dataset: DataFrame) -> TypicalValuesModel:
        names = self.getInputCols()
        medians = [F.median(name).cast("double").alias(name) for name in names]
        learnt = [
            dataset.groupBy(F.lit(level).alias(_LEVEL), key_of(columns).alias(_KEY)).agg(*medians)
            for level, columns in enumerate(self.keys())
        ]
        rows = learnt[0]
        for each in learnt[1:]:
            rows = rows.unionByName(each)
        known = rows.where(F.col(_KEY).isNotNull()).orderBy(_LEVEL, _KEY).toArrow()
        return self._copyValues(TypicalValuesModel()).setRows(known)


class TypicalValuesModel(TableModel, _Typical):
    """Fills nulls of ``inputCols``, adding those that the frame lacks, with the median of the first level that has one.

    A value that no level has stays null.
    """

    def _transform(self, dataset: DataFrame) -> DataFrame:
        names = self.getInputCols()
        absent = {name: F.lit(None).cast("double") for name in names if name not in dataset.columns}
        frame = dataset.withColumns(absent) if absent else dataset
        kept = frame.columns
        for level, columns in enumerate(self.keys()):
            if not columns:
                # A join without a key is none that real-time mode runs, and there is one row to look up.
                frame = frame.withColumns(self._overall(level, names))
                continue
            key = f"_key_{level}"
            learnt = self.rows_of(_LEVEL, level).select([_KEY, *names])
            table = self.frame(learnt.rename_columns([key, *(f"_{level}_{name}" for name in names)]))
            frame = frame.withColumn("_looked_up", key_of(columns))
            frame = frame.join(F.broadcast(table), on=F.col("_looked_up") == F.col(key), how="left")
            frame = frame.select(
                *[
                    F.coalesce(F.col(name), F.col(f"_{level}_{name}")).alias(name) if name in names else F.col(name)
                    for name in kept
                ]
            )
        return frame

    def _overall(self, level: int, names: list[str]) -> dict[str, Column]:
        """The columns, where null with the one value that is learnt of all rows."""
        (row, *_) = self.rows_of(_LEVEL, level).to_pylist() or [{}]
        return {name: F.coalesce(F.col(name), F.lit(row.get(name)).cast("double")) for name in names}
