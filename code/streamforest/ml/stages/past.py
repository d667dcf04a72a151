"""PastMeans: how a quantity was on the days before a row's day."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from typing import Any, NamedTuple

import pyarrow.compute as pc
from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streamforest.ml.stages.tables import TableModel, key_of

_DAY, _SCOPE, _KEY, _VALUE = "day", "scope", "key", "value"
_OF = "_of"


class Scope(NamedTuple):
    """One column of means: over which rows and over how many days."""

    output: str
    days: int
    keys: list[str]

    @classmethod
    def parse(cls, text: str) -> Scope:
        """From ``output:days:key,key``; without keys all rows count.

        Raises:
            ValueError: the text has another form.
        """
        output, days, keys = text.split(":")
        return cls(output, int(days), [name for name in keys.split(",") if name])


class _Past(HasInputCol):
    """Parameters of the estimator and of its model."""

    minusCol: Param[str] = Param(
        Params._dummy(), "minusCol", "column that is subtracted from inputCol; empty: none", TypeConverters.toString
    )
    dateCol: Param[str] = Param(Params._dummy(), "dateCol", "column with a row's day, a date", TypeConverters.toString)
    scopes: Param[list[str]] = Param(
        Params._dummy(), "scopes", "means to add, each as output:days:key,key", TypeConverters.toListString
    )

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  # as Spark's own mixins
        super().__init__(*args)
        self._setDefault(minusCol="", dateCol="date", scopes=[])

    def parsed(self) -> list[Scope]:
        """The means to add."""
        return [Scope.parse(text) for text in self.getOrDefault(self.scopes)]


class PastMeans(Estimator["PastMeansModel"], _Past, DefaultParamsReadable, DefaultParamsWritable):
    """Learns, for each scope, key and day, the mean of ``inputCol`` over the rows of that key on the days before.

    A scope of 14 days gives a day the rows of the 14 days before it, the day itself left out: no row of a day or of a
    later one changes what that day gets. Rows without a value do not count.
    """

    expensive = True
    """Fitting keeps the output in memory: every later estimator reads it."""

    looks_back = True
    """May be fitted on rows that come after the training rows: what it gives a row comes from before that row."""

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        minusCol: str = "",
        dateCol: str = "date",
        scopes: list[str] | None = None,
    ) -> None:
        super().__init__()
        kwargs: dict[str, Any] = self._input_kwargs
        self._set(**{name: value for name, value in kwargs.items() if value is not None})

    def _fit(self, dataset: DataFrame) -> PastMeansModel:
        value, minus = F.col(self.getInputCol()), self.getOrDefault(self.minusCol)
        quantity = value - F.col(minus) if minus else value
        rows = dataset.select("*", quantity.alias(_VALUE), F.col(self.getOrDefault(self.dateCol)).alias(_OF))
        rows = rows.where(F.col(_VALUE).isNotNull() & F.col(_OF).isNotNull())
        newest = rows.agg(F.max(_OF)).collect()[0][0]
        means = reduce(DataFrame.unionByName, [_means(rows, scope) for scope in self.parsed()])
        known = means.where(F.col(_DAY) <= F.date_add(F.lit(newest), 1)).orderBy(_SCOPE, _DAY, _KEY)
        return self._copyValues(PastMeansModel()).setRows(known.toArrow())


class PastMeansModel(TableModel, _Past):
    """Adds a column (double) for each scope: the mean of its key for the row's day.

    A day after the last one that was learnt is given what the day right after it is given. Null where nothing is known
    of the key in that time.
    """

    def _transform(self, dataset: DataFrame) -> DataFrame:
        last: dt.date | None = pc.max(self.rows().column(_DAY)).as_py()
        date = F.col(self.getOrDefault(self.dateCol))
        frame = dataset.withColumn("_day", F.when(date > F.lit(last), F.lit(last)).otherwise(date) if last else date)
        for scope in self.parsed():
            rows = self.rows_of(_SCOPE, scope.output).select([_DAY, _KEY, _VALUE])
            table = self.frame(rows.rename_columns(["_past_day", "_past_key", scope.output]))
            same = (F.col("_day") == F.col("_past_day")) & (key_of(scope.keys) == F.col("_past_key"))
            frame = frame.join(F.broadcast(table), on=same, how="left").drop("_past_day", "_past_key")
        return frame.drop("_day")


def _means(rows: DataFrame, scope: Scope) -> DataFrame:
    """Day, scope, key, value: each day's sum counts for the ``days`` days after it."""
    daily = rows.groupBy(_OF, key_of(scope.keys).alias(_KEY)).agg(
        F.sum(_VALUE).alias("_sum"), F.count("*").alias("_count")
    )
    later = F.sequence(F.date_add(_OF, 1), F.date_add(_OF, scope.days))
    return (
        daily.where(F.col(_KEY).isNotNull())
        .select(F.explode(later).alias(_DAY), _KEY, "_sum", "_count")
        .groupBy(_DAY, _KEY)
        .agg((F.sum("_sum") / F.sum("_count")).alias(_VALUE))
        .select(_DAY, F.lit(scope.output).alias(_SCOPE), _KEY, _VALUE)
    )
