"""A third application, tiny: is the sum of two numbers even. It shares nothing with the others but the contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassificationModel, RandomForestClassifier
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from streamforest.application import (
    Advance,
    Application,
    Gate,
    Inputs,
    PipelineDefinition,
    Prediction,
    Schemas,
    Split,
    Topics,
    TrainedModel,
)
from streamforest.errors import WrongUsage
from streamforest.ml.forest import Forest
from streamforest.streaming.decoding import decode_json

_VALUES = (("id", "integer"), ("at", "long"), ("a", "double"), ("b", "double"))


def _schema(*columns: tuple[str, str]) -> StructType:
    schema = StructType()
    for name, kind in columns:
        schema = schema.add(name, kind)
    return schema


EVENT = _schema(*_VALUES)
RAW = _schema(*_VALUES, ("parity", "string"))
PREDICTION = _schema(("id", "integer"), ("at", "long"), ("parity", "string"), ("modelVersion", "string"))
CLASSES = ["even", "odd"]


def read(spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
    """Lines ``id,a,b``."""
    lines = spark.read.text([str(path) for path in paths]).withColumn("line", F.monotonically_increasing_id() + 1)
    parsed = lines.withColumn("part", F.split("value", ",")).select(
        F.expr("try_cast(get(part, 0) as int)").alias("id"),
        F.expr("try_cast(get(part, 1) as double)").alias("a"),
        F.expr("try_cast(get(part, 2) as double)").alias("b"),
        "line",
        "value",
    )
    good = F.col("id").isNotNull() & F.col("a").isNotNull() & F.col("b").isNotNull()
    return parsed.select(
        F.when(good, F.col("id")).alias("id"),
        F.when(good, F.col("id").cast("long") * 1000).alias("at"),
        F.when(good, F.col("a")).alias("a"),
        F.when(good, F.col("b")).alias("b"),
        F.when(good, F.when((F.col("a") + F.col("b")) % 2 == 0, "even").otherwise("odd")).alias("parity"),
        F.lit(paths[0].name).alias("file"),
        "line",
        F.when(~good, F.col("value")).alias("text"),
        F.when(~good, F.lit("number")).alias("reason"),
    )


def generate(folder: Path, seed: int) -> None:
    """A thousand labelled lines and a hundred to stream."""
    rng = np.random.default_rng(seed)
    for name, rows in (("numbers.txt", 1000), ("numbers_live.txt", 100)):
        pairs = rng.integers(0, 2, (rows, 2))
        lines = [f"{number},{a},{b}" for number, (a, b) in enumerate(pairs)]
        (folder / name).write_text("\n".join([*lines, "not a number"]) + "\n")


def is_training(split_at: str) -> Column:
    if not split_at.isdecimal():
        raise WrongUsage(f"--split-at {split_at!r} is not an id", "give a number")
    return F.col("id") < int(split_at)


def build() -> Pipeline:
    return Pipeline(
        stages=[
            StringIndexer(inputCol="parity", outputCol="label", stringOrderType="alphabetAsc"),
            VectorAssembler(inputCols=["a", "b"], outputCol="features"),
            RandomForestClassifier(numTrees=5, maxDepth=3, featureSubsetStrategy="all", seed=1),
        ]
    )


def classified(model: TrainedModel, rows: DataFrame) -> DataFrame:
    names = F.array(*[F.lit(name) for name in CLASSES])
    return model.pipeline.transform(rows).withColumn("predicted", names[F.col("prediction").cast("int")])


def export(model: TrainedModel, folder: Path) -> None:
    stage = next(one for one in model.pipeline.stages if isinstance(one, RandomForestClassificationModel))
    (saved,) = (folder / "stages").glob(f"*_{stage.uid}")
    (folder / "serving").mkdir()
    (folder / "serving" / "forest").write_bytes(Forest.from_spark(saved, 2).to_bytes())


class Stateless:
    """Every event is a prediction; the state stays empty."""

    def __init__(self, forest: Forest) -> None:
        self._forest = forest

    def advance(
        self, state: bytes | None, events: pa.Table, *, lateness_ms: int, final: bool, ttl_ms: int = 0
    ) -> Advance:
        del lateness_ms, final, ttl_ms
        vectors = np.column_stack([events.column(name).to_numpy() for name in ("a", "b")]).astype(np.float32)
        chosen = self._forest.probabilities(vectors).argmax(axis=1)
        predictions = events.select(["id", "at", "arrived_ms"]).append_column(
            "parity", pa.array(CLASSES).take(pa.array(chosen))
        )
        refused = pa.table({"position": pa.array([], pa.int64()), "reason": pa.array([], pa.string())})
        return Advance(state=state or b"", predictions=predictions, refused=refused, counts={})


def load(folder: Path) -> Stateless:
    return Stateless(Forest.from_bytes((folder / "serving" / "forest").read_bytes()))


APPLICATION = Application(
    name="parity",
    prefix="parity",
    inputs=Inputs(history="numbers.txt", live="numbers_live.txt", generate=generate),
    schemas=Schemas(raw=RAW, event=EVENT, prediction=PREDICTION),
    key="id",
    event_time="at",
    label="parity",
    partition_by=("parity",),
    topics=Topics(events="parity", predictions="parity.predictions", invalid="parity.invalid", partitions=2),
    read=read,
    split=Split(default="700", unit="id", is_training=is_training),
    pipelines={"forest": PipelineDefinition(build=build)},
    default_pipeline="forest",
    sample=lambda rows, samples, seed: rows.orderBy(F.xxhash64("id", F.lit(seed))).limit(samples).select(*EVENT.names),
    decode=lambda value: decode_json(value, EVENT, lambda event: F.when(event["a"] < 0, "number")),
    score=lambda model, rows: classified(model, rows).select(F.col("parity").alias("label"), "predicted", "id"),
    predict=Prediction(
        shards=2,
        export=export,
        load=load,
        batch=lambda model, rows: classified(model, rows).select("id", "at", F.col("predicted").alias("parity")),
    ),
    gate=Gate(metric="macro_f1", tolerance=0.01, floor=0.9, recall_drop=0.1),
)
