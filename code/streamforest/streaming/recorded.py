"""Which version predicted when, as the record says, and the same predictions from files.

A swap of the model takes effect between two micro-batches, so each key meets it at a moment of its own clock. Those
moments are in the record: every prediction names its version. Told of them, the batch path can be compared with a
stream under which models were swapped.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from streamforest.application import Application, TrainedModel

_FIRST_MS, _NEVER_MS = -(1 << 62), 1 << 62
_VERSION = "modelVersion"


def turns(application: Application, predictions: Path, events: DataFrame, champion: str) -> dict[str, DataFrame]:
    """Spans of each key by version, as :attr:`streamforest.application.TrainedModel.spans` describes them.

    A key's first span begins before all time and its last one never ends, so that a prediction that the record lacks is
    made too; a key of ``events`` that the record lacks is the champion's from beginning to end.
    """
    spark, key = events.sparkSession, application.key
    paths = [str(path) for path in sorted(predictions.glob("pred_batch_*")) if path.is_dir()]
    schema = T.StructType([application.schemas.prediction[key]]).add("from_ms", "long").add("until_ms", "long")
    found: dict[str, list[tuple[object, int, int]]] = {}
    if paths:
        record = spark.read.schema(application.schemas.prediction).parquet(*paths)
        for row in _spans(record, application).collect():
            found.setdefault(row[_VERSION], []).append((row[key], row["from_ms"], row["until_ms"]))
    known = {span[0] for spans in found.values() for span in spans}
    others = [row[key] for row in events.select(key).distinct().collect() if row[key] not in known]
    if others:
        found.setdefault(champion, []).extend((value, _FIRST_MS, _NEVER_MS) for value in others)
    # As Arrow: rows of Python objects would go through a Python worker again at each use.
    arrow, names = to_arrow_schema(schema), schema.names
    return {
        name: spark.createDataFrame(
            pa.Table.from_pylist([dict(zip(names, span, strict=True)) for span in spans], arrow)
        )
        for name, spans in sorted(found.items())
    }


def _spans(record: DataFrame, application: Application) -> DataFrame:
    """A row (key, version, ``from_ms``, ``until_ms``) for each stretch of a key's predictions by one version."""
    key, time = application.key, F.col(application.event_time)
    before = F.lag(_VERSION).over(Window.partitionBy(key).orderBy(application.event_time))
    starts = record.select(key, _VERSION, time.alias("from_ms"), before.alias("_before")).where(
        F.col("_before").isNull() | (F.col("_before") != F.col(_VERSION))
    )
    by_start = Window.partitionBy(key).orderBy("from_ms")
    return starts.select(
        key,
        _VERSION,
        F.when(F.col("_before").isNull(), F.lit(_FIRST_MS)).otherwise(F.col("from_ms")).alias("from_ms"),
        F.coalesce(F.lead("from_ms").over(by_start), F.lit(_NEVER_MS)).alias("until_ms"),
    )


def predict(application: Application, model: TrainedModel, events: DataFrame) -> DataFrame:
    """Predictions of events in files, with the model's version; within the model's spans where it has some."""
    rows = application.predict.batch(model, events)
    if model.spans is not None:
        time = F.col(application.event_time)
        inside = (time >= F.col("from_ms")) & (time < F.col("until_ms"))
        rows = rows.join(F.broadcast(model.spans), application.key).where(inside)
    return rows.withColumn(_VERSION, F.lit(model.version)).select(*application.schemas.prediction.names)
