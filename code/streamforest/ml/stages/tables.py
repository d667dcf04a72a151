"""Models that carry a small table: saved beside their parameters, joined to rows at serving time."""

from __future__ import annotations

from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.ml import Model
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

_TABLE = "table"


class TableModel(Model, MLReadable, MLWritable):
    """A model whose learnt state is rows.

    They are kept as Arrow in the driver, so that a copy shares them and a model in use outlives its folder. Where they
    are joined, Spark holds them in the plan, which real-time mode asks for.
    """

    _rows: pa.Table

    def setRows(self, rows: pa.Table) -> Self:
        """Set the table and return self."""
        self._rows = rows
        return self

    def rows(self) -> pa.Table:
        """The table."""
        return self._rows

    def rows_of(self, column: str, value: object) -> pa.Table:
        """The rows with a value in a column."""
        return self._rows.filter(pc.equal(self._rows.column(column), value))

    def frame(self, rows: pa.Table | None = None) -> DataFrame:
        """The table, or another one made from it, as Spark joins it."""
        return SparkSession.active().createDataFrame(self._rows if rows is None else rows)

    def write(self) -> MLWriter:
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        return _Reader(cls)  # type: ignore[arg-type]  # it needs a class that sets parameters


class _Writer(DefaultParamsWriter):
    def __init__(self, instance: TableModel) -> None:
        super().__init__(instance)
        self._model = instance

    def saveImpl(self, path: str) -> None:
        super().saveImpl(path)
        self._model.frame().coalesce(1).write.parquet(f"{path}/{_TABLE}")


class _Reader(DefaultParamsReader):
    def load(self, path: str) -> TableModel:
        model: TableModel = super().load(path)
        return model.setRows(SparkSession.active().read.parquet(f"{path}/{_TABLE}").toArrow())


def key_of(columns: list[str]) -> Column:
    """Values of the columns as one text, to be joined by; null where one of them is null."""
    return F.concat(*[part for name in columns for part in (F.lit("|"), F.col(name).cast("string"))], F.lit("|"))
