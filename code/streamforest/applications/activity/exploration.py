"""What the notebook counts: sampling, ranges, the threshold between users, windows as the forest sees them.

DataFrames of readings (the columns of RAW) in, small DataFrames out; each of them is one pass.
"""

from __future__ import annotations

from pyspark.ml import Pipeline
from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from streamforest.applications.activity import pipelines
from streamforest.applications.activity.schemas import AXES
from streamforest.ml.stages import CapValues, RowsSelector
from streamforest.ml.windows import WindowSpec


def intervals(readings: DataFrame) -> DataFrame:
    """``userId``, ``action`` and ``interval_ms`` from each reading to the same user's next one; a user's last has none.

    Negative never, 0 where a time is repeated.
    """
    in_time = Window.partitionBy("userId").orderBy("timestamp")
    interval_ms = F.lead("timestamp").over(in_time) - F.col("timestamp")
    return readings.select("userId", "action", interval_ms.alias("interval_ms")).where("interval_ms is not null")


def interval_kinds(readings: DataFrame) -> DataFrame:
    """Rows of ``kind`` and ``count``: intervals that repeat a time, keep the event's grid, are bridged, or end it."""
    spec = WindowSpec()
    step = F.col("interval_ms")
    kind = (
        F.when(step == 0, "repeated")
        .when(step == spec.grid_ms, f"{spec.grid_ms} ms")
        .when(step <= spec.gap_ms, f"other, up to {spec.gap_ms} ms")
        .otherwise(f"longer than {spec.gap_ms} ms")
    )
    return intervals(readings).groupBy(kind.alias("kind")).count().orderBy(F.desc("count"))


def ranges(readings: DataFrame, limit: float) -> DataFrame:
    """One row an axis and ``stage`` (before, after capping): ``lowest``, ``highest``, and ``outside`` of ±``limit``."""
    capped = CapValues(inputCols=list(AXES), limit=limit).transform(readings)
    columns = ["axis", "stage", "lowest", "highest", "outside"]
    counted = [_ranges(rows, stage, limit) for stage, rows in (("before", readings), ("after", capped))]
    return counted[0].unionByName(counted[1]).select(*columns)


def thresholds(readings: DataFrame) -> DataFrame:
    """One row a user, by number: ``rows``, and ``share`` of all rows that train where the split is at that user."""
    users = readings.groupBy("userId").agg(F.count("*").alias("rows"))
    before = Window.orderBy("userId").rowsBetween(Window.unboundedPreceding, -1)
    total = F.sum("rows").over(Window.partitionBy())
    share = F.coalesce(F.sum("rows").over(before), F.lit(0)) / total
    return users.select("userId", "rows", share.alias("share")).orderBy("userId")


def boxes(readings: DataFrame) -> DataFrame:
    """Quantiles of each axis by activity: ``action``, ``axis``, ``low`` (5 %), ``q1``, ``median``, ``q3``, ``high``
    (95 %); within 0.1 % of the rank.
    """
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    long = readings.select("action", F.explode(_by_axis()).alias("axis", "value"))
    found = long.groupBy("action", "axis").agg(F.percentile_approx("value", shares, 1000).alias("at"))
    names = ("low", "q1", "median", "q3", "high")
    return found.select("action", "axis", *[F.col("at")[index].alias(name) for index, name in enumerate(names)])


def stretch(readings: DataFrame, seconds: float) -> DataFrame:
    """Of each activity the first ``seconds`` of one recording that lasts that long, from the user with most rows.

    Columns ``action``, ``second`` (from 0) and the axes.
    """
    busiest = Window.partitionBy("action").orderBy(F.desc("rows"), "userId")
    users = readings.groupBy("action", "userId").agg(F.count("*").alias("rows"))
    chosen = users.withColumn("rank", F.row_number().over(busiest)).where("rank = 1").select("action", "userId")
    mine = readings.join(F.broadcast(chosen), on=["action", "userId"], how="inner")
    in_time = Window.partitionBy("action").orderBy("timestamp")
    pause_ms = F.coalesce(F.col("timestamp") - F.lag("timestamp").over(in_time), F.lit(0))
    event = F.sum((pause_ms > WindowSpec().gap_ms).cast("int")).over(in_time)
    events = mine.withColumn("event", event)
    of_event = Window.partitionBy("action", "event")
    second = (F.col("timestamp") - F.min("timestamp").over(of_event)) / 1000
    timed = events.withColumn("second", second).withColumn("lasts_s", F.max(second).over(of_event))
    first = F.min(F.when(F.col("lasts_s") >= seconds, F.col("event"))).over(Window.partitionBy("action"))
    shown = timed.withColumn("first", first).where((F.col("event") == F.col("first")) & (F.col("second") <= seconds))
    return shown.select("action", "second", *AXES).orderBy("action", "second")


def windows_in_plane(readings: DataFrame, share: float, seed: int) -> DataFrame:
    """A sample of the windows that the default pipeline cuts: ``userId``, ``action``, and their place on the first two
    principal components (``first``, ``second``) of the standardised features.
    """
    stages = pipelines.statistics().getStages()
    selected = next(index for index, stage in enumerate(stages) if isinstance(stage, RowsSelector))
    windows = Pipeline(stages=stages[: selected + 1]).fit(readings).transform(readings)
    sampled = windows.sample(fraction=share, seed=seed).select("userId", "action", "features").persist()
    try:
        scaled = StandardScaler(inputCol="features", outputCol="scaled", withMean=True)
        plane = Pipeline(stages=[scaled, PCA(k=2, inputCol="scaled", outputCol="plane")]).fit(sampled)
        place = vector_to_array(F.col("plane"))
        return plane.transform(sampled).select("userId", "action", place[0].alias("first"), place[1].alias("second"))
    finally:
        sampled.unpersist()


def _by_axis() -> Column:
    return F.create_map(*[part for axis in AXES for part in (F.lit(axis), F.col(axis))])


def _ranges(readings: DataFrame, stage: str, limit: float) -> DataFrame:
    long = readings.select(F.explode(_by_axis()).alias("axis", "value"))
    outside = F.sum((F.abs("value") > limit).cast("long"))
    found = long.groupBy("axis").agg(
        F.min("value").alias("lowest"), F.max("value").alias("highest"), outside.alias("outside")
    )
    return found.withColumn("stage", F.lit(stage))
